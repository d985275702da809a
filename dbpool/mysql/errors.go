package mysql

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"

	"github.com/go-sql-driver/mysql"

	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

var _ driver.FaultClassifier = (*Engine)(nil)

// dialFaults says what an error number of a new connection is about. What is not
// here is unclear.
// Source: https://mariadb.com/kb/en/mariadb-error-code-reference/
var dialFaults = map[uint16]driver.Fault{
	1030: driver.FaultDatabase, // storage engine, in the marker
	1033: driver.FaultDatabase, // damaged table
	1034: driver.FaultDatabase, // damaged index
	1040: driver.FaultServer,   // too many connections
	1043: driver.FaultServer,   // bad handshake
	1044: driver.FaultDatabase, // no access to the database
	1045: driver.FaultServer,   // wrong password
	1047: driver.FaultServer,   // a node of Galera that is not part of the cluster
	1049: driver.FaultDatabase, // no such database
	1053: driver.FaultServer,   // shutdown
	1054: driver.FaultDatabase, // no such column in the marker
	1079: driver.FaultServer,   // shutdown
	1129: driver.FaultServer,   // host blocked
	1130: driver.FaultServer,   // host not allowed
	1142: driver.FaultDatabase, // no access to the marker
	1143: driver.FaultDatabase, // no access to its column
	1146: driver.FaultDatabase, // no marker
	1194: driver.FaultDatabase, // crashed table
	1195: driver.FaultDatabase, // crashed table
	1203: driver.FaultServer,   // too many connections of the account
	1226: driver.FaultServer,   // a limit of the account
	1242: driver.FaultDatabase, // two rows in the marker
	1356: driver.FaultDatabase, // the marker is a view that is not valid
	1698: driver.FaultServer,   // no such account
	1812: driver.FaultDatabase, // tablespace missing
	1814: driver.FaultDatabase, // tablespace discarded
	1932: driver.FaultDatabase, // table missing in the storage engine
	1964: driver.FaultServer,   // shutdown
	3118: driver.FaultServer,   // account locked, on MySQL
	4151: driver.FaultServer,   // account locked, on MariaDB
}

// Fault classifies an error of a new connection by its number. An error without
// one is of the network.
func (e *Engine) Fault(err error) driver.Fault {
	var refused *mysql.MySQLError
	if !errors.As(err, &refused) {
		return driver.FaultServer
	}
	return dialFaults[refused.Number]
}

// CheckServer connects to the server with no database chosen.
func (e *Engine) CheckServer(ctx context.Context) error {
	return e.connect(func(db *sql.DB) error { return db.PingContext(ctx) })
}

// failures are what the numbers of errors mean while a connection is used; others
// are about the statement. Sources:
// https://mariadb.com/docs/server/reference/error-codes and
// https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
var failures = map[uint16]driver.Failure{
	3:    driver.FailureUnable, // EE_WRITE: the disk of a temporary table is full
	1021: driver.FailureUnable, // ER_DISK_FULL
	1026: driver.FailureUnable, // ER_ERROR_ON_WRITE
	1030: driver.FailureUnable, // ER_GET_ERRNO: an error of the storage engine
	1037: driver.FailureUnable, // ER_OUTOFMEMORY
	1041: driver.FailureUnable, // ER_OUT_OF_RESOURCES
	1114: driver.FailureUnable, // ER_RECORD_FILE_FULL: a table or the disk is full
	1135: driver.FailureUnable, // ER_CANT_CREATE_THREAD
	1317: driver.FailureUnable, // ER_QUERY_INTERRUPTED, by an operator

	1053: driver.FailureLost, // ER_SERVER_SHUTDOWN
	1077: driver.FailureLost, // ER_NORMAL_SHUTDOWN
	1152: driver.FailureLost, // ER_ABORTING_CONNECTION
	1158: driver.FailureLost, // ER_NET_READ_ERROR
	1159: driver.FailureLost, // ER_NET_READ_INTERRUPTED
	1160: driver.FailureLost, // ER_NET_ERROR_ON_WRITE
	1161: driver.FailureLost, // ER_NET_WRITE_INTERRUPTED
	1184: driver.FailureLost, // ER_NEW_ABORTING_CONNECTION
	1927: driver.FailureLost, // ER_CONNECTION_KILLED, of MariaDB
	3169: driver.FailureLost, // ER_SESSION_WAS_KILLED, of MySQL

	1615: driver.FailureStale, // ER_NEED_REPREPARE

	1047: driver.FailureNotExecuted, // ER_UNKNOWN_COM_ERROR, of Galera: the node has left the cluster and refuses statements

	4031: driver.FailureNotExecuted, // ER_CLIENT_INTERACTION_TIMEOUT: the session had ended before
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
func (e *Engine) Failure(conn sqldriver.Conn, err error) driver.Failure {
	var answer *mysql.MySQLError
	if errors.As(err, &answer) {
		c := linkOf(conn)
		if e.rejectReadOnly && readOnly[answer.Number] && (c == nil || !c.readOnly) {
			return driver.FailureNotExecuted
		}
		return failures[answer.Number]
	}
	for _, lost := range []error{mysql.ErrInvalidConn, mysql.ErrMalformPkt, mysql.ErrPktSync, mysql.ErrPktSyncMul, errProtocol} {
		if errors.Is(err, lost) {
			return driver.FailureLost
		}
	}
	if sqlkit.IsLost(err) {
		return driver.FailureLost
	}
	return driver.FailureOfStatement
}
