package sqlkit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestValidateTable(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"", "my-versions", "1versions", "order", "rank", "Versions", "a b", `a"b`, "a;b", "ä", "public.versions", "-", "sqlite_x", "pg_x",
		"tenancy_marker", "tenancy_provisioning", strings.Repeat("a", 64),
	} {
		if err := sqlkit.ValidateTable(bad); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", bad, err)
		}
	}
}

// With each name that is accepted, migrations run on every engine.
func TestTableNames(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		for _, name := range []string{"versions", "_", "_1", "a1_", "tenancy_schema_version", strings.Repeat("v", 63)} {
			if err := sqlkit.ValidateTable(name); err != nil {
				t.Errorf("%q: %v", name, err)
				continue
			}
			for range 2 { // the second time there is nothing to do
				if _, err := sqlkit.Up(t.Context(), db.DB, dialect(t, db), files("-- +goose Up\nSELECT 1;\n"), name); err != nil {
					t.Errorf("%q: %v", name, err)
				}
			}
		}
	})
}

// No word that the servers themselves call a keyword is accepted and then refused
// by one of them.
func TestKeywordsAreReserved(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("makes a thousand tables")
	}
	words := map[string]bool{}
	for engine, query := range map[string]string{
		"postgres": `SELECT word FROM pg_get_keywords()`,
		"mysql":    `SELECT LOWER(word) FROM information_schema.keywords`,
	} {
		var some []string
		if err := tenancytest.NewServer(t, engine).Database(t).Select(&some, query); err != nil || len(some) < 100 {
			t.Fatalf("%s: got %d keywords, %v", engine, len(some), err)
		}
		for _, word := range some {
			words[word] = sqlkit.ValidateTable(word) == nil
		}
	}
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		tried := 0
		for word, accepted := range words {
			if !accepted {
				continue
			}
			tried++
			for _, statement := range []string{"CREATE TABLE # (v INT)", "INSERT INTO # (v) VALUES (1)", "SELECT v FROM # ORDER BY v", "DROP TABLE #"} {
				if _, err := db.Exec(strings.ReplaceAll(statement, "#", word)); err != nil {
					t.Errorf("%q is accepted: %v", word, err)
					break
				}
			}
		}
		if tried < 100 {
			t.Errorf("got %d words that are accepted, want more", tried)
		}
	})
}
