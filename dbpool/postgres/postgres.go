// Package postgres is the [driver.Engine] for PostgreSQL, with pgx.
package postgres

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// cancelTimeout is how long the server may take to cancel a query, until the
// connection is given up.
const cancelTimeout = time.Second

// Engine reaches the databases of one PostgreSQL server.
type Engine struct {
	config   *pgx.ConnConfig
	template string
	before   func(context.Context, *pgx.ConnConfig) error // nil: none

	templateSeen atomic.Bool // the template is nobody's
}

var (
	_ driver.Engine            = (*Engine)(nil)
	_ driver.Databases         = (*Engine)(nil)
	_ driver.Inventory         = (*Engine)(nil)
	_ driver.Adopter           = (*Engine)(nil)
	_ driver.SessionCleaner    = (*Engine)(nil)
	_ driver.CloseNotifier     = (*Engine)(nil)
	_ driver.ReadOnly          = (*Engine)(nil)
	_ driver.FailureClassifier = (*Engine)(nil)
	_ driver.SendCounter       = (*Engine)(nil)
	_ driver.SettingsChecker   = (*Engine)(nil)
)

// Options are the options of [New].
type Options struct {
	// Template is the database that new ones are copies of. Nobody may be
	// connected to it meanwhile, and it must not be a tenant's. Default: the
	// server's own, template1.
	Template string
	// ConnectTimeout bounds making a connection, unless the DSN has a
	// connect_timeout. Default: 10 seconds.
	ConnectTimeout time.Duration
	// BeforeConnect may change the configuration of each new connection: a password
	// that expires, a tracer. It must change immediate members only. Many goroutines
	// call it at once. Default: none.
	BeforeConnect func(context.Context, *pgx.ConnConfig) error
}

// New returns the engine for the server that a DSN names, as a URL or in
// keywords; see [pgx.ParseConfig]. Its database is the one that databases are
// made and dropped from. The role needs CREATEDB for that. New connects to
// nothing. A malformed DSN is an error that wraps [tenancy.ErrInvalid] and
// does not show it.
func New(dsn string, opts *Options) (*Engine, error) {
	if opts == nil {
		opts = &Options{}
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// The driver's own text may show parts of the password.
		err = fmt.Errorf("%w: malformed DSN, want a form like postgres://user:password@host:5432/postgres?sslmode=require, "+
			"with special characters percent-encoded", tenancy.ErrInvalid)
		return nil, tenancy.Wrap("postgres.New", "", err)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
		if opts.ConnectTimeout > 0 {
			config.ConnectTimeout = opts.ConnectTimeout
		}
	}
	config.DialFunc = sqlkit.DialLine
	// A query whose context ends is cancelled on the server, and the connection
	// lives on: a new one costs the server a hundred times as much.
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: cancelTimeout}
	}
	return &Engine{config: config, template: opts.Template, before: opts.BeforeConnect}, nil
}

// DriverName returns "pgx".
func (e *Engine) DriverName() string { return "pgx" }

// Connector returns what opens connections to the database.
func (e *Engine) Connector(database string) (sqldriver.Connector, error) {
	if err := tenancy.ValidateDatabaseName(database); err != nil {
		return nil, err
	}
	config := e.config.Copy()
	config.Database = database
	return e.newConnector(config), nil
}

// ReadOnlyConnector returns what opens connections whose transactions are
// read-only by default.
func (e *Engine) ReadOnlyConnector(database string) (sqldriver.Connector, error) {
	if err := tenancy.ValidateDatabaseName(database); err != nil {
		return nil, err
	}
	config := e.config.Copy()
	config.Database = database
	config.RuntimeParams[readOnlySetting] = "on"
	return e.newConnector(config), nil
}

