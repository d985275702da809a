// Package mysql is the [driver.Engine] for MySQL and MariaDB, with
// go-sql-driver/mysql.
//
// On MariaDB from 10.11 on, a connection whose session has state is cleaned, and
// an idle one is switched to another tenant's database instead of being closed,
// which costs the server a fraction of a new connection. Connections are closed
// and dialled on MySQL and older servers, of which it is not known what a reset
// leaves behind; where the server has an init_connect, which runs for new
// connections only; and under TLS and compression (the DSN's tls and compress),
// where there is no way to send a command beside the driver.
//
// The server looks at an account's password and its privileges on all databases
// when a connection is made, not when it is switched; [dbpool.Pool.SetServer] with
// a new Engine makes all connections anew.
//
// What one process at a time does with a database (migrations, making, dropping,
// [Engine.Exclusive]) takes named locks (GET_LOCK), which hold on one node of a
// server. Where several nodes take writes, as in Galera, let all processes reach
// the same node: by its address, or by a balancer with one active backend.
package mysql

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// Engine reaches the databases of one MySQL or MariaDB server.
type Engine struct {
	config *mysql.Config
	// rejectReadOnly is the DSN's: a server that takes no writes any more loses
	// its connections.
	rejectReadOnly bool
	utc            bool // sessions have the time zone UTC
}

// utcZone is the time zone UTC as servers without tables of time zones know it.
const utcZone = "+00:00"

var (
	_ driver.Engine            = (*Engine)(nil)
	_ driver.Databases         = (*Engine)(nil)
	_ driver.Inventory         = (*Engine)(nil)
	_ driver.Adopter           = (*Engine)(nil)
	_ driver.ReadOnly          = (*Engine)(nil)
	_ driver.SettingsChecker   = (*Engine)(nil)
	_ driver.SessionCleaner    = (*Engine)(nil)
	_ driver.Switcher          = (*Engine)(nil)
	_ driver.FailureClassifier = (*Engine)(nil)
	_ driver.SendCounter       = (*Engine)(nil)

	_ driver.Interrupter = (*Engine)(nil)
)

// Options are the options of [New].
type Options struct {
	// ConnectTimeout bounds dialling, unless the DSN has a timeout. Default: 10 seconds.
	ConnectTimeout time.Duration
	// BeforeConnect may change the configuration of each new connection, such as a
	// password that expires. Many goroutines call it at once. Default: none.
	BeforeConnect func(context.Context, *mysql.Config) error
}

// New returns the engine for the server that a DSN names: in the driver's form,
// user:password@tcp(host:3306)/, or as a URL, mysql://user:password@host:3306/,
// each with the driver's parameters. A database in it is ignored. The account
// needs CREATE and DROP for the tenants' databases. New connects to nothing. A
// malformed DSN is an error that wraps [tenancy.ErrInvalid] and does not
// show it.
//
// Times are parsed into time.Time, in UTC unless the DSN has a loc. Sessions begin in
// the time zone UTC, too, unless the DSN has a loc or a time_zone. Several statements
// in one query are refused.
func New(dsn string, opts *Options) (*Engine, error) {
	if opts == nil {
		opts = &Options{}
	}
	config, err := parse(dsn)
	if err != nil {
		// The driver's own text may show parts of the password.
		err = fmt.Errorf("%w: malformed DSN, want a form like user:password@tcp(host:3306)/ or "+
			"mysql://user:password@host:3306/, the latter with special characters percent-encoded", tenancy.ErrInvalid)
		return nil, tenancy.Wrap("mysql.New", "", err)
	}
	if opts.BeforeConnect != nil {
		if err := config.Apply(mysql.BeforeConnect(opts.BeforeConnect)); err != nil {
			return nil, tenancy.Wrap("mysql.New", "", err)
		}
	}
	config.DBName = ""
	config.ParseTime = true
	config.MultiStatements = false
	_, set := config.Params["time_zone"]
	utc := !set && config.Loc == time.UTC
	if utc {
		// Or NOW() and CURRENT_TIMESTAMP are in the server's zone, and read as UTC.
		if config.Params == nil {
			config.Params = map[string]string{}
		}
		config.Params["time_zone"] = "'" + utcZone + "'"
	}
	if config.Timeout == 0 {
		config.Timeout = 10 * time.Second
		if opts.ConnectTimeout > 0 {
			config.Timeout = opts.ConnectTimeout
		}
	}
	if config.Net == "tcp" || config.Net == "unix" {
		config.DialFunc = wired(lines)
	}
	e := &Engine{config: config, rejectReadOnly: config.RejectReadOnly, utc: utc}
	config.RejectReadOnly = false // the driver's own way of it leaves no trace of what the server said
	return e, nil
}

