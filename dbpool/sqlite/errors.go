package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"os"
	"syscall"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/artflow-studio/tenancy/dbpool"
)

var _ dbpool.Faults = (*Engine)(nil)

// dialFaults says what a primary result code of opening a file is about: the file,
// or its folder. What is not here is about the file.
// Source: https://sqlite.org/rescode.html
var dialFaults = map[int]dbpool.Fault{
	lib.SQLITE_NOTADB:   dbpool.FaultDatabase,
	lib.SQLITE_CORRUPT:  dbpool.FaultDatabase,
	lib.SQLITE_CANTOPEN: dbpool.FaultUnclear, // it is missing or locked away, or there are too many open files
	lib.SQLITE_PERM:     dbpool.FaultDatabase,
	lib.SQLITE_READONLY: dbpool.FaultDatabase,
	lib.SQLITE_BUSY:     dbpool.FaultDatabase,
	lib.SQLITE_ERROR:    dbpool.FaultDatabase,
	lib.SQLITE_FULL:     dbpool.FaultServer,
	lib.SQLITE_NOMEM:    dbpool.FaultServer,
	lib.SQLITE_IOERR:    dbpool.FaultUnclear, // a read or write failed, of this file or of every one
}

// folderErrors are those of the operating system that are about all files.
var folderErrors = [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOSPC, syscall.EDQUOT, syscall.EIO}

// Fault classifies an error of opening a file.
func (e *Engine) Fault(err error) dbpool.Fault {
	for _, errno := range folderErrors {
		if errors.Is(err, errno) {
			return dbpool.FaultServer
		}
	}
	var refused interface { // *sqlite.Error
		error
		Code() int
	}
	if !errors.As(err, &refused) {
		return dbpool.FaultDatabase
	}
	if f, ok := dialFaults[refused.Code()&0xff]; ok {
		return f
	}
	return dbpool.FaultDatabase
}

// Ask makes a file in the folder, writes to it, and removes it.
func (e *Engine) Ask(context.Context) (err error) {
	f, err := os.CreateTemp(e.dir, ".ask-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := f.Write(make([]byte, 4096)); err != nil {
		return err
	}
	return f.Sync()
}

// failures are what SQLite's primary result codes mean while a connection is used;
// others are about the statement.
// Source: https://sqlite.org/rescode.html
var failures = map[int]dbpool.Failure{
	lib.SQLITE_BUSY:     dbpool.FailureUnable, // another process writes
	lib.SQLITE_NOMEM:    dbpool.FailureUnable,
	lib.SQLITE_FULL:     dbpool.FailureUnable, // the disk is full
	lib.SQLITE_PROTOCOL: dbpool.FailureUnable, // others held the locks all the time

	lib.SQLITE_IOERR:    dbpool.FailureLost,
	lib.SQLITE_CORRUPT:  dbpool.FailureLost,
	lib.SQLITE_CANTOPEN: dbpool.FailureLost,
	lib.SQLITE_NOTADB:   dbpool.FailureLost,

	lib.SQLITE_SCHEMA: dbpool.FailureStale, // others kept changing the schema
}

// Failure classifies an error by its primary result code.
func (e *Engine) Failure(_ driver.Conn, err error) dbpool.Failure {
	var code *sqlite.Error
	if errors.As(err, &code) {
		return failures[code.Code()&0xff]
	}
	return dbpool.FailureOfStatement
}
