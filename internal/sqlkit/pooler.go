package sqlkit

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/artflow-studio/tenancy"
)

// poolerWait bounds the wait for a second session of a pooler.
const poolerWait = 5 * time.Second

var errPooler = fmt.Errorf("%w: between this process and PostgreSQL is a connection pooler that gives the session to others between "+
	"transactions (PgBouncer: pool_mode = transaction), so no lock would hold; "+
	"use the address of the server itself, or of a pool in session mode, to make databases and to migrate", tenancy.ErrInvalid)

// CheckSession returns an error that wraps [tenancy.ErrInvalid] unless a session of
// PostgreSQL stays the connection's own between transactions, on which every lock of
// a session rests. A server that is reached directly is asked one question.
//
// A pooler makes up the number of the session that it gives its clients. Behind one, a
// second connection looks whether it gets the first one's session while the first one
// is open.
func CheckSession(ctx context.Context, conn *pgx.Conn) error {
	own, err := backendPID(ctx, conn)
	if err != nil || own == conn.PgConn().PID() {
		return err
	}
	short, cancel := context.WithTimeout(ctx, poolerWait)
	defer cancel()
	other, err := pgx.ConnectConfig(short, conn.Config())
	if err != nil {
		return inconclusive(ctx, err)
	}
	defer func() { _ = other.Close(context.WithoutCancel(ctx)) }()
	const rounds = 10 // somebody else may be given the session in between
	for range rounds {
		taken, err := shares(short, conn, other, own)
		if err != nil {
			return inconclusive(ctx, err)
		}
		if taken {
			return errPooler
		}
	}
	return nil
}

// inconclusive returns the error, unless all that it says is that the pooler has no
// second session to give, as one in session mode may not.
func inconclusive(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil
	}
	return err
}

// shares reports whether another connection, in a transaction, has the session that
// the first one had, or has taken it from it. A pooler that gives the session that came
// back last would give each connection its own again and again, if that of the other one
// always came back last: so the first one asks once more behind it.
func shares(ctx context.Context, conn, other *pgx.Conn, own uint32) (taken bool, err error) {
	if _, err := other.PgConn().Exec(ctx, `BEGIN`).ReadAll(); err != nil {
		return false, err
	}
	theirs, err := backendPID(ctx, other)
	if err == nil && theirs != own {
		var now uint32
		now, err = backendPID(ctx, conn)
		taken = now != own
	}
	_, e := other.PgConn().Exec(ctx, `ROLLBACK`).ReadAll()
	if err = errors.Join(err, e); err != nil || taken || theirs == own {
		return taken || theirs == own, err
	}
	now, err := backendPID(ctx, conn)
	return now != own, err
}

// backendPID asks by the simple protocol, which needs nothing of the session.
func backendPID(ctx context.Context, conn *pgx.Conn) (uint32, error) {
	results, err := conn.PgConn().Exec(ctx, `SELECT pg_catalog.pg_backend_pid()`).ReadAll()
	if err != nil {
		return 0, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return 0, errors.New("the server sent no row")
	}
	n, err := strconv.ParseUint(string(results[0].Rows[0][0]), 10, 32)
	return uint32(n), err
}

// checkSession is CheckSession for a connection of database/sql. One of another driver
// than pgx is not looked at.
func checkSession(ctx context.Context, conn *sql.Conn) error {
	return conn.Raw(func(raw any) error {
		for { // a connection of dbpool is around one of the engine's
			outer, ok := raw.(interface{ Unwrap() driver.Conn })
			if !ok {
				break
			}
			raw = outer.Unwrap()
		}
		if c, ok := raw.(*stdlib.Conn); ok {
			return CheckSession(ctx, c.Conn())
		}
		return nil
	})
}
