// Package sqlkit is what the packages that own tables share: the dialects,
// transactions, errors told apart by code, and migrations through goose.
package sqlkit

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// Dialect is a dialect of SQL. Its value names the folder of its migrations.
type Dialect string

// The dialects.
const (
	Postgres Dialect = "postgres"
	MySQL    Dialect = "mysql"
	SQLite   Dialect = "sqlite"
)

// FromDriver returns the dialect that the database/sql driver of that name
// speaks. An unknown name is an error that wraps [tenancy.ErrInvalid].
func FromDriver(name string) (Dialect, error) {
	switch name {
	case "pgx", "pgx/v5", "postgres":
		return Postgres, nil
	case "mysql":
		return MySQL, nil
	case "sqlite":
		return SQLite, nil
	}
	return "", fmt.Errorf("%w: database driver %q, want pgx, postgres, mysql or sqlite", tenancy.ErrInvalid, name)
}

// Rebind replaces the question marks of a query by the dialect's placeholders.
func (d Dialect) Rebind(query string) string {
	if d == Postgres {
		return sqlx.Rebind(sqlx.DOLLAR, query)
	}
	return query
}

// Quote returns an identifier in the dialect's quotes. No identifier that is
// quoted can end its quotes early.
func (d Dialect) Quote(ident string) string {
	if d == MySQL {
		return "`" + strings.ReplaceAll(ident, "`", "``") + "`"
	}
	return `"` + strings.ReplaceAll(ident, `"`, `""`) + `"`
}

// SQLiteURI returns the URI by which SQLite opens the file at path.
func SQLiteURI(path string) string {
	return "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
}

// Codes of the errors that this package recognizes.
const (
	mysqlDuplicate     = 1062 // ER_DUP_ENTRY
	mysqlNoTable       = 1146 // ER_NO_SUCH_TABLE
	mysqlNoDB          = 1049 // ER_BAD_DB_ERROR
	mysqlDBExists      = 1007 // ER_DB_CREATE_EXISTS
	mysqlDBDropped     = 1008 // ER_DB_DROP_EXISTS
	mysqlDeadlock      = 1213 // ER_LOCK_DEADLOCK
	mysqlSnapshot      = 1020 // ER_CHECKREAD: MariaDB with innodb_snapshot_isolation, the default from 11.6 on
	mysqlNoSession     = 1094 // ER_NO_SUCH_THREAD
	sqliteUnique       = 2067 // SQLITE_CONSTRAINT_UNIQUE
	sqlitePrimaryKey   = 1555 // SQLITE_CONSTRAINT_PRIMARYKEY
	postgresUnique     = "23505"
	postgresNoTable    = "42P01"
	postgresNoDatabase = "3D000"
	postgresDuplicate  = "42P04" // duplicate_database
	postgresDeadlock   = "40P01"
	postgresSerialize  = "40001"
	postgresTerminated = "57P01" // admin_shutdown
	postgresCheck      = "23514" // check_violation
	postgresLock       = "55P03" // lock_not_available
	postgresState      = "55000" // object_not_in_prerequisite_state
)

// IsUnique reports whether err is the violation of a unique key.
func IsUnique(err error) bool {
	if n := mysqlNumber(err); n != 0 {
		return n == mysqlDuplicate
	}
	if c := sqliteCode(err); c != 0 {
		return c == sqliteUnique || c == sqlitePrimaryKey
	}
	return sqlState(err) == postgresUnique
}

// IsNoTable reports whether err says that a table does not exist. SQLite has no
// code of its own for that.
func IsNoTable(err error) bool {
	return mysqlNumber(err) == mysqlNoTable || sqlState(err) == postgresNoTable
}

// IsNoDatabase reports whether err says that a database does not exist, or that PostgreSQL was
// interrupted while it dropped it: nobody can use it any more, and it can only be dropped.
func IsNoDatabase(err error) bool {
	n := mysqlNumber(err)
	return n == mysqlNoDB || n == mysqlDBDropped || sqlState(err) == postgresNoDatabase || isHalfDropped(err)
}

// isHalfDropped reports whether PostgreSQL refuses a connection because the database was being dropped.
// The code alone says many things.
func isHalfDropped(err error) bool {
	return sqlState(err) == postgresState && strings.Contains(err.Error(), "invalid database")
}

// IsDatabaseExists reports whether err says that a database exists already. Of
// two statements at the same moment, PostgreSQL lets one fail on the unique
// key of its own catalog.
func IsDatabaseExists(err error) bool {
	state := sqlState(err)
	return mysqlNumber(err) == mysqlDBExists || state == postgresDuplicate || state == postgresUnique
}

// IsNoSession reports whether err says that there is no session of that number.
func IsNoSession(err error) bool { return mysqlNumber(err) == mysqlNoSession }

// IsTerminated reports whether err says that the server ended the session on
// somebody's order.
func IsTerminated(err error) bool { return sqlState(err) == postgresTerminated }

// IsNoPartition reports whether PostgreSQL has no partition for a row. The error is that of
// a check that a row does not pass, so ask only of tables without checks.
func IsNoPartition(err error) bool { return sqlState(err) == postgresCheck }

// IsLockTimeout reports whether a statement ended because PostgreSQL's lock_timeout had
// passed.
func IsLockTimeout(err error) bool { return sqlState(err) == postgresLock }

// IsDeadlock reports whether a transaction was ended by the server because of what
// another does, or has done since the transaction began to read. Running it again is the answer.
func IsDeadlock(err error) bool {
	n, state := mysqlNumber(err), sqlState(err)
	return n == mysqlDeadlock || n == mysqlSnapshot || state == postgresDeadlock || state == postgresSerialize
}

func sqlState(err error) string {
	var e interface{ SQLState() string } // pgx and lib/pq
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}

func mysqlNumber(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

func sqliteCode(err error) int {
	var e interface { // modernc.org/sqlite
		error
		Code() int
	}
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}
