// Package driver is what the author of an engine for package dbpool implements, as
// database/sql/driver is for database/sql. Applications do not need it, except for the
// name [Engine].
//
// An engine reaches the databases of one server. [Engine] is required. Everything else
// is an optional ability, an interface of its own that the pool looks for once, when it
// is given the engine:
//
//   - [Databases], [Inventory], [Adopter]: make, list, and adopt databases
//   - [ReadOnly], [SettingsChecker]: connections that only read; settings that must hold
//   - [SessionCleaner], [Switcher]: use a session again, for the same database or another
//   - [FailureClassifier], [FaultClassifier], [SendCounter]: what an error means
//   - [CloseNotifier], [SessionKiller], [Interrupter]: how connections and statements end
//   - [SingleWriter], [FileBacked]: databases that are files
//   - [Replication]: how far a server's data is
//   - [ConnSizer]: what a connection costs in memory
//
// The functions of an engine are called by many goroutines at once. An error that wraps
// a sentinel of package tenancy says what the caller can do; no error shows credentials.
// tenancytest.TestEngine tests all of this on a real server.
package driver

import (
	"context"
	sqldriver "database/sql/driver"
	"fmt"
	"os"

	"github.com/artflow-studio/tenancy"
)

// Engine reaches the databases of one server. The packages dbpool/postgres,
// dbpool/mysql and dbpool/sqlite have one each.
//
// An Engine opens nothing that it keeps: each connection belongs to the caller that
// asked for it.
type Engine interface {
	// DriverName is the name by which sqlx knows the dialect: pgx, mysql, sqlite.
	DriverName() string
	// Connector returns what opens physical connections to a database. It does
	// no I/O. A connection to a database that does not exist is an error that
	// wraps [tenancy.ErrNotFound], and makes no database.
	Connector(database string) (sqldriver.Connector, error)
	// Identify asks the server, in one round trip, which database the
	// connection reaches and which tenant owns it.
	Identify(ctx context.Context, conn sqldriver.Conn) (Identity, error)
}

// Identity is what a server says of a connection.
type Identity struct {
	Database string
	// Tenant is the ID in the database's marker, a table with a single row
	// called tenancy_marker. It is empty when there is no marker.
	Tenant tenancy.ID
}

// ReadOnly is the optional ability to open connections through which nothing is
// written, unless a statement asks for it on purpose.
type ReadOnly interface {
	// ReadOnlyConnector is as Connector.
	ReadOnlyConnector(database string) (sqldriver.Connector, error)
}

// SettingsChecker is the optional ability to check that a session has the settings on
// which the pool's promises rest, such as that it only reads. What a connection asked
// for when it was made says little: a pooler in between may drop it.
type SettingsChecker interface {
	// CheckSettings asks the server, in one round trip at most, after Identify. A
	// session that is not as its connector makes it is a [*SettingError], and the
	// caller closes the connection.
	CheckSettings(ctx context.Context, conn sqldriver.Conn, readOnly bool) error
}

// SettingError says that a session does not have a setting on which a promise of the
// pool rests. The pool closes the connection before anybody can use it. It wraps
// [tenancy.ErrUnavailable].
type SettingError struct {
	// Name is the setting, as the server calls it.
	Name      string
	Want, Got string
}

// Error returns the text for logs.
func (e *SettingError) Error() string {
	return fmt.Sprintf("the session has %s %q, want %q: something between here and the server drops settings, or the server's defaults are different",
		e.Name, e.Got, e.Want)
}

// Unwrap returns [tenancy.ErrUnavailable].
func (e *SettingError) Unwrap() error { return tenancy.ErrUnavailable }

// SessionCleaner is the optional ability to clean a session for its next user. Without
// it the pool closes a connection whose session may have state.
type SessionCleaner interface {
	// Clean brings the session into the state of a new one, in one round trip.
	// The caller closes a connection for which it fails.
	Clean(ctx context.Context, conn sqldriver.Conn) error
}

