package postgres

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

var _ driver.FaultClassifier = (*Engine)(nil)

// dialFaults says what a SQLSTATE of a new connection is about; codes that are not
// here are looked up by their class, the first two characters. What is in neither
// is unclear.
// Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
var dialFaults = map[string]driver.Fault{
	"08": driver.FaultServer, // connection exception
	// A pooler's code for whatever it refuses: a database, a user, a setting.
	"08P01": driver.FaultUnclear,
	"0A":    driver.FaultDatabase, // feature not supported, such as in the marker's view
	"21":    driver.FaultDatabase, // cardinality: two rows in the marker
	"22":    driver.FaultDatabase, // data exception in the marker
	"22023": driver.FaultUnclear,  // invalid value of a setting, of the database or of the DSN
	"28P01": driver.FaultServer,   // wrong password
	"28000": driver.FaultUnclear,  // no entry for the role, the host or the database
	"3D000": driver.FaultDatabase, // no such database
	"3F000": driver.FaultDatabase, // no such schema
	"42":    driver.FaultDatabase, // access rule: no CONNECT, or the marker may not be read
	"42704": driver.FaultUnclear,  // unknown setting, of the database or of the DSN
	"53300": driver.FaultUnclear,  // too many connections, to the server or to the database
	"55000": driver.FaultDatabase, // the database takes no connections
	"55006": driver.FaultDatabase, // the database is in use, such as by a copy
	"57P01": driver.FaultServer,   // shutdown
	"57P02": driver.FaultServer,   // crash
	"57P03": driver.FaultUnclear,  // starts up or shuts down, or the database is not ready
	"57P04": driver.FaultDatabase, // dropped meanwhile
	"XX001": driver.FaultDatabase, // damaged data
	"XX002": driver.FaultDatabase, // damaged index
}

// Fault classifies an error of a new connection by its SQLSTATE. An error without
// one is of the network.
func (e *Engine) Fault(err error) driver.Fault {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return driver.FaultServer
	}
	if f, ok := dialFaults[refused.Code]; ok {
		return f
	}
	return dialFaults[refused.Code[:min(2, len(refused.Code))]]
}

// CheckServer connects to the database that the DSN names.
func (e *Engine) CheckServer(ctx context.Context) error {
	return e.connect(ctx, func(*pgx.Conn) error { return nil })
}

// unable are the SQLSTATEs of a server that cannot do now what it was asked.
// Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
var unable = map[string]bool{
	"53000": true, // insufficient_resources
	"53100": true, // disk_full
	"53200": true, // out_of_memory
	"53400": true, // configuration_limit_exceeded
	"58000": true, // system_error
	"58030": true, // io_error
}

// stale is the SQLSTATE of a prepared statement that would return other columns
// than before. It has other uses; the function in the server tells them apart,
// if the server gives it.
const (
	stale        = "0A000" // feature_not_supported
	staleRoutine = "RevalidateCachedQuery"
)

func isStale(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == stale && (pg.Routine == staleRoutine || pg.Routine == "")
}

// readOnlyCode is read_only_sql_transaction.
const readOnlyCode = "25006"

// refusesWrites says what it means that a connection which is not for reading refused
// a write. A standby executes none, so another connection may, such as one that follows a
// name to the new primary. A server whose default is to read only, as operators and
// providers set it when a disk is full, cannot write now. Else the transaction was
// read-only on purpose. From version 14 on the server says which it is whenever that
// changes.
// Source: https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC
func refusesWrites(status func(string) string) driver.Failure {
	switch {
	case status("in_hot_standby") == "on":
		return driver.FailureNotExecuted
	case status(readOnlySetting) == "on":
		return driver.FailureUnable
	}
	return driver.FailureOfStatement
}

// Failure classifies an error by its severity and SQLSTATE, by whether pgx has closed
// the connection, and by what the server has said of itself.
func (e *Engine) Failure(conn sqldriver.Conn, err error) driver.Failure {
	c, notPgx := pgxConn(conn)
	if notPgx != nil {
		return driver.FailureOfStatement
	}
	var pg *pgconn.PgError
	switch isServers := errors.As(err, &pg); {
	case isServers && (pg.SeverityUnlocalized == "FATAL" || pg.SeverityUnlocalized == "PANIC"):
		return driver.FailureLost
	case isServers && pg.Code == readOnlyCode && !isReadOnly(conn):
		return refusesWrites(c.PgConn().ParameterStatus)
	case isServers && unable[pg.Code]:
		return driver.FailureUnable
	case isStale(err):
		return driver.FailureStale
	case c.IsClosed() || !isServers && sqlkit.IsLost(err):
		return driver.FailureLost
	}
	return driver.FailureOfStatement
}

func isReadOnly(c sqldriver.Conn) bool {
	own, ok := c.(*conn)
	return ok && own.readOnly
}
