package migrate_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Migrations in Go have their place among the files, know their tenant, and are taken back;
// one that fails or panics leaves nothing.
func TestGoMigrations(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool, tenant := s.Pool(t, nil), s.Tenant(t, "acme")
		files := tables(3, 0)
		delete(files, "00002_t.sql")
		bad := errors.New("bad")
		var fail func() error
		opts := &migrate.Options{Go: []migrate.GoMigration{{Version: 2, Name: "00002_fill.go",
			Up: func(ctx context.Context, tx *sql.Tx) error {
				if of, ok := tenancy.FromContext(ctx); !ok || of.ID != tenant.ID {
					return errors.New("it does not know its tenant")
				}
				stmt, err := tx.PrepareContext(ctx, `INSERT INTO t1 (id) SELECT COUNT(*) + 1 FROM t1`)
				if err != nil {
					return err
				}
				defer func() { _ = stmt.Close() }()
				if _, err := stmt.ExecContext(ctx); err != nil {
					return err
				}
				var n int
				if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM t1`).Scan(&n); err != nil || n != 1 {
					return errors.Join(err, errors.New("want one row"))
				}
				return fail()
			},
			Down: func(ctx context.Context, tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, `DELETE FROM t1`)
				return err
			},
		}}}
		m, err := migrate.New(pool, files, opts)
		if err != nil {
			t.Fatal(err)
		}
		for want, f := range map[string]func() error{"bad": func() error { return bad }, "panic: bad": func() error { panic(bad) }} {
			fail = f
			res, err := m.UpTo(t.Context(), tenant, migrate.Latest)
			if err == nil || !strings.Contains(err.Error(), want) || res.Version != 1 {
				t.Fatalf("got %+v, %v, want version 1 and %q", res, err, want)
			}
		}
		fail = func() error { return nil }
		st, err := m.Status(t.Context(), tenant)
		if err != nil || len(st.Pending) != 2 || st.Pending[0].File != "00002_fill.go" || st.Target != 3 {
			t.Errorf("got %+v, %v", st, err)
		}
		res, err := m.UpTo(t.Context(), tenant, migrate.Latest)
		if err != nil || res.Version != 3 || len(res.Up) != 2 || res.Up[0].File != "00002_fill.go" {
			t.Errorf("got %+v, %v", res, err)
		}
		res, err = m.DownTo(t.Context(), tenant, 1)
		if err != nil || len(res.Down) != 2 || res.Down[1].File != "00002_fill.go" {
			t.Errorf("got %+v, %v", res, err)
		}
		for what, all := range map[string][]migrate.GoMigration{"a file's": {{Version: 3}}, "none": {{}}, "twice": {{Version: 9}, {Version: 9}}} {
			if _, err := migrate.New(pool, files, &migrate.Options{Go: all}); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("the version is %s: got %v, want ErrInvalid", what, err)
			}
		}
	})
}
