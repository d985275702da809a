package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// makingPrefix is what the names of databases begin with that are being made. A
// database gets its own name when it is complete and marked, so that one of that
// name is always somebody's, and what a creator leaves that dies can be told.
const makingPrefix = "tenancy_making_"

// making returns the name of a tenant's database while it is being made, of at
// most 60 bytes.
func making(database string, tenant tenancy.ID) string {
	sum := sha256.Sum256([]byte(database))
	return fmt.Sprintf("%s%s_%x", makingPrefix, tenant, sum[:4])
}

// Create makes the database and marks it as the tenant's. A template that is
// marked as a tenant's is an error that wraps [tenancy.ErrInvalid].
func (e *Engine) Create(ctx context.Context, database string, tenant tenancy.ID) error {
	if err := errors.Join(tenancy.ValidateDatabaseName(database), tenant.Validate()); err != nil {
		return err
	}
	if err := e.checkTemplate(ctx); err != nil {
		return err
	}
	return e.connect(ctx, func(conn *pgx.Conn) error {
		if err := sqlkit.CheckSession(ctx, conn); err != nil {
			return err
		}
		m := &maker{e, conn, database, making(database, tenant), tenant}
		unlock, err := m.lock(ctx)
		if err != nil {
			return err
		}
		defer unlock()
		return sqlkit.Make(ctx, m.create, m.mark, m.drop)
	})
}

// checkTemplate returns an error if the template is a tenant's. One that is in
// order is not looked at again, because nobody may be connected to it while it is
// copied; each copy is looked at.
func (e *Engine) checkTemplate(ctx context.Context) error {
	if e.template == "" || e.templateSeen.Load() {
		return nil
	}
	err := e.in(ctx, e.template, func(db *sql.DB) error {
		owner, err := sqlkit.Owner(ctx, db, sqlkit.Postgres)
		if err == nil && owner != "" {
			return e.errTemplate()
		}
		return err
	})
	if err == nil {
		e.templateSeen.Store(true)
	}
	if errors.Is(err, tenancy.ErrInvalid) || ctx.Err() != nil {
		return err
	}
	return nil // it may refuse connections, and be copied all the same
}

func (e *Engine) errTemplate() error {
	return fmt.Errorf("%w: the template %q is the database of a tenant; its copies would have that tenant's data", tenancy.ErrInvalid, e.template)
}

// maker makes one database, on a session of the database that the DSN names.
type maker struct {
	*Engine
	conn     *pgx.Conn
	database string
	making   string
	tenant   tenancy.ID
}

// lock keeps others from making the same database. It goes with the session.
func (m *maker) lock(ctx context.Context) (unlock func(), err error) {
	return lockName(ctx, m.conn, m.making)
}

func (m *maker) tryLock(ctx context.Context) (unlock func(), free bool, err error) {
	return tryLockName(ctx, m.conn, m.making)
}

// lockName takes the advisory lock of a name, in the database that the DSN names.
func lockName(ctx context.Context, conn *pgx.Conn, name string) (unlock func(), err error) {
	err = sqlkit.Poll(ctx, func() (free bool, err error) {
		unlock, free, err = tryLockName(ctx, conn, name)
		return free, err
	})
	return unlock, err
}

func tryLockName(ctx context.Context, conn *pgx.Conn, name string) (unlock func(), free bool, err error) {
	key := sqlkit.LockKey(name)
	unlock = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_, _ = conn.Exec(ctx, `SELECT pg_catalog.pg_advisory_unlock($1)`, key)
	}
	err = conn.QueryRow(ctx, `SELECT pg_catalog.pg_try_advisory_lock($1)`, key).Scan(&free)
	return unlock, free, err
}

func (m *maker) create(ctx context.Context) error {
	var exists bool
	err := m.conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1)`, m.database).Scan(&exists)
	if err == nil && exists {
		err = m.errExists()
	}
	if err == nil {
		err = m.drop(ctx) // what a creator left that died
	}
	if err != nil {
		return err
	}
	statement := `CREATE DATABASE ` + sqlkit.Postgres.Quote(m.making)
	if m.template != "" {
		statement += ` TEMPLATE ` + sqlkit.Postgres.Quote(m.template)
	}
	_, err = m.conn.Exec(ctx, statement)
	return sqlkit.Sent(err)
}

func (m *maker) errExists() error {
	return fmt.Errorf("%w: database %q", tenancy.ErrExists, m.database)
}

// mark marks the database and gives it its name.
func (m *maker) mark(ctx context.Context) error {
	err := m.in(ctx, m.making, func(db *sql.DB) error { return sqlkit.Mark(ctx, db, sqlkit.Postgres, m.tenant) })
	if errors.Is(err, tenancy.ErrExists) {
		m.templateSeen.Store(false)
		return m.errTemplate()
	}
	if err != nil {
		return err
	}
	// A pooler keeps sessions in it that nobody uses.
	_, err = m.conn.Exec(ctx, `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
		WHERE datname = $1 AND usename = current_user AND backend_type = 'client backend'`, m.making)
	if err != nil {
		return err
	}
	_, err = m.conn.Exec(ctx, `ALTER DATABASE `+sqlkit.Postgres.Quote(m.making)+` RENAME TO `+sqlkit.Postgres.Quote(m.database))
	if sqlkit.IsDatabaseExists(err) {
		err = errors.Join(m.errExists(), m.drop(ctx))
	}
	return err
}

func (m *maker) drop(ctx context.Context) error {
	err := drop(ctx, m.conn, m.making)
	if errors.Is(err, tenancy.ErrNotFound) {
		return nil
	}
	return err
}

func isMaking(database string) bool { return strings.HasPrefix(database, makingPrefix) }

// makingOf returns the tenant that a database was being made for.
func makingOf(database string) tenancy.ID {
	name := strings.TrimPrefix(database, makingPrefix)
	if i := strings.LastIndexByte(name, '_'); i >= 0 {
		name = name[:i]
	}
	return tenancy.ID(name)
}

// dropMaking removes a database that was never completed. One that somebody is
// making right now is an error that wraps [tenancy.ErrConflict].
func (e *Engine) dropMaking(ctx context.Context, database string, tenant tenancy.ID) error {
	if makingOf(database) != tenant {
		return fmt.Errorf("%w: database %q was being made for another tenant", tenancy.ErrForbidden, database)
	}
	return e.connect(ctx, func(conn *pgx.Conn) error {
		m := &maker{Engine: e, conn: conn, making: database, tenant: tenant}
		unlock, free, err := m.tryLock(ctx)
		if err == nil && !free {
			err = fmt.Errorf("%w: database %q is being made", tenancy.ErrConflict, database)
		}
		if err != nil {
			return err
		}
		defer unlock()
		return m.drop(ctx)
	})
}

// Names returns the names of all databases of the server.
func (e *Engine) Names(ctx context.Context) (names []string, err error) {
	err = e.connect(ctx, func(conn *pgx.Conn) error {
		rows, _ := conn.Query(ctx, `SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate`)
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return sqlkit.Tenantable(names), err
}

// Owner returns the tenant that the database is marked as, or was being made for.
func (e *Engine) Owner(ctx context.Context, database string) (owner tenancy.ID, err error) {
	if isMaking(database) {
		return makingOf(database), nil
	}
	err = e.in(ctx, database, func(db *sql.DB) error {
		owner, err = sqlkit.Owner(ctx, db, sqlkit.Postgres)
		return err
	})
	return owner, err
}