// Identify asks in one round trip, by the simple protocol. A statement that
// fails ends neither the session nor a transaction, so without a marker the
// database's name is asked for alone.
func (e *Engine) Identify(ctx context.Context, conn sqldriver.Conn) (driver.Identity, error) {
	c, err := pgxConn(conn)
	if err != nil {
		return driver.Identity{}, err
	}
	row, err := queryRow(ctx, c, `SELECT pg_catalog.current_database(), (SELECT tenant_id FROM public.tenancy_marker)`, 2)
	if sqlkit.IsNoTable(err) {
		row, err = queryRow(ctx, c, `SELECT pg_catalog.current_database(), ''`, 2)
	}
	if err != nil {
		return driver.Identity{}, err
	}
	return driver.Identity{Database: row[0], Tenant: tenancy.ID(row[1])}, nil
}

// readOnlySetting makes transactions read-only. Poolers drop or refuse it.
const readOnlySetting = "default_transaction_read_only"

// CheckSettings asks whether transactions of a connection that only reads are
// read-only.
func (e *Engine) CheckSettings(ctx context.Context, conn sqldriver.Conn, readOnly bool) error {
	if !readOnly {
		return nil
	}
	c, err := pgxConn(conn)
	if err != nil {
		return err
	}
	row, err := queryRow(ctx, c, `SELECT pg_catalog.current_setting('`+readOnlySetting+`')`, 1)
	if err == nil && row[0] != "on" {
		err = &driver.SettingError{Name: readOnlySetting, Want: "on", Got: row[0]}
	}
	return err
}

// queryRow returns the only row of a query, of that many columns, as texts, with
// "" for NULL.
func queryRow(ctx context.Context, conn *pgx.Conn, query string, columns int) ([]string, error) {
	results, err := conn.PgConn().Exec(ctx, query).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != columns {
		return nil, errors.New("the server sent no row")
	}
	row := make([]string, columns)
	for i, value := range results[0].Rows[0] {
		row[i] = string(value)
	}
	return row, nil
}

// Claim marks a database that exists.
func (e *Engine) Claim(ctx context.Context, database string, tenant tenancy.ID) error {
	return e.in(ctx, database, func(db *sql.DB) error { return sqlkit.Claim(ctx, db, sqlkit.Postgres, tenant) })
}

// dropLock is what the name of the lock begins with in which a database is dropped.
const dropLock = "tenancy:drop:"

// dropTimeout is how long the server has to drop a database, also for a caller whose context has ended: a drop that is
// interrupted leaves a database that nobody can use.
const dropTimeout = 10 * time.Minute

// Drop removes the tenant's database and ends the connections to it. It waits while another
// drops a database of that name. Once it has begun it goes on when ctx ends.
func (e *Engine) Drop(ctx context.Context, database string, tenant tenancy.ID) error {
	if isMaking(database) {
		return e.dropMaking(ctx, database, tenant)
	}
	if err := tenancy.ValidateDatabaseName(database); err != nil {
		return err
	}
	return e.connect(ctx, func(conn *pgx.Conn) error {
		if err := sqlkit.CheckSession(ctx, conn); err != nil {
			return err
		}
		// The lock covers the look and the drop. A process that loses it in between has lost its
		// session, and so cannot drop the next database of that name.
		unlock, err := lockName(ctx, conn, dropLock+database)
		if err != nil {
			return err
		}
		defer unlock()
		err = e.in(ctx, database, func(db *sql.DB) error { return sqlkit.CheckOwner(ctx, db, sqlkit.Postgres, tenant) })
		if errors.Is(err, tenancy.ErrNotFound) {
			// What is left of a drop that was interrupted, behind this look, is dropped without it: nobody can look any more.
			half := false
			if e := conn.QueryRow(ctx, `SELECT datconnlimit = -2 FROM pg_catalog.pg_database WHERE datname = $1`, database).Scan(&half); e == nil && half {
				err = nil
			}
		}
		if err != nil {
			return err
		}
		return drop(ctx, conn, database)
	})
}

// drop drops a database whose owner the caller has looked at.
func drop(ctx context.Context, conn *pgx.Conn, database string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	lives := sqlkit.EndsSession(ctx)
	uncut, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTimeout)
	defer cancel()
	_, err := conn.Exec(uncut, `DROP DATABASE `+sqlkit.Postgres.Quote(database)+` WITH (FORCE)`)
	if err != nil {
		lives()
	}
	if sqlkit.IsNoDatabase(err) {
		return fmt.Errorf("%w: database %q", tenancy.ErrNotFound, database)
	}
	return err
}

