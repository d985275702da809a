package sqlkit_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestTx(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		db.SetMaxOpenConns(1) // a transaction that stays open is noticed
		db.MustExec(`CREATE TABLE notes (id INT)`)
		insert := func(tx *sqlx.Tx) { tx.MustExec(`INSERT INTO notes (id) VALUES (1)`) }
		wrong := errors.New("wrong")

		if err := sqlkit.Tx(t.Context(), db, nil, func(tx *sqlx.Tx) error { insert(tx); return wrong }); !errors.Is(err, wrong) {
			t.Errorf("got %v, want the function's error", err)
		}
		func() {
			defer func() {
				if p := recover(); p != "oh" {
					t.Errorf("got panic %v, want oh", p)
				}
			}()
			_ = sqlkit.Tx(t.Context(), db, nil, func(tx *sqlx.Tx) error { insert(tx); panic("oh") })
		}()
		ctx, cancel := context.WithCancel(t.Context())
		if err := sqlkit.Tx(ctx, db, nil, func(tx *sqlx.Tx) error { insert(tx); cancel(); return ctx.Err() }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		if n := count(t, db, "notes"); n != 0 {
			t.Errorf("got %d notes after three that were rolled back, want none", n)
		}
		if err := sqlkit.Tx(t.Context(), db, nil, func(tx *sqlx.Tx) error { insert(tx); return nil }); err != nil {
			t.Error(err)
		}
		if n := count(t, db, "notes"); n != 1 {
			t.Errorf("got %d notes, want the committed one", n)
		}
	})
}

// fakeConn is a connection whose transactions do nothing.
type fakeConn struct {
	driver.Conn
	begin func(context.Context) error // or nil
}

func (c *fakeConn) Connect(context.Context) (driver.Conn, error) { return c, nil }
func (c *fakeConn) Driver() driver.Driver                        { return nil }
func (c *fakeConn) Close() error                                 { return nil }
func (c *fakeConn) Commit() error                                { return nil }
func (c *fakeConn) Rollback() error                              { return nil }

func (c *fakeConn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	if c.begin != nil {
		return c, c.begin(ctx)
	}
	return c, nil
}

// The end of the caller's context ends the wait for a connection and for the transaction to begin, and
// cuts off none that has begun.
func TestWriteBegins(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		begin func(context.Context) error
		busy  bool // the only connection is somebody else's
	}{
		"no connection": {nil, true},
		"no answer":     {func(ctx context.Context) error { <-ctx.Done(); return errors.New("cut off") }, false},
		"late answer":   {func(ctx context.Context) error { <-ctx.Done(); return nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db := sqlx.NewDb(sql.OpenDB(&fakeConn{begin: tt.begin}), "sqlite")
				defer func() { _ = db.Close() }()
				db.SetMaxOpenConns(1)
				if tt.busy {
					held, err := db.Conn(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = held.Close() }()
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				err := sqlkit.Write(ctx, db, func(context.Context, *sqlx.Tx) error {
					t.Error("a transaction began after its caller's time")
					return nil
				})
				if err != context.DeadlineExceeded { //nolint:errorlint // unchanged
					t.Errorf("got %v, want DeadlineExceeded", err)
				}
				if d := time.Since(began); d != time.Second {
					t.Errorf("took %v, want a second", d)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		db := sqlx.NewDb(sql.OpenDB(&fakeConn{}), "sqlite")
		defer func() { _ = db.Close() }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := sqlkit.Write(ctx, db, func(ctx context.Context, _ *sqlx.Tx) error {
			time.Sleep(10 * time.Second)
			return ctx.Err()
		})
		if err != nil {
			t.Errorf("a transaction that had begun: got %v, want nil", err)
		}
	})
}

// MariaDB from 11.6 on, and earlier versions with innodb_snapshot_isolation, do not let a transaction lock a row that changed since the transaction began to
// read. It is run again.
func TestWriteOnASnapshotThatIsTooOld(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "mysql")
	db := s.Database(t)
	conn, err := db.Connx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(t.Context(), `SET SESSION innodb_snapshot_isolation = ON`); err != nil {
		t.Logf("the server has no such setting: %v", err)
		return
	}
	db.MustExec(`CREATE TABLE notes (id INT PRIMARY KEY) ENGINE = InnoDB`)
	db.MustExec(`INSERT INTO notes (id) VALUES (1)`)
	attempts := 0
	err = sqlkit.Write(t.Context(), conn, func(ctx context.Context, tx *sqlx.Tx) error {
		var n int
		if err := tx.GetContext(ctx, &n, `SELECT id FROM notes`); err != nil {
			return err
		}
		if attempts++; attempts == 1 {
			db.MustExec(`UPDATE notes SET id = 2`)
		}
		_, err := tx.ExecContext(ctx, `UPDATE notes SET id = id + 10`)
		return err
	})
	var n int
	if e := db.Get(&n, `SELECT id FROM notes`); err != nil || e != nil || n != 12 || attempts != 2 {
		t.Errorf("got %d after %d attempts, %v, %v, want 12 after 2", n, attempts, err, e)
	}
}