func parse(dsn string) (*mysql.Config, error) {
	if !strings.HasPrefix(dsn, "mysql://") && !strings.HasPrefix(dsn, "mariadb://") {
		return mysql.ParseDSN(dsn)
	}
	u, err := url.Parse(dsn)
	if err != nil || u.Hostname() == "" || u.Fragment != "" {
		return nil, errors.New("malformed URL")
	}
	port := u.Port()
	if port == "" {
		port = "3306"
	}
	// With the address in it, so that TLS expects that host's certificate.
	config, err := mysql.ParseDSN("tcp(" + net.JoinHostPort(u.Hostname(), port) + ")/?" + u.RawQuery)
	if err != nil {
		return nil, err
	}
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	return config, nil
}

// DriverName returns "mysql".
func (e *Engine) DriverName() string { return "mysql" }

// Connector returns what opens connections to the database.
func (e *Engine) Connector(database string) (sqldriver.Connector, error) {
	if err := tenancy.ValidateDatabaseName(database); err != nil {
		return nil, err
	}
	c, err := e.connector(database)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (e *Engine) connector(database string) (*connector, error) {
	config := e.config.Clone()
	config.DBName = database
	c, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("%w: configuration of the connection", tenancy.ErrInvalid)
	}
	return &connector{driver: c, engine: e, database: database}, nil
}

// ReadOnlyConnector returns what opens connections whose transactions are
// read-only by default.
func (e *Engine) ReadOnlyConnector(database string) (sqldriver.Connector, error) {
	if err := tenancy.ValidateDatabaseName(database); err != nil {
		return nil, err
	}
	c, err := e.connector(database)
	if err != nil {
		return nil, err
	}
	c.readOnly = true
	return c, nil
}

// CheckSettings asks whether transactions of a connection that only reads are
// read-only. The variable has two names: servers know one of them, or both.
func (e *Engine) CheckSettings(ctx context.Context, conn sqldriver.Conn, readOnly bool) error {
	if !readOnly {
		return nil
	}
	row, err := sqlkit.Strings(ctx, conn, `SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_read_only', 'transaction_read_only')`)
	if err == nil && row[1] != "ON" {
		err = &driver.SettingError{Name: row[0], Want: "ON", Got: row[1]}
	}
	return err
}

// Create makes the database, in utf8mb4, and marks it as the tenant's.
func (e *Engine) Create(ctx context.Context, database string, tenant tenancy.ID) error {
	if err := tenancy.ValidateDatabaseName(database); err != nil {
		return err
	}
	create := func(ctx context.Context) error {
		err := e.alone(ctx, database, func(conn *sql.Conn) error {
			_, err := conn.ExecContext(ctx, `CREATE DATABASE `+sqlkit.MySQL.Quote(database)+` CHARACTER SET utf8mb4`)
			return sqlkit.Sent(err)
		})
		if sqlkit.IsDatabaseExists(err) {
			return fmt.Errorf("%w: database %q", tenancy.ErrExists, database)
		}
		return err
	}
	mark := func(ctx context.Context) error {
		return e.in(database, func(db *sql.DB) error { return sqlkit.Mark(ctx, db, sqlkit.MySQL, tenant) })
	}
	undo := func(ctx context.Context) error {
		return e.alone(ctx, database, func(conn *sql.Conn) error {
			unclaimed := false
			err := e.in(database, func(db *sql.DB) (err error) {
				unclaimed, err = sqlkit.Unclaimed(ctx, db, sqlkit.MySQL, tenant)
				return err
			})
			if err != nil || !unclaimed {
				return err
			}
			return drop(ctx, conn, database)
		})
	}
	return sqlkit.Make(ctx, create, mark, undo)
}

// Claim marks a database that exists. It waits until nobody drops it: the marker is not
// the last table to go.
func (e *Engine) Claim(ctx context.Context, database string, tenant tenancy.ID) error {
	return e.alone(ctx, database, func(*sql.Conn) error {
		return e.in(database, func(db *sql.DB) error { return sqlkit.Claim(ctx, db, sqlkit.MySQL, tenant) })
	})
}

// The server compares names in information_schema without regard to case, and
// knows databases whose names differ in nothing else: hence the binary strings.

// Drop removes the tenant's database and ends the connections to it, as far as
// they are of the same account or the account may end others'.
func (e *Engine) Drop(ctx context.Context, database string, tenant tenancy.ID) error {
	// The server goes on with a DROP whose client has died, and the marker is not the
	// last table to go: look at it when nobody drops.
	return e.alone(ctx, database, func(conn *sql.Conn) error {
		err := e.in(database, func(db *sql.DB) error { return sqlkit.CheckOwner(ctx, db, sqlkit.MySQL, tenant) })
		if err != nil {
			return err
		}
		return drop(ctx, conn, database)
	})
}

// Names returns the names of all databases that the account sees.
func (e *Engine) Names(ctx context.Context) (names []string, err error) {
	err = e.connect(func(db *sql.DB) error {
		return sqlx.NewDb(db, e.DriverName()).SelectContext(ctx, &names, `SELECT schema_name FROM information_schema.schemata`)
	})
	return sqlkit.Tenantable(names), err
}

