package dbpool

import (
	"context"
	"database/sql/driver"

	"github.com/artflow-studio/tenancy"
)

// Engine reaches the databases of one server. The packages dbpool/postgres,
// dbpool/mysql and dbpool/sqlite have one each.
//
// An Engine opens nothing that it keeps: each connection belongs to whoever
// asked for it. Its methods are called by many goroutines at once. No error of
// an Engine shows credentials.
type Engine interface {
	// DriverName is the name by which sqlx knows the dialect: pgx, mysql, sqlite.
	DriverName() string
	// Connector returns what opens physical connections to a database. It does
	// no I/O. A connection to a database that does not exist is an error that
	// unwraps to [tenancy.ErrNotFound], and makes none.
	Connector(database string) (driver.Connector, error)
	// Identify asks the server, in one round trip, which database the
	// connection leads to and whose it is.
	Identify(ctx context.Context, conn driver.Conn) (Identity, error)
}

// Identity is what a server says of a connection.
type Identity struct {
	Database string
	// Tenant is the ID in the database's marker, a table with a single row
	// called tenancy_marker. It is empty when there is no marker.
	Tenant tenancy.ID
}

// ReadOnly is the optional ability of an [Engine] to open connections through
// which nothing is written, unless a statement asks for it on purpose.
type ReadOnly interface {
	// ReadOnlyConnector is as Connector.
	ReadOnlyConnector(database string) (driver.Connector, error)
}

// Databases is the optional ability of an [Engine] to make and drop databases.
// Each method opens connections of its own and closes them.
type Databases interface {
	// Create makes the database and marks it as the tenant's. A database of
	// that name is an error that unwraps to [tenancy.ErrExists], and is not
	// touched. If Create fails it leaves nothing behind, unless the server
	// stopped answering in the middle.
	Create(ctx context.Context, database string, tenant tenancy.ID) error
	// Claim marks a database that exists, so that a creation that was
	// interrupted can go on. A database that is marked as another tenant's, or
	// that is not marked and has tables, is an error that unwraps to
	// [tenancy.ErrExists], and is not touched.
	Claim(ctx context.Context, database string, tenant tenancy.ID) error
	// Drop removes the tenant's database and ends the connections to it. A
	// database that is not marked as this tenant's is an error that unwraps to
	// [tenancy.ErrForbidden], and is not touched; no database of that name is
	// one that unwraps to [tenancy.ErrNotFound].
	Drop(ctx context.Context, database string, tenant tenancy.ID) error
	// Exclusive runs fn while no other process is in Exclusive with the
	// database. Others wait, within ctx. The lock ends when the process dies;
	// when it is lost otherwise, the context that fn was given ends. The error is
	// fn's, as it is, or says why fn did not run. Without a database of that name
	// it may wrap [tenancy.ErrNotFound], or fn runs.
	Exclusive(ctx context.Context, database string, fn func(context.Context) error) error
	// Exists reports whether there is a database of that name.
	Exists(ctx context.Context, database string) (bool, error)
	// Size returns what the database takes on disk, in bytes, as the server
	// counts it.
	Size(ctx context.Context, database string) (int64, error)
}

// Inventory is the optional ability of an [Engine] to say which databases there
// are, so that what creations left that died can be found.
type Inventory interface {
	// Names returns the names of all databases that can be a tenant's, in any order.
	Names(ctx context.Context) ([]string, error)
	// Owner returns the tenant that a database belongs to, as its marker says, or
	// the engine's own name for one that is being made. It returns "" where that is
	// nobody. No such database is an error that wraps [tenancy.ErrNotFound].
	Owner(ctx context.Context, database string) (tenancy.ID, error)
}

// Adopter is the optional ability of an [Engine] to make a database that exists a
// tenant's.
type Adopter interface {
	// Adopt marks the database as the tenant's, whatever is in it. One that is
	// marked, be it as this tenant's unless again is set, is an error that wraps
	// [tenancy.ErrExists]; no database of that name is [tenancy.ErrNotFound].
	Adopt(ctx context.Context, database string, tenant tenancy.ID, again bool) error
	// Release takes the mark of this tenant away again.
	Release(ctx context.Context, database string, tenant tenancy.ID) error
}
