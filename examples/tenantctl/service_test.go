package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// another is a service with a catalog and tenants of its own.
type another struct {
	cat  *catalog.Catalog
	pool *dbpool.Pool
}

// serve makes the service in a folder, with these tenants on the server "main".
func serve(t *testing.T, data, files string, slugs ...string) another {
	t.Helper()
	engine := tenancy.Must(sqlite.New(filepath.Join(data, "tenants")))
	pool := tenancy.Must(dbpool.New(map[string]driver.Engine{"main": engine}, nil))
	t.Cleanup(func() { _ = pool.Close() })
	db := tenancy.Must(sqlite.Open(filepath.Join(data, "catalog.db")))
	t.Cleanup(func() { _ = db.Close() })
	cat := tenancy.Must(catalog.New(db, nil))
	if err := cat.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	migrator := tenancy.Must(migrate.New(pool, os.DirFS(files), &migrate.Options{Records: cat}))
	life := tenancy.Must(lifecycle.New(cat, pool, migrator, &lifecycle.Options{Server: "main"}))
	for _, slug := range slugs {
		if _, err := life.Create(t.Context(), &tenancy.Tenant{Slug: slug}); err != nil {
			t.Fatal(err)
		}
	}
	return another{cat, pool}
}

func (s another) find(t *testing.T, slug string) *tenancy.Tenant {
	t.Helper()
	found, err := s.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: slug})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// On the data of a service the program calls the server as the service does, and uses no migrations and no prefix of keys that the service
