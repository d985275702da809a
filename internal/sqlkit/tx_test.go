package sqlkit_test

import (
	"context"
	"errors"
	"testing"

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
