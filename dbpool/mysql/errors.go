package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/go-sql-driver/mysql"

	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

var _ dbpool.Faults = (*Engine)(nil)

// dialFaults says what an error number of a new connection is about. What is not
// here is unclear.
// Source: https://mariadb.com/kb/en/mariadb-error-code-reference/
var dialFaults = map[uint16]dbpool.Fault{
	1030: dbpool.FaultDatabase, // storage engine, in the marker
	1033: dbpool.FaultDatabase, // damaged table
	1034: dbpool.FaultDatabase, // damaged index
	1040: dbpool.FaultServer,   // too many connections
	1043: dbpool.FaultServer,   // bad handshake
	1044: dbpool.FaultDatabase, // no access to the database
	1045: dbpool.FaultServer,   // wrong password
	1047: dbpool.FaultServer,   // a node of Galera that is not part of the cluster
	1049: dbpool.FaultDatabase, // no such database
	1053: dbpool.FaultServer,   // shutdown
	1054: dbpool.FaultDatabase, // no such column in the marker
	1079: dbpool.FaultServer,   // shutdown
	1129: dbpool.FaultServer,   // host blocked
	1130: dbpool.FaultServer,   // host not allowed
	1142: dbpool.FaultDatabase, // no access to the marker
	1143: dbpool.FaultDatabase, // no access to its column
	1146: dbpool.FaultDatabase, // no marker
	1194: dbpool.FaultDatabase, // crashed table
	1195: dbpool.FaultDatabase, // crashed table
	1203: dbpool.FaultServer,   // too many connections of the account
	1226: dbpool.FaultServer,   // a limit of the account
	1242: dbpool.FaultDatabase, // two rows in the marker
	1356: dbpool.FaultDatabase, // the marker is a view that is not valid
	1698: dbpool.FaultServer,   // no such account
	1812: dbpool.FaultDatabase, // tablespace missing
	1814: dbpool.FaultDatabase, // tablespace discarded
	1932: dbpool.FaultDatabase, // table missing in the storage engine
	1964: dbpool.FaultServer,   // shutdown
	3118: dbpool.FaultServer,   // account locked, on MySQL
	4151: dbpool.FaultServer,   // account locked, on MariaDB
}

// Fault classifies an error of a new connection by its number. An error without
// one is of the network.
func (e *Engine) Fault(err error) dbpool.Fault {
	var refused *mysql.MySQLError
	if !errors.As(err, &refused) {
		return dbpool.FaultServer
	}
	return dialFaults[refused.Number]
}

// Ask connects to the server with no database chosen.
func (e *Engine) Ask(ctx context.Context) error {
	return e.connect(func(db *sql.DB) error { return db.PingContext(ctx) })
}

// failures are what the numbers of errors mean while a connection is used; others
// are about the statement. Sources:
// https://mariadb.com/docs/server/reference/error-codes and
// https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
var failures = map[uint16]dbpool.Failure{
	3:    dbpool.FailureUnable, // EE_WRITE: the disk of a temporary table is full
	1021: dbpool.FailureUnable, // ER_DISK_FULL
	1026: dbpool.FailureUnable, // ER_ERROR_ON_WRITE
	1030: dbpool.FailureUnable, // ER_GET_ERRNO: an error of the storage engine
	1037: dbpool.FailureUnable, // ER_OUTOFMEMORY
	1041: dbpool.FailureUnable, // ER_OUT_OF_RESOURCES
	1114: dbpool.FailureUnable, // ER_RECORD_FILE_FULL: a table or the disk is full
	1135: dbpool.FailureUnable, // ER_CANT_CREATE_THREAD
	1317: dbpool.FailureUnable, // ER_QUERY_INTERRUPTED, by an operator

	1053: dbpool.FailureLost, // ER_SERVER_SHUTDOWN
	1077: dbpool.FailureLost, // ER_NORMAL_SHUTDOWN
	1152: dbpool.FailureLost, // ER_ABORTING_CONNECTION
	1158: dbpool.FailureLost, // ER_NET_READ_ERROR
	1159: dbpool.FailureLost, // ER_NET_READ_INTERRUPTED
	1160: dbpool.FailureLost, // ER_NET_ERROR_ON_WRITE
	1161: dbpool.FailureLost, // ER_NET_WRITE_INTERRUPTED
	1184: dbpool.FailureLost, // ER_NEW_ABORTING_CONNECTION
	1927: dbpool.FailureLost, // ER_CONNECTION_KILLED, of MariaDB
	3169: dbpool.FailureLost, // ER_SESSION_WAS_KILLED, of MySQL

	1615: dbpool.FailureStale, // ER_NEED_REPREPARE

	1047: dbpool.FailureNotExecuted, // ER_UNKNOWN_COM_ERROR, of Galera: the node has left the cluster and refuses statements

	4031: dbpool.FailureNotExecuted, // ER_CLIENT_INTERACTION_TIMEOUT: the session had ended before
}

// readOnly are the numbers of a server that takes no writes, as a primary does
// after another has taken its place.
var readOnly = map[uint16]bool{
	1290: true, // ER_OPTION_PREVENTS_STATEMENT
	1792: true, // ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
	1836: true, // ER_READ_ONLY_MODE
}

// Failure classifies an error by its number, and those of the driver by what they
// are. With rejectReadOnly in the DSN, a server that takes no writes loses the
// connection.
func (e *Engine) Failure(conn driver.Conn, err error) dbpool.Failure {
	var answer *mysql.MySQLError
	if errors.As(err, &answer) {
		c := linkOf(conn)
		if e.rejectReadOnly && readOnly[answer.Number] && (c == nil || !c.readOnly) {
			return dbpool.FailureNotExecuted
		}
		return failures[answer.Number]
	}
	for _, lost := range []error{mysql.ErrInvalidConn, mysql.ErrMalformPkt, mysql.ErrPktSync, mysql.ErrPktSyncMul, errProtocol} {
		if errors.Is(err, lost) {
			return dbpool.FailureLost
		}
	}
	if sqlkit.IsLost(err) {
		return dbpool.FailureLost
	}
	return dbpool.FailureOfStatement
}