// does not have.
func TestDataOfAService(t *testing.T) {
	t.Parallel()
	data, files := t.TempDir(), migrations(t, "CREATE TABLE visits (path TEXT);")
	service := serve(t, data, files, "acme")
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"tenant list", 0, "acme"},
		{"doctor", 0, "nothing is wrong"},
		{"tenant create globex", 2, "--migrations"},
		{"tenant adopt globex --database globex", 2, "--migrations"},
		{"db migrate acme", 2, "--migrations"},
		{"db status --all", 2, "--migrations"},
		{"apikey issue acme", 2, "--key-prefix"},
		{"tenant suspend acme", 0, "1 of 1 tenant done"},
		{"tenant activate acme", 0, "1 of 1 tenant done"},
		{"--migrations " + files + " tenant create globex", 0, `on server "main"`},
		{"--migrations " + files + " db migrate --all", 0, "2 of 2 tenants done"},
		{"--migrations " + files + " --server-name far tenant create initech", 0, `on server "far"`},
		{"tenant list", 0, "initech"},
		{"audit verify", 0, ""},
		{"tenant suspend acme", 0, "1 of 1 tenant done"},
		{"tenant purge acme --now --reason test --yes", 2, "far, main"},
		{"--migrations " + files + " tenant list", 0, "initech"},
		{"--migrations " + files + " run plan migrate --all", 2, "far, main"},
		{"--server-name main tenant list", 0, "initech"},
	} {
		if code, out := call(t, places{data: data}, strings.Fields(tt.args)...); code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%s: got exit code %d and\n%s\nwant %d and %q", tt.args, code, out, tt.code, tt.want)
		}
	}
	for _, slug := range []string{"acme", "globex"} {
		err := service.pool.Tx(tenancy.NewContext(t.Context(), service.find(t, slug)), nil, func(tx *sqlx.Tx) error {
			var tables []string
			err := tx.Select(&tables, `SELECT name FROM sqlite_schema WHERE name IN ('visits', 'notes')`)
			if len(tables) != 1 || tables[0] != "visits" {
				t.Errorf("%s: got tables %q, want the service's alone", slug, tables)
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: the service has %v", slug, err)
		}
	}
	code, out := call(t, places{data: data, serverName: "main"}, "--key-prefix", "shop", "apikey", "issue", "acme", "--json")
	var made struct{ Key string }
	if err := json.Unmarshal([]byte(out), &made); code != 0 || err != nil || !strings.HasPrefix(made.Key, "shop_") {
		t.Errorf("got exit code %d, %v and\n%s\nwant a key of the service", code, err, out)
	}
}

// Where nothing says how the service calls its server, or where its tenants' databases are, no tenant is made.
func TestServiceUnknown(t *testing.T) {
	t.Parallel()
	files := migrations(t, "CREATE TABLE visits (path TEXT);")
	empty, moved := t.TempDir(), t.TempDir()
	serve(t, empty, files)
	serve(t, moved, files, "acme")
	_, out := call(t, places{data: moved, migrations: files}, "run", "plan", "migrate", "--all", "--json")
	var run runs.Run
	if err := json.Unmarshal([]byte(out), &run); err != nil || run.ID == "" {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Rename(filepath.Join(moved, "tenants"), filepath.Join(moved, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, data string
		args       []string
		code       int
		want       string
	}{
		{"no tenant yet", empty, []string{"tenant", "create", "acme", "--migrations", files}, 2, "--server-name"},
		{"no tenant yet, looked at", empty, []string{"tenant", "list"}, 0, "SLUG"},
		{"no tenant yet, with its name", empty, []string{"tenant", "create", "acme", "--migrations", files, "--server-name", "main"}, 0, `on server "main"`},
		{"databases elsewhere", moved, []string{"tenant", "create", "globex", "--migrations", files}, 2, "--server"},
		{"databases elsewhere, looked at", moved, []string{"tenant", "list"}, 0, "acme"},
		{"databases elsewhere, purged", moved, []string{"tenant", "purge", "acme", "--now", "--reason", "a test", "--yes"}, 2, "--server"},
		{"databases elsewhere, purged by name", moved, []string{"--server-name", "main", "tenant", "purge", "acme", "--now", "--reason", "a test", "--yes"}, 2, "--server=files"},
		{"databases elsewhere, completed", moved, []string{"__complete", "tenant", "show", "a"}, 0, "acme"},
		{"databases elsewhere, worked on", moved, []string{"--migrations", files, "run", "start", run.ID}, 2, "--server"},
		{"databases elsewhere, left to others", moved, []string{"run", "start", run.ID, "--detach"}, 0, ""},
		{"databases elsewhere, beside that run", moved, []string{"--migrations", files, "tenant", "suspend", "acme"}, 0, "1 of 1 tenant done"},
		{"databases elsewhere, after that", moved, []string{"run", "show", run.ID}, 0, "0 of 1 tenant done, 1 to do"},
		{"files that are gone, purged", moved, []string{"--server=files", "tenant", "purge", "acme", "--now", "--reason", "a test", "--yes"}, 2, "archive it first"},
	} {
		if code, out := call(t, places{data: tt.data}, tt.args...); code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%s: got exit code %d and\n%s\nwant %d and %q", tt.name, code, out, tt.code, tt.want)
		}
	}
}

// A creation that was cut off is not resumed without the service's migrations: it would have a database without a schema.
func TestHalfMadeTenantOfAService(t *testing.T) {
	t.Parallel()
	data, files := t.TempDir(), migrations(t, "CREATE TABLE visits (path TEXT);")
	service := serve(t, data, files, "acme")
	_, err := service.cat.Create(t.Context(), &tenancy.Tenant{Slug: "half", Placement: tenancy.Placement{Server: "main", Database: "half"}})
	if err != nil {
		t.Fatal(err)
	}
	mend := []string{"doctor", "--mend", "half-made", "--age", "0", "--yes"}
	if code, out := call(t, places{data: data}, mend...); code != 2 || !strings.Contains(out, "--migrations") {
		t.Errorf("got exit code %d and\n%s\nwant to hear that it needs --migrations", code, out)
	}
	if _, err := os.Stat(filepath.Join(data, "tenants", "half.db")); !os.IsNotExist(err) {
		t.Errorf("got %v, want no database", err)
	}
	if code, out := call(t, places{data: data, migrations: files}, mend...); code != 0 || !strings.Contains(out, "mended") {
		t.Errorf("with --migrations: got exit code %d and\n%s", code, out)
	}
}

// A catalog that the program made is its own as long as no tenant says otherwise: also after a creation that failed, and after the last purge.
func TestOwnCatalogWithoutTenants(t *testing.T) {
	t.Parallel()
	files := migrations(t, "CREATE TABLE visits (path TEXT);")
	for _, where := range []places{{}, {migrations: files}} {
		where.data = t.TempDir()
		for _, step := range []struct {
			args []string
			code int
			want string
		}{
			{[]string{"tenant", "create", "No Slug"}, 2, "Made a catalog"},
			{[]string{"doctor"}, 0, "nothing is wrong"},
			{[]string{"tenant", "create", "acme"}, 0, "Made tenant acme"},
			{[]string{"tenant", "archive", "acme", "--yes"}, 0, ""},
			{[]string{"tenant", "purge", "acme", "--now", "--reason", "a test", "--yes"}, 0, ""},
			{[]string{"tenant", "create", "acme"}, 0, "Made tenant acme"},
		} {
			if code, out := call(t, where, step.args...); code != step.code || !strings.Contains(out, step.want) {
				t.Errorf("%q with --migrations %q: got exit code %d and\n%s\nwant %d and %q", step.args, where.migrations, code, out, step.code, step.want)
			}
		}
	}
	// Its file beside the catalog of another program says nothing.
	data := t.TempDir()
	if code, out := call(t, places{data: data}, "tenant", "create", "No Slug"); code != 2 {
		t.Fatalf("got exit code %d and\n%s", code, out)
	}
	if err := os.Remove(filepath.Join(data, "catalog.db")); err != nil {
		t.Fatal(err)
	}
	serve(t, data, files)
	if code, out := call(t, places{data: data}, "tenant", "create", "acme"); code != 2 || !strings.Contains(out, "--server-name") {
		t.Errorf("the catalog of a service: got exit code %d and\n%s", code, out)
	}
}

// Only a command that makes tenants makes a catalog; it says so.
func TestNoCatalog(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "typo")
	for _, args := range [][]string{{"tenant", "list"}, {"tenant", "suspend", "--all"}, {"usage", "overview"}, {"doctor"}, {"maintenance", "on", "--service", "--yes"}} {
		if code, out := call(t, places{data: data}, args...); code != 2 || !strings.Contains(out, "there is no catalog "+filepath.Join(data, "catalog.db")) {
			t.Errorf("%q: got exit code %d and\n%s\nwant to hear that there is no catalog", args, code, out)
		}
	}
	for _, args := range [][]string{{"tenant", "create", "a"}, {"tenant", "show", "a"}} {
		if code, out := call(t, places{data: data}, append([]string{"__complete"}, args...)...); code != 0 {
			t.Errorf("%q completed: got exit code %d and\n%s", args, code, out)
		}
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("got %v, want no folder", err)
	}
	if code, out := call(t, places{data: data}, "tenant", "create", "acme"); code != 0 || !strings.Contains(out, "Made a catalog for the example") {
		t.Errorf("got exit code %d and\n%s\nwant a new catalog, and to hear of it", code, out)
	}
	if code, out := call(t, places{data: data}, "db", "migrate", "--all"); code != 0 || strings.Contains(out, "catalog") {
		t.Errorf("got exit code %d and\n%s", code, out)
	}
}
