package catalog_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// However many tenants count as few, so in whatever way the database looks for them,
// listings are those of the catalog in memory: for any conditions, orders and pages.
func TestListPlansAgree(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		memory := tenancytest.NewCatalog(t)
		catalogs := map[string]*catalog.Catalog{}
		for name, few := range map[string]int{"none is few": 0, "some are few": 9, "all are few": 1000} {
			c, err := catalog.NewFew(db, few)
			if err != nil {
				t.Fatal(err)
			}
			catalogs[name] = c
		}
		if err := catalogs["none is few"].Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 2))
		for i := range 40 {
			in := randomTenant(random, i)
			for _, c := range []*catalog.Catalog{memory, catalogs["none is few"]} {
				if _, err := c.Create(t.Context(), in); err != nil {
					t.Fatal(err)
				}
			}
		}
		sameTimes(t, db, memory)
		for range 150 {
			f := randomFilter(random)
			want := listAll(t, memory, f)
			for name, c := range catalogs {
				if got := listAll(t, c, f); !slices.Equal(got, want) {
					t.Errorf("%s: %q in pages of %d: got %q, want %q", name, f.String(), f.Limit, got, want)
				}
			}
		}
	})
}

func randomTenant(random *rand.Rand, i int) *tenancy.Tenant {
	return &tenancy.Tenant{
		ID: tenancy.ID(fmt.Sprintf("t%02d", random.IntN(1<<30)%50*50+i)), Slug: fmt.Sprintf("s%d-%d", random.IntN(5), i),
		Name: []string{"Acme", "acme north", "Bolt", "Ünder"}[random.IntN(4)], Plan: []string{"", "gold", "free"}[random.IntN(3)],
		Status: []tenancy.Status{tenancy.StatusActive, tenancy.StatusSuspended}[random.IntN(2)], Tags: []string{"eu", "us"}[:random.IntN(3)],
		Placement: tenancy.Placement{Server: []string{"", "a"}[random.IntN(2)]}, SchemaVersion: int64(random.IntN(3)),
	}
}

// sameTimes gives the records of the database the times of those in memory.
func sameTimes(t *testing.T, db *sqlx.DB, memory *catalog.Catalog) {
	t.Helper()
	all, err := memory.List(t.Context(), tenancy.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range all {
		_, err := db.ExecContext(t.Context(), db.Rebind(`UPDATE tenancy_tenants SET created_at = ?, updated_at = ? WHERE id = ?`),
			each.CreatedAt.UnixMicro(), each.UpdatedAt.UnixMicro(), each.ID)
		if err != nil {
			t.Fatal(err)
		}
	}
}

func randomFilter(random *rand.Rand) (f tenancy.Filter) {
	maybe := func() bool { return random.IntN(4) == 0 }
	if maybe() {
		f.Status = []tenancy.Status{tenancy.StatusActive, tenancy.StatusArchived}[:1+random.IntN(2)]
	}
	if maybe() {
		f.Plan = "gold"
	}
	if maybe() {
		f.Server = "a"
	}
	if maybe() {
		f.Tags = []string{"us", "eu"}[:1+random.IntN(2)]
	}
	if maybe() {
		f.Text = []string{"a", "acme", "s1 ac", "s nor", "ü", "nobody"}[random.IntN(6)]
	}
	if maybe() {
		f.SchemaFrom, f.SchemaBefore = 1, 2+int64(random.IntN(2))
	}
	if maybe() {
		f.CreatedFrom = time.Unix(1, 1)
	}
	if maybe() {
		scope := []tenancy.Scope{tenancy.AllTenants(), tenancy.ByTags("us"), tenancy.ByIDs("t50", "t51", "t100")}[random.IntN(3)]
		f.Scope = &scope
	}
	f.Sort = tenancy.Sorts()[random.IntN(len(tenancy.Sorts()))]
	if random.IntN(2) == 0 {
		f.Sort = "-" + f.Sort
	}
	f.Limit = 1 + random.IntN(20)
	return f
}

// listAll returns the IDs of all pages.
func listAll(t *testing.T, c *catalog.Catalog, f tenancy.Filter) (all []tenancy.ID) {
	t.Helper()
	for {
		page, err := c.List(t.Context(), f)
		if err != nil {
			t.Fatalf("%q: %v", f.String(), err)
		}
		for _, each := range page {
			all = append(all, each.ID)
		}
		if len(page) < f.Limit || len(all) > 100 {
			return all
		}
		f.After = f.Next(page[len(page)-1])
	}
}

// Records from before there was a table of words, and those that an older version of the
// library has written since, get their words from Migrate.
func TestMigrateFillsWords(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		c, err := catalog.New(db, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		const n = 450
		for from := range n / 150 {
			var args []any
			for i := range 150 {
				i += from * 150
				args = append(args, fmt.Sprintf("t%d", i), fmt.Sprintf("old-%d", i), "Ältere", "active", "", "", "", "", "", "", 3, 0, 0)
			}
			row := "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
			values := row
			for range 149 {
				values += ", " + row
			}
			if _, err := db.ExecContext(t.Context(), db.Rebind(`INSERT INTO tenancy_tenants (id, slug, name, status, server, database_name, plan, limits, settings,
				search_text, version, created_at, updated_at) VALUES `+values), args...); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.ExecContext(t.Context(), `INSERT INTO tenancy_domains (domain, tenant_id) VALUES ('www.far.example', 't7')`); err != nil {
			t.Fatal(err)
		}
		migrate := func() {
			ended := make(chan error, 3)
			for range cap(ended) {
				go func() { ended <- c.Migrate(t.Context()) }()
			}
			for range cap(ended) {
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
			}
		}
		count := func(text string, want int64) {
			t.Helper()
			if got, err := c.Count(t.Context(), tenancy.Filter{Text: text}); err != nil || got != want {
				t.Errorf("Count of %q: got %d, %v, want %d", text, got, err, want)
			}
		}
		count("ältere", 0)
		migrate()
		count("ÄLT", n)
		count("far", 1)
		count("old", n)
		if _, err := db.ExecContext(t.Context(), `UPDATE tenancy_tenants SET name = 'Newer', slug = 'new-7', version = version + 1 WHERE id = 't7'`); err != nil {
			t.Fatal(err)
		}
		migrate()
		count("newer", 1)
		count("far newer", 1)
		count("old", n-1)
		if got, err := c.Rename(t.Context(), "t7", "newest"); err != nil {
			t.Errorf("got %v, %v", got, err)
		}
		count("newest", 1)
		// The older version deletes a tenant without its words.
		if _, err := db.ExecContext(t.Context(), `DELETE FROM tenancy_tenants WHERE id = 't8'`); err != nil {
			t.Error(err)
		}
		var left int
		if err := db.GetContext(t.Context(), &left, `SELECT COUNT(*) FROM tenancy_words WHERE tenant_id = 't8'`); err != nil || left != 0 {
			t.Errorf("got %d words of a tenant that was deleted, %v", left, err)
		}
		count("new-7", 0)
	})
}
