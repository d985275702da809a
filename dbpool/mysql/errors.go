package mysql

import (
	"context"
	"database/sql"
	"errors"

	"github.com/go-sql-driver/mysql"

	"github.com/artflow-studio/tenancy/dbpool"
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