// Exclusive runs fn while it holds an advisory lock of the database.
func (e *Engine) Exclusive(ctx context.Context, database string, fn func(context.Context) error) error {
	c, err := e.Connector(database)
	if err != nil {
		return err
	}
	began := false
	err = sqlkit.On(c, func(db *sql.DB) error {
		return sqlkit.Exclusive(ctx, db, sqlkit.Postgres, database, func(ctx context.Context) error {
			began = true
			return fn(ctx)
		})
	})
	if began {
		return err
	}
	return e.dropped(ctx, database, err)
}

// dropped makes the error of a session that the server ended one that wraps
// [tenancy.ErrNotFound] if the database is not there any more. Dropping a database ends
// the sessions in it; a shutdown or an operator ends them with the same error. A new connection
// tells the cases apart, because it waits until the database is dropped. Behind a pooler, which
// answers in the server's place, the list of databases does.
func (e *Engine) dropped(ctx context.Context, database string, err error) error {
	if !sqlkit.IsTerminated(err) {
		return err
	}
	gone := e.ping(ctx, database)
	if !errors.Is(gone, tenancy.ErrNotFound) {
		if there, e := e.Exists(ctx, database); e != nil || there {
			return err
		}
	}
	return fmt.Errorf("%w: database %q was dropped meanwhile: %w", tenancy.ErrNotFound, database, err)
}

// ping makes a new connection to the database and closes it.
func (e *Engine) ping(ctx context.Context, database string) error {
	c, err := e.Connector(database)
	if err != nil {
		return err
	}
	return sqlkit.On(c, func(db *sql.DB) error { return db.PingContext(ctx) })
}

// Adopt marks a database that exists, with whatever is in it.
func (e *Engine) Adopt(ctx context.Context, database string, tenant tenancy.ID, again bool) error {
	return e.in(ctx, database, func(db *sql.DB) error { return sqlkit.Adopt(ctx, db, sqlkit.Postgres, tenant, again) })
}

// Adopted reports whether the tenant's database was adopted, and not in service since.
func (e *Engine) Adopted(ctx context.Context, database string, tenant tenancy.ID) (adopted bool, err error) {
	if isMaking(database) {
		return false, nil
	}
	err = e.in(ctx, database, func(db *sql.DB) error {
		adopted, err = sqlkit.Adopted(ctx, db, sqlkit.Postgres, tenant)
		return err
	})
	return adopted, err
}

// Release takes the tenant's mark away.
func (e *Engine) Release(ctx context.Context, database string, tenant tenancy.ID) error {
	return e.in(ctx, database, func(db *sql.DB) error { return sqlkit.Release(ctx, db, sqlkit.Postgres, tenant) })
}

// Exists reports whether there is a database of that name.
func (e *Engine) Exists(ctx context.Context, database string) (bool, error) {
	_, err := e.Size(ctx, database)
	if errors.Is(err, tenancy.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Size returns what pg_database_size says, in bytes.
func (e *Engine) Size(ctx context.Context, database string) (size int64, err error) {
	err = e.connect(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT pg_catalog.pg_database_size(oid) FROM pg_catalog.pg_database WHERE datname = $1`, database).Scan(&size)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("%w: database %q", tenancy.ErrNotFound, database)
	}
	return size, err
}

// connect runs fn on a session of the database that the DSN names.
func (e *Engine) connect(ctx context.Context, fn func(*pgx.Conn) error) error {
	config := e.config.Copy()
	if e.before != nil {
		if err := e.before(ctx, config); err != nil {
			return err
		}
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return fn(conn)
}

// in runs fn on a tenant's database.
func (e *Engine) in(ctx context.Context, database string, fn func(*sql.DB) error) error {
	c, err := e.Connector(database)
	if err != nil {
		return err
	}
	return e.dropped(ctx, database, sqlkit.On(c, fn))
}

// connBytes is what BenchmarkConnBytes of package dbpool measured.
const connBytes = 80 << 10

// ConnBytes implements [driver.ConnSizer].
func (*Engine) ConnBytes() int64 { return connBytes }