// Switcher is the optional ability to repoint an open connection to another database
// faster than dialing. Without it the pool closes the connection and dials.
type Switcher interface {
	// Switch makes of a connection what to.Connect would return. Both are of this
	// Engine: one of its connectors opened the connection, for whichever
	// database, and nothing runs on it.
	//
	// After nil the connection reaches the other database, with the session of a
	// new connection: nothing can be seen of what any statement left in it, be it
	// by a trigger or a view. The caller calls Identify before anybody uses it.
	// [sqldriver.ErrSkip] says that this connection cannot be switched, and is as it
	// was. After any other error the caller closes the connection.
	Switch(ctx context.Context, conn sqldriver.Conn, to sqldriver.Connector) error
}

// FileBacked is the optional ability of an engine whose databases are files, which this
// process reads and writes itself. The pool closes a connection to a file that was
// removed or replaced since: what such a connection writes would be lost.
type FileBacked interface {
	// File describes the file that is at the database's path now.
	File(database string) (os.FileInfo, error)
}

// SingleWriter is the optional ability of an engine whose databases take one
// writer at a time. The pool then makes writers wait for each other in the order in
// which they came, until their context ends or for dbpool.Options.MaxWait, and not in
// the driver, which tries again and again and fails in the end.
//
// A transaction writes from its beginning to its end, unless it is read-only;
// other statements that may write do while they run, or while their rows are
// read.
type SingleWriter interface {
	// SingleWriter reports whether it is so.
	SingleWriter() bool
}

// ConnSizer is the optional ability to say what memory of this process a connection
// takes. Without it the pool assumes 32 KiB.
type ConnSizer interface {
	// ConnBytes returns what a connection takes that has run a few small statements.
	ConnBytes() int64
}

// CloseNotifier is the optional ability to tell when a connection that was closed has
// really ended. Its slot of the budget is free only then.
type CloseNotifier interface {
	// Closed returns a channel that is closed when the server has hung up on a closed
	// connection, or nil if it has.
	Closed(conn sqldriver.Conn) <-chan struct{}
}

// SessionKiller is the optional ability of an engine whose server runs a statement to
// its end though its connection was closed, as MySQL does. The pool keeps the
// session's slot of the budget, and kills the session over another
// connection. Values of a type that has the ability can be compared.
type SessionKiller interface {
	CloseNotifier
	// Server returns what connects to the server itself, in no tenant's
	// database. It does no I/O.
	Server() (sqldriver.Connector, error)
	// Kill asks the server, over one connection, to kill the session of a connection
	// that was already closed. It reports true once the server has no such session. It
	// does not wait for that, takes one round trip, and may be called again.
	// It leaves nothing in the session of the connection that it goes over.
	//
	// That connection may reach another server by now, or the server may have been
	// restarted and given the session's number to another session: Kill ends no session
	// but the one that [Engine.Identify] has seen over the closed connection.
	Kill(ctx context.Context, over, closed sqldriver.Conn) (gone bool, err error)
}

// Interrupter is the optional ability of an engine whose driver ignores the context
// while it skips rows that nobody reads.
type Interrupter interface {
	// Interrupt makes whatever the connection waits for fail when the context
	// ends, until stop is called.
	Interrupt(ctx context.Context, conn sqldriver.Conn) (stop func())
}

