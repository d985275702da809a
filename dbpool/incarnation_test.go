package dbpool_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A tenant that was deleted and made again under its ID is another one: handles lead
// to its own database, though its versions begin at 1 again, and what was made for
// the old one does not serve it.
func TestMadeAgain(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		for name, sameDatabase := range map[string]bool{"another database": false, "the same database": true} {
			t.Run(name, func(t *testing.T) {
				pool := s.Pool(t, nil) // of an instance that neither deletes nor makes
				databases := s.Engine.(driver.Databases)
				old := s.Tenant(t, "acme")
				old.Version, old.CreatedAt = 7, time.Now().UTC().Add(-time.Hour)
				reading := tenancy.WithReadOnly(t.Context())
				db, err := pool.For(t.Context(), old)
				if err != nil {
					t.Fatal(err)
				}
				ro, err := pool.For(reading, old)
				if err != nil {
					t.Fatal(err)
				}
				db.MustExec(`CREATE TABLE notes (id INT)`)
				for _, each := range []*sqlx.DB{db, ro} {
					if err := each.Get(new(int), `SELECT COUNT(*) FROM notes`); err != nil {
						t.Fatal(err)
					}
				}

				if err := databases.Drop(t.Context(), old.Placement.Database, old.ID); err != nil {
					t.Fatal(err)
				}
				again := old.Clone()
				again.Version, again.CreatedAt = 1, time.Now().UTC()
				if !sameDatabase {
					again.Placement.Database = tenancytest.NewTenant("acme").Placement.Database
				}
				if err := databases.Create(t.Context(), again.Placement.Database, old.ID); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = databases.Drop(t.Context(), again.Placement.Database, old.ID) })

				now, err := pool.For(t.Context(), again)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := now.Exec(`CREATE TABLE more (id INT)`); err != nil {
					t.Errorf("the new database: %v", err)
				}
				if err := now.Get(new(int), `SELECT COUNT(*) FROM notes`); err == nil {
					t.Error("got the old tenant's table")
				}
				if err := ro.Get(new(int), `SELECT COUNT(*) FROM more`); err != nil {
					t.Errorf("the read-only handle: %v", err)
				}
				for _, ctx := range []struct{ what string }{{"as ever"}, {"once more"}} {
					if _, err := pool.For(t.Context(), old); !errors.Is(err, tenancy.ErrUnavailable) {
						t.Errorf("the old record, %s: got %v, want ErrUnavailable", ctx.what, err)
					}
				}
				if err := now.Get(new(int), `SELECT COUNT(*) FROM more`); err != nil {
					t.Errorf("after somebody asked with the old record: %v", err)
				}
			})
		}
	})
}

// Records that do not say when they were made are told apart by their versions.
func TestRecordsWithoutATime(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	pool := s.Pool(t, nil)
	dated := s.Tenant(t, "acme")
	dated.Version, dated.CreatedAt = 2, time.Now()
	undated := dated.Clone()
	undated.Version, undated.CreatedAt = 1, time.Time{}
	for _, tenant := range []*tenancy.Tenant{undated, dated, undated} {
		db, err := pool.For(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Ping(); err != nil {
			t.Error(err)
		}
	}
	if st := pool.Stat(s.Name); st.Dials != 1 {
		t.Errorf("got %d dials, want one connection for all", st.Dials)
	}
}
