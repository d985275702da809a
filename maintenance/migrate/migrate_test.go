package migrate_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/artflow-studio/tenancy"
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
		caller := tenancy.NewContext(t.Context(), tenancytest.NewTenant("caller")) // such as a request that signs somebody up
		for range 2 {
			if err := m.Up(caller, tenant); err != nil {
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

// What is wrong with the files shows at once, and not with the first tenant.
func TestNewLooksAtTheFiles(t *testing.T) {
	t.Parallel()
	pool := tenancytest.NewServer(t, "sqlite").Pool(t, nil)
	up := &fstest.MapFile{Data: []byte("-- +goose Up\nSELECT 1;\n")}
	for want, files := range map[string]fstest.MapFS{
		"fs.Sub":       {"migrations/00001_x.sql": up},
		"slow.sql":     {"00001_x.sql": up, "slow.sql": up},
		"same version": {"00001_x.sql": up, "1_y.sql": up},
		"-- +goose Up": {"00001_x.sql": {Data: []byte("SELECT 1;")}},
		"mysql/x.sql":  {"00001_x.sql": up, "mysql/x.sql": up},
	} {
		if _, err := migrate.New(pool, files, nil); !errors.Is(err, tenancy.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want ErrInvalid that says %q", err, want)
		}
	}
}
