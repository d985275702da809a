package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"os"
	"syscall"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/artflow-studio/tenancy/dbpool/driver"
)

var _ driver.FaultClassifier = (*Engine)(nil)

// dialFaults says what a primary result code of opening a file is about: the file,
// or its folder. What is not here is about the file.
// Source: https://sqlite.org/rescode.html
var dialFaults = map[int]driver.Fault{
	lib.SQLITE_NOTADB:   driver.FaultDatabase,
	lib.SQLITE_CORRUPT:  driver.FaultDatabase,
	lib.SQLITE_CANTOPEN: driver.FaultUnclear, // it is missing or locked away, or there are too many open files
	lib.SQLITE_PERM:     driver.FaultDatabase,
	lib.SQLITE_READONLY: driver.FaultDatabase,
	lib.SQLITE_BUSY:     driver.FaultDatabase,
	lib.SQLITE_ERROR:    driver.FaultDatabase,
	lib.SQLITE_FULL:     driver.FaultServer,
	lib.SQLITE_NOMEM:    driver.FaultServer,
	lib.SQLITE_IOERR:    driver.FaultUnclear, // a read or write failed, of this file or of every one
}

// folderErrors are those of the operating system that are about all files.
var folderErrors = [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOSPC, syscall.EDQUOT, syscall.EIO}

// Fault classifies an error of opening a file.
func (e *Engine) Fault(err error) driver.Fault {
	for _, errno := range folderErrors {
		if errors.Is(err, errno) {
			return driver.FaultServer
		}
	}
	var refused interface { // *sqlite.Error
		error
		Code() int
	}
	if !errors.As(err, &refused) {
		return driver.FaultDatabase
	}
	if f, ok := dialFaults[refused.Code()&0xff]; ok {
		return f
	}
	return driver.FaultDatabase
}

// CheckServer makes a file in the folder, writes to it, and removes it.
func (e *Engine) CheckServer(context.Context) (err error) {
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
var failures = map[int]driver.Failure{
	lib.SQLITE_BUSY:     driver.FailureUnable, // another process writes
	lib.SQLITE_NOMEM:    driver.FailureUnable,
	lib.SQLITE_FULL:     driver.FailureUnable, // the disk is full
	lib.SQLITE_PROTOCOL: driver.FailureUnable, // others held the locks all the time

	lib.SQLITE_IOERR:    driver.FailureLost,
	lib.SQLITE_CORRUPT:  driver.FailureLost,
	lib.SQLITE_CANTOPEN: driver.FailureLost,
	lib.SQLITE_NOTADB:   driver.FailureLost,

	lib.SQLITE_SCHEMA: driver.FailureStale, // others kept changing the schema
}

// Failure classifies an error by its primary result code.
func (e *Engine) Failure(_ sqldriver.Conn, err error) driver.Failure {
	var code *sqlite.Error
	if errors.As(err, &code) {
		return failures[code.Code()&0xff]
	}
	return driver.FailureOfStatement
}
