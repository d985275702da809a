package postgres

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

var _ dbpool.Faults = (*Engine)(nil)

// dialFaults says what a SQLSTATE of a new connection is about; codes that are not
// here are looked up by their class, the first two characters. What is in neither
// is unclear.
// Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
var dialFaults = map[string]dbpool.Fault{
	"08": dbpool.FaultServer, // connection exception
	// A pooler's code for whatever it refuses: a database, a user, a setting.
	"08P01": dbpool.FaultUnclear,
	"0A":    dbpool.FaultDatabase, // feature not supported, such as in the marker's view
	"21":    dbpool.FaultDatabase, // cardinality: two rows in the marker
	"22":    dbpool.FaultDatabase, // data exception in the marker
	"22023": dbpool.FaultUnclear,  // invalid value of a setting, of the database or of the DSN
	"28P01": dbpool.FaultServer,   // wrong password
	"28000": dbpool.FaultUnclear,  // no entry for the role, the host or the database
	"3D000": dbpool.FaultDatabase, // no such database
	"3F000": dbpool.FaultDatabase, // no such schema
	"42":    dbpool.FaultDatabase, // access rule: no CONNECT, or the marker may not be read
	"42704": dbpool.FaultUnclear,  // unknown setting, of the database or of the DSN
	"53300": dbpool.FaultUnclear,  // too many connections, to the server or to the database
	"55000": dbpool.FaultDatabase, // the database takes no connections
	"55006": dbpool.FaultDatabase, // the database is in use, such as by a copy
	"57P01": dbpool.FaultServer,   // shutdown
	"57P02": dbpool.FaultServer,   // crash
	"57P03": dbpool.FaultUnclear,  // starts up or shuts down, or the database is not ready
	"57P04": dbpool.FaultDatabase, // dropped meanwhile
	"XX001": dbpool.FaultDatabase, // damaged data
	"XX002": dbpool.FaultDatabase, // damaged index
}

// Fault classifies an error of a new connection by its SQLSTATE. An error without
// one is of the network.
func (e *Engine) Fault(err error) dbpool.Fault {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return dbpool.FaultServer
	}
	if f, ok := dialFaults[refused.Code]; ok {
		return f
	}
	return dialFaults[refused.Code[:min(2, len(refused.Code))]]
}

// Ask connects to the database that the DSN names.
func (e *Engine) Ask(ctx context.Context) error {
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
func refusesWrites(status func(string) string) dbpool.Failure {
	switch {
	case status("in_hot_standby") == "on":
		return dbpool.FailureNotExecuted
	case status(readOnlySetting) == "on":
		return dbpool.FailureUnable
	}
	return dbpool.FailureOfStatement
}

// Failure classifies an error by its severity and SQLSTATE, by whether pgx has closed
// the connection, and by what the server has said of itself.
func (e *Engine) Failure(conn driver.Conn, err error) dbpool.Failure {
	c, notPgx := pgxConn(conn)
	if notPgx != nil {
		return dbpool.FailureOfStatement
	}
	var pg *pgconn.PgError
	switch isServers := errors.As(err, &pg); {
	case isServers && (pg.SeverityUnlocalized == "FATAL" || pg.SeverityUnlocalized == "PANIC"):
		return dbpool.FailureLost
	case isServers && pg.Code == readOnlyCode && !isReadOnly(conn):
		return refusesWrites(c.PgConn().ParameterStatus)
	case isServers && unable[pg.Code]:
		return dbpool.FailureUnable
	case isStale(err):
		return dbpool.FailureStale
	case c.IsClosed() || !isServers && sqlkit.IsLost(err):
		return dbpool.FailureLost
	}
	return dbpool.FailureOfStatement
}

func isReadOnly(c driver.Conn) bool {
	own, ok := c.(*conn)
	return ok && own.readOnly
}
