package catalog_test

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// fillCatalog puts n tenants into the tables at once.
func fillCatalog(b *testing.B, db *sqlx.DB, n int) {
	b.Helper()
	const at = 250
	for from := 0; from < n; from += at {
		var args []any
		var tags, words []any
		for i := from; i < from+at; i++ {
			id, slug := fmt.Sprintf("tenant-%06d", i*7919%n), fmt.Sprintf("customer-%06d", i)
			status := []tenancy.Status{tenancy.StatusActive, tenancy.StatusActive, tenancy.StatusSuspended, tenancy.StatusArchived}[i%4]
			if i%2000 == 1 {
				status = tenancy.StatusPurging
			}
			name := fmt.Sprintf("Müller & %d Söhne", i*104729%n)
			for _, word := range (&tenancy.Tenant{Slug: slug, Name: name}).Words() {
				words = append(words, word, id)
			}
			args = append(args, id, slug, name, status, fmt.Sprint("server-", i%20), slug, fmt.Sprint("plan-", i%50), "", "", "",
				fmt.Sprint("tag-", i%100), 1, 1_700_000_000_000_000+int64(i*6007%n)*1e6, 1_700_000_000_000_000+int64(i*3001%n)*1e6, "", 1)
			tags = append(tags, fmt.Sprint("tag-", i%100), id)
		}
		for _, each := range []struct {
			into string
			n    int
			args []any
		}{
			{`tenancy_tenants (id, slug, name, status, server, database_name, plan, limits, settings, guards, tags, version, created_at, updated_at, search_text, words_version)`, 16, args},
			{`tenancy_tags (tag, tenant_id)`, 2, tags},
			{`tenancy_words (word, tenant_id)`, 2, words},
		} {
			row := "(" + strings.TrimSuffix(strings.Repeat("?, ", each.n), ", ") + ")"
			query := `INSERT INTO ` + each.into + ` VALUES ` + strings.TrimSuffix(strings.Repeat(row+", ", len(each.args)/each.n), ", ")
			if _, err := db.ExecContext(b.Context(), db.Rebind(query), each.args...); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, table := range []string{"tenancy_tenants", "tenancy_tags", "tenancy_words"} {
		analyze := `ANALYZE ` + table
		if db.DriverName() == "mysql" {
			analyze = `ANALYZE TABLE ` + table
		}
		if _, err := db.ExecContext(b.Context(), analyze); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkListPages: a page of 100 of 10,000 tenants (or of TENANCY_BENCH_TENANTS), for
// each condition alone and each order, the first page and the one behind it.
func BenchmarkListPages(b *testing.B) {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("TENANCY_BENCH_TENANTS"), "10000"))
	if err != nil {
		b.Fatal(err)
	}
	if testing.Short() {
		n = 1000
	}
	for _, engine := range []string{"sqlite", "postgres", "mysql"} {
		b.Run(engine, func(b *testing.B) {
			if testing.Short() && engine != "sqlite" {
				b.Skip("not in short mode")
			}
			db := tenancytest.NewServer(b, engine).Database(b)
			cat, err := catalog.New(db, nil)
			if err != nil {
				b.Fatal(err)
			}
			if err := cat.Migrate(b.Context()); err != nil {
				b.Fatal(err)
			}
			fillCatalog(b, db, n)
			for what, filter := range map[string]tenancy.Filter{
				"all": {}, "status": {Status: []tenancy.Status{tenancy.StatusSuspended}}, "plan": {Plan: "plan-7"}, "server": {Server: "server-3"},
				"tag": {Tags: []string{"tag-42"}}, "created": {CreatedFrom: time.UnixMicro(1_700_000_000_000_000 + int64(n)/2*1e6)},
				"status of few":  {Status: []tenancy.Status{tenancy.StatusPurging}},
				"created lately": {CreatedFrom: time.UnixMicro(1_700_000_000_000_000 + int64(n-20)*1e6)},
				"word of all":    {Text: "cust"}, "word of many": {Text: "0001"}, "word of one": {Text: fmt.Sprintf("%06d", n/2)},
				"slug": {Text: fmt.Sprintf("customer-%06d", n/2)},
			} {
				b.Run(what, func(b *testing.B) {
					var worst time.Duration
					var slowest string
					for b.Loop() {
						for _, sort := range tenancy.Sorts() {
							for _, sort := range []tenancy.Sort{sort, "-" + sort} {
								f := filter
								f.Sort = sort
								for _, which := range []string{"first", "second"} {
									took, next := page(b, cat, f)
									if took > worst {
										worst, slowest = took, which+" page of sort:"+string(sort)
									}
									f.After = next
								}
							}
						}
					}
					b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
					b.Logf("slowest: %s", slowest)
				})
			}
		})
	}
}

// page reads a page a few times, and returns how long it takes when nothing comes between,
// and the cursor behind the page.
func page(b *testing.B, cat *catalog.Catalog, f tenancy.Filter) (took time.Duration, next tenancy.Cursor) {
	b.Helper()
	took = time.Hour
	for range 3 {
		began := time.Now()
		all, err := cat.List(b.Context(), f)
		took = min(took, time.Since(began))
		if err != nil {
			b.Fatal(err)
		}
		if len(all) > 0 {
			next = f.Next(all[len(all)-1])
		}
	}
	return took, next
}
