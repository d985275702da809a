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

	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// coded is an error like the driver's.
type coded int

func (c coded) Error() string { return fmt.Sprintf("code %d", int(c)) }
func (c coded) Code() int     { return int(c) }

func TestFault(t *testing.T) {
	t.Parallel()
	const database, server, unclear = driver.FaultDatabase, driver.FaultServer, driver.FaultUnclear
	tests := map[int]driver.Fault{
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
	for errno, want := range map[syscall.Errno]driver.Fault{
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
	if err := e.CheckServer(t.Context()); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if left, err := os.ReadDir(e.dir); err != nil || len(left) != 0 {
		t.Errorf("got %v, %v, want an empty folder", left, err)
	}
	if err := os.Remove(e.dir); err != nil {
		t.Fatal(err)
	}
	if err := e.CheckServer(t.Context()); err == nil {
		t.Error("no folder: got no error")
	}
}

// The codes are those of SQLite's documentation; modernc.org/sqlite makes errors of
// its own only.
func TestFailure(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]driver.Failure{
		1:  driver.FailureOfStatement, // SQLITE_ERROR
		8:  driver.FailureOfStatement, // SQLITE_READONLY
		9:  driver.FailureOfStatement, // SQLITE_INTERRUPT
		19: driver.FailureOfStatement, // SQLITE_CONSTRAINT
		5:  driver.FailureUnable,
		7:  driver.FailureUnable,
		13: driver.FailureUnable,
		15: driver.FailureUnable,
		10: driver.FailureLost,
		11: driver.FailureLost,
		14: driver.FailureLost,
		26: driver.FailureLost,
		17: driver.FailureStale,
	} {
		if got := failures[code]; got != want {
			t.Errorf("%d: got %d, want %d", code, got, want)
		}
	}
	e := &Engine{}
	if got := e.Failure(nil, errors.New("cannot scan")); got != driver.FailureOfStatement {
		t.Errorf("got %d, want the statement's", got)
	}
	db, err := Open(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for statement, want := range map[string]driver.Failure{
		`INSERT INTO nowhere VALUES (1)`:                 driver.FailureOfStatement,
		`ATTACH '/nowhere/at/all.db' AS x`:               driver.FailureLost,
		`SELECT load_extension('no such file anywhere')`: driver.FailureOfStatement,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err == nil || e.Failure(nil, err) != want {
			t.Errorf("%s: got %v, %d, want %d", statement, err, e.Failure(nil, err), want)
		}
	}
}