// Databases is the optional ability to make and drop databases.
// Each method opens connections of its own and closes them.
type Databases interface {
	// Create makes the database and marks it as the tenant's. A database of
	// that name is an error that wraps [tenancy.ErrExists], and is not
	// touched. If Create fails it leaves nothing behind, unless the server
	// stopped answering in the middle, or another process has claimed the
	// database for the tenant meanwhile: that wraps [tenancy.ErrExists], too.
	Create(ctx context.Context, database string, tenant tenancy.ID) error
	// Claim marks a database that exists, so that a creation that was
	// interrupted can go on. A database that is marked as another tenant's, or
	// that is not marked and has tables, is an error that wraps
	// [tenancy.ErrExists], and is not touched.
	Claim(ctx context.Context, database string, tenant tenancy.ID) error
	// Drop removes the tenant's database and ends the connections to it. A
	// database that is not marked as this tenant's is an error that wraps
	// [tenancy.ErrForbidden], and is not touched; no database of that name is
	// one that wraps [tenancy.ErrNotFound].
	Drop(ctx context.Context, database string, tenant tenancy.ID) error
	// Exclusive runs fn while no other process is in Exclusive with the
	// database. Others wait, within ctx. The lock ends when the process dies;
	// when it is lost otherwise, the context that fn was given ends, and the error
	// wraps [tenancy.ErrUnavailable], even if fn returned nil. Otherwise the error is
	// fn's, as it is, or says why fn did not run. Without a database of that name
	// it may wrap [tenancy.ErrNotFound], or fn runs.
	Exclusive(ctx context.Context, database string, fn func(context.Context) error) error
	// Exists reports whether there is a database of that name.
	Exists(ctx context.Context, database string) (bool, error)
	// Size returns what the database takes on disk, in bytes, as the server
	// counts it. No database of that name is an error that wraps
	// [tenancy.ErrNotFound].
	Size(ctx context.Context, database string) (int64, error)
}

// Inventory is the optional ability to say which databases there are, so that what
// an interrupted creation left behind can be found.
type Inventory interface {
	// Names returns the names of all databases that can be a tenant's, in any order.
	Names(ctx context.Context) ([]string, error)
	// Owner returns the tenant that a database belongs to, as its marker says, or
	// the engine's own name for one that is being made. It returns "" where that is
	// nobody. No such database is an error that wraps [tenancy.ErrNotFound].
	Owner(ctx context.Context, database string) (tenancy.ID, error)
}

// Adopter is the optional ability to make a database that exists a tenant's.
type Adopter interface {
	// Adopt marks the database as the tenant's, whatever is in it. A marked database is
	// an error that wraps [tenancy.ErrExists]; with again set, one marked as this tenant's
	// is not. No database of that name is [tenancy.ErrNotFound]. Before it
	// marks the database, Adopt makes a table in it called tenancy_provisioning, with one
	// column, record, and one row, 0.
	Adopt(ctx context.Context, database string, tenant tenancy.ID, again bool) error
	// Adopted reports whether the table of Adopt and its row are there still: the tenant
	// has not been in service yet, and what is in the database was there before. A
	// database that is not marked as this tenant's is an error that wraps
	// [tenancy.ErrForbidden]; no database of that name is [tenancy.ErrNotFound].
	Adopted(ctx context.Context, database string, tenant tenancy.ID) (bool, error)
	// Release takes the mark of this tenant away again.
	Release(ctx context.Context, database string, tenant tenancy.ID) error
}

// Failure says what an error of a statement means for its connection, and for
// the caller of the statement.
type Failure int

const (
	// FailureOfStatement is an error about the statement. The connection stays.
	FailureOfStatement Failure = iota
	// FailureUnable is an error of a server that cannot do now what was asked,
	// such as one whose disk is full. The connection stays, and the caller finds
	// [tenancy.ErrUnavailable].
	FailureUnable
	// FailureLost is the end of the connection. Nobody knows whether the
	// statement was executed, so it is not repeated: the caller finds
	// [tenancy.ErrUnavailable].
	FailureLost
	// FailureNotExecuted is the end of a connection whose statement was
	// certainly not executed. Outside of transactions database/sql repeats the
	// statement on another connection, unless it is a call, or several statements,
	// of which a part may have been executed.
	FailureNotExecuted
	// FailureStale is an error about what the connection keeps of an earlier
	// statement, such as a plan that was made before a migration. The statement
	// was not executed, and is repeated as above. All connections that the
	// tenant has then end after their current use.
	FailureStale
)

