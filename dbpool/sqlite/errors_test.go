package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	lib "modernc.org/sqlite/lib"

	"github.com/artflow-studio/tenancy/dbpool"
)

// coded is an error like the driver's.
type coded int

func (c coded) Error() string { return fmt.Sprintf("code %d", int(c)) }
func (c coded) Code() int     { return int(c) }

func TestFault(t *testing.T) {
	t.Parallel()
	const database, server, unclear = dbpool.FaultDatabase, dbpool.FaultServer, dbpool.FaultUnclear
	tests := map[int]dbpool.Fault{
		lib.SQLITE_NOTADB: database, lib.SQLITE_CORRUPT: database, lib.SQLITE_PERM: database, lib.SQLITE_READONLY: database,
		lib.SQLITE_BUSY: database, lib.SQLITE_ERROR: database, lib.SQLITE_SCHEMA: database,
		lib.SQLITE_CORRUPT_INDEX: database, lib.SQLITE_READONLY_DIRECTORY: database,
		lib.SQLITE_FULL: server, lib.SQLITE_NOMEM: server,
		lib.SQLITE_CANTOPEN: unclear, lib.SQLITE_IOERR: unclear, lib.SQLITE_IOERR_READ: unclear,
	}
	e := &Engine{}
	for code, want := range tests {
		if got := e.Fault(fmt.Errorf("opening: %w", coded(code))); got != want {
			t.Errorf("%d: got %v, want %v", code, got, want)
		}
	}
	for row := range dialFaults {
		if _, ok := tests[row]; !ok {
			t.Errorf("row %d has no test", row)
		}
	}
	for errno, want := range map[syscall.Errno]dbpool.Fault{
		syscall.EMFILE: server, syscall.ENFILE: server, syscall.ENOSPC: server, syscall.EIO: server,
		syscall.EACCES: database, syscall.ENOENT: database,
	} {
		if got := e.Fault(&fs.PathError{Op: "open", Err: errno}); got != want {
			t.Errorf("%v: got %v, want %v", errno, got, want)
		}
	}
	if got := e.Fault(errors.New("odd")); got != database {
		t.Errorf("an error without a code: got %v, want %v", got, database)
	}
}

// Asking leaves nothing in the folder, and fails where no file can be made.
func TestAsk(t *testing.T) {
	t.Parallel()
	e, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Ask(t.Context()); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if left, err := os.ReadDir(e.dir); err != nil || len(left) != 0 {
		t.Errorf("got %v, %v, want an empty folder", left, err)
	}
	if err := os.Remove(e.dir); err != nil {
		t.Fatal(err)
	}
	if err := e.Ask(t.Context()); err == nil {
		t.Error("no folder: got no error")
	}
}

// The codes are those of SQLite's documentation; modernc.org/sqlite makes errors of
// its own only.
func TestFailure(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]dbpool.Failure{
		1:  dbpool.FailureOfStatement, // SQLITE_ERROR
		8:  dbpool.FailureOfStatement, // SQLITE_READONLY
		9:  dbpool.FailureOfStatement, // SQLITE_INTERRUPT
		19: dbpool.FailureOfStatement, // SQLITE_CONSTRAINT
		5:  dbpool.FailureUnable,
		7:  dbpool.FailureUnable,
		13: dbpool.FailureUnable,
		15: dbpool.FailureUnable,
		10: dbpool.FailureLost,
		11: dbpool.FailureLost,
		14: dbpool.FailureLost,
		26: dbpool.FailureLost,
		17: dbpool.FailureStale,
	} {
		if got := failures[code]; got != want {
			t.Errorf("%d: got %d, want %d", code, got, want)
		}
	}
	e := &Engine{}
	if got := e.Failure(nil, errors.New("cannot scan")); got != dbpool.FailureOfStatement {
		t.Errorf("got %d, want the statement's", got)
	}
	db, err := Open(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for statement, want := range map[string]dbpool.Failure{
		`INSERT INTO nowhere VALUES (1)`:                 dbpool.FailureOfStatement,
		`ATTACH '/nowhere/at/all.db' AS x`:               dbpool.FailureLost,
		`SELECT load_extension('no such file anywhere')`: dbpool.FailureOfStatement,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err == nil || e.Failure(nil, err) != want {
			t.Errorf("%s: got %v, %d, want %d", statement, err, e.Failure(nil, err), want)
		}
	}
}
