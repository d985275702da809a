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