// FailureClassifier is the optional ability to tell errors apart that happen while a
// connection is used. Without it only [sqldriver.ErrBadConn] ends a connection.
type FailureClassifier interface {
	// Failure classifies an error that a connection returned from any of its
	// calls, or from those of its statements, rows and transactions. It is not
	// called with [sqldriver.ErrBadConn].
	Failure(conn sqldriver.Conn, err error) Failure
}

// SendCounter is the optional ability to tell whether a connection has
// sent anything. Without it a statement for which the driver returns
// [sqldriver.ErrBadConn] counts as one that may have been executed.
type SendCounter interface {
	// Sent returns a number that has grown whenever anything may have been sent.
	Sent(conn sqldriver.Conn) int64
}

// Fault says what a failed dial is about.
type Fault uint8

const (
	// FaultUnclear is about one database or about the whole server.
	FaultUnclear Fault = iota
	// FaultDatabase is the server's answer about one database. The server works.
	FaultDatabase
	// FaultServer says that the server cannot be reached, or refuses everybody.
	FaultServer
)

// String returns the word for logs.
func (f Fault) String() string {
	switch f {
	case FaultUnclear:
		return "unclear"
	case FaultDatabase:
		return "database"
	case FaultServer:
		return "server"
	}
	return fmt.Sprintf("Fault(%d)", uint8(f))
}

// FaultClassifier is the optional ability to tell an error about one
// database from an error about its server. The pool stops dialing a server that
// fails for several tenants; errors about single databases do not count. Without
// this ability every error counts, except [tenancy.ErrNotFound], the pool's
// IdentityError and [*SettingError].
type FaultClassifier interface {
	// Fault classifies an error of Connect or Identify by its code. It does no I/O.
	Fault(err error) Fault
	// CheckServer opens a connection to the server itself, in no tenant's database, and
	// closes it. The pool calls it after a FaultUnclear: if the server answers, the
	// fault is the database's. An error for which Fault returns FaultDatabase is an
	// answer too.
	CheckServer(ctx context.Context) error
}

// Replication is the optional ability of an engine whose server may be a
// read replica of another, or have read replicas. It is how a reader knows that a
// replica has what was written on the primary before.
//
//	want, err := primary.Position(ctx, conn) // after the commit
//	...
//	at, err := replica.Position(ctx, other)
//	fresh := err == nil && replica.Reached(at, want)
type Replication interface {
	// Server returns what connects to the server itself, in no tenant's
	// database. It does no I/O.
	Server() (sqldriver.Connector, error)
	// Position asks the server, in one round trip, how far its data is. The
	// connection may reach any of its databases, and must not be in a
	// transaction. An account needs no privilege for it.
	//
	// On a primary the position includes at least everything that was committed
	// before the call, in all databases. On a replica it includes at most what
	// queries that begin after the call see.
	//
	// A server that cannot tell, such as one that keeps no log for replicas, is
	// an error that wraps [tenancy.ErrInvalid].
	Position(ctx context.Context, conn sqldriver.Conn) (Position, error)
	// Reached reports whether a server at one position has everything that a
	// primary had at the other. It is false where positions cannot be compared:
	// one is malformed, or another engine's, or of another history, such as that
	// of a primary before a failover. Engines say how well they tell histories
	// apart. A caller that gets false asks the primary. Reached does no I/O, and takes
	// texts from anywhere.
	Reached(at, want Position) bool
}

// Position is a place in a server's history of writes. It is short, of the
// characters A-Z a-z 0-9 . , : / - only, and may be kept elsewhere meanwhile,
// such as in a cookie or a job. It holds no secret, but tells how much is
// written on the server. Its meaning is the engine's.
//
// A position does not name its server: where there are several, keep
// [tenancy.Placement.Server] with it, and compare only positions of that server
// and its replicas.
type Position string