// Owner returns the tenant that the database is marked as.
func (e *Engine) Owner(ctx context.Context, database string) (owner tenancy.ID, err error) {
	err = e.in(database, func(db *sql.DB) error {
		owner, err = sqlkit.Owner(ctx, db, sqlkit.MySQL)
		return err
	})
	return owner, err
}

func drop(ctx context.Context, conn *sql.Conn, database string) error {
	_, err := conn.ExecContext(ctx, `DROP DATABASE `+sqlkit.MySQL.Quote(database))
	if sqlkit.IsNoDatabase(err) {
		return fmt.Errorf("%w: %w", tenancy.ErrNotFound, err)
	}
	if err != nil {
		return err
	}
	// A session stays in a database that is gone, and would be in the next
	// one of that name.
	sessions, err := sessionsIn(ctx, conn, database)
	for _, id := range sessions {
		_, kill := conn.ExecContext(ctx, fmt.Sprintf(`KILL %d`, id))
		if kill != nil && !sqlkit.IsNoSession(kill) {
			err = errors.Join(err, kill)
		}
	}
	return err
}

func sessionsIn(ctx context.Context, conn *sql.Conn, database string) (ids []int64, err error) {
	rows, err := conn.QueryContext(ctx, `SELECT id FROM information_schema.processlist WHERE db = CAST(? AS BINARY)`, database)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// alone runs fn on the server while nobody else makes or drops the database: a
// session in the next one of that name must not be ended with those in this one.
func (e *Engine) alone(ctx context.Context, database string, fn func(*sql.Conn) error) error {
	if err := tenancy.ValidateDatabaseName(database); err != nil {
		return err // a lock without a name is never free
	}
	return e.connect(func(db *sql.DB) error { return sqlkit.Alone(ctx, db, database, fn) })
}

// Exclusive runs fn while it holds a named lock of the server.
func (e *Engine) Exclusive(ctx context.Context, database string, fn func(context.Context) error) error {
	if err := tenancy.ValidateDatabaseName(database); err != nil {
		return err
	}
	return e.connect(func(db *sql.DB) error { return sqlkit.Exclusive(ctx, db, sqlkit.MySQL, database, fn) })
}

// Adopt marks a database that exists, with whatever is in it. As Claim, it waits until
// nobody drops it.
func (e *Engine) Adopt(ctx context.Context, database string, tenant tenancy.ID, again bool) error {
	return e.alone(ctx, database, func(*sql.Conn) error {
		return e.in(database, func(db *sql.DB) error { return sqlkit.Adopt(ctx, db, sqlkit.MySQL, tenant, again) })
	})
}

// Adopted reports whether the tenant's database was adopted, and not in service since. As
// Drop, it waits until nobody drops it.
func (e *Engine) Adopted(ctx context.Context, database string, tenant tenancy.ID) (adopted bool, err error) {
	err = e.alone(ctx, database, func(*sql.Conn) error {
		return e.in(database, func(db *sql.DB) error {
			adopted, err = sqlkit.Adopted(ctx, db, sqlkit.MySQL, tenant)
			return err
		})
	})
	return adopted, err
}

// Release takes the tenant's mark away.
func (e *Engine) Release(ctx context.Context, database string, tenant tenancy.ID) error {
	return e.in(database, func(db *sql.DB) error { return sqlkit.Release(ctx, db, sqlkit.MySQL, tenant) })
}

// Exists reports whether there is a database of that name.
func (e *Engine) Exists(ctx context.Context, database string) (exists bool, err error) {
	err = e.connect(func(db *sql.DB) error {
		return db.QueryRowContext(ctx, `SELECT COUNT(*) > 0 FROM information_schema.schemata WHERE schema_name = CAST(? AS BINARY)`, database).Scan(&exists)
	})
	return exists, err
}

// Size returns the sum of data and indexes over all tables, in bytes, which the
// server estimates.
func (e *Engine) Size(ctx context.Context, database string) (size int64, err error) {
	exists, err := e.Exists(ctx, database)
	if err == nil && !exists {
		err = fmt.Errorf("%w: database %q", tenancy.ErrNotFound, database)
	}
	if err != nil {
		return 0, err
	}
	err = e.connect(func(db *sql.DB) error {
		return db.QueryRowContext(ctx,
			`SELECT COALESCE(SUM(data_length + index_length), 0) FROM information_schema.tables WHERE table_schema = CAST(? AS BINARY)`, database).Scan(&size)
	})
	return size, err
}

// connect runs fn on the server, with no database chosen.
func (e *Engine) connect(fn func(*sql.DB) error) error {
	c, err := e.connector("")
	if err != nil {
		return err
	}
	return sqlkit.On(c, fn)
}

// in runs fn on a tenant's database.
func (e *Engine) in(database string, fn func(*sql.DB) error) error {
	c, err := e.Connector(database)
	if err != nil {
		return err
	}
	return sqlkit.On(c, fn)
}

// connBytes is what BenchmarkConnBytes of package dbpool measured.
const connBytes = 20 << 10

// ConnBytes implements [driver.ConnSizer].
func (*Engine) ConnBytes() int64 { return connBytes }
