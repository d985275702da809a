package migrate_test

import (
	"testing"
	"testing/fstest"

	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Each engine gets the files of its own folder, where there is one.
func TestUpTakesTheEnginesFolder(t *testing.T) {
	t.Parallel()
	makeTable := func(name string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE " + name + " (id INT);\n")}
	}
	files := fstest.MapFS{
		"00001_x.sql":          makeTable("in_the_root"),
		"postgres/00001_x.sql": makeTable("for_postgres"),
		"mysql/00001_x.sql":    makeTable("for_mysql"),
	}
	want := map[string]string{"sqlite": "in_the_root", "postgres": "for_postgres", "mysql": "for_mysql"}
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, nil)
		m, err := migrate.New(pool, files, &migrate.Options{Table: "versions"})
		if err != nil {
			t.Fatal(err)
		}
		tenant := s.Tenant(t, "acme")
		for range 2 {
			if err := m.Up(t.Context(), tenant); err != nil {
				t.Fatal(err)
			}
		}
		db, err := pool.For(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{want[s.Name], "versions"} {
			if err := db.Get(new(int), `SELECT COUNT(*) FROM `+table); err != nil {
				t.Errorf("table %s: %v", table, err)
			}
		}
	})
}
