//go:build unix

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/internal/bench"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

const hotRounds = 7

// finder knows one tenant.
type finder struct{ tenant *tenancy.Tenant }

func (f finder) Find(context.Context, tenancy.Ref) (*tenancy.Tenant, error) { return f.tenant, nil }

func acme(server, database string) *tenancy.Tenant {
	return &tenancy.Tenant{
		ID: "acme", Slug: "acme", Name: "acme", Status: tenancy.StatusActive, Version: 1, CreatedAt: time.Now(),
		Placement: tenancy.Placement{Server: server, Database: database},
	}
}

// loop calls fn for half a second, and returns the nanoseconds and the allocations of a call.
func loop(fn func() error) (ns float64, allocs int64, err error) {
	for range 100 { // what is made once
		if err := fn(); err != nil {
			return 0, 0, err
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, began := 0, time.Now()
	for time.Since(began) < 500*time.Millisecond {
		for range 50 {
			if err := fn(); err != nil {
				return 0, 0, err
			}
		}
		n += 50
	}
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	return float64(took.Nanoseconds()) / float64(n), int64(after.Mallocs-before.Mallocs) / int64(n), nil // it is small
}

// hot measures what the recorder adds to requests and statements.
func hot(ctx context.Context, engine driver.Engine, dir string) error {
	store, err := analytics.NewMemory(nil)
	if err != nil {
		return err
	}
	rec, err := analytics.NewRecorder(store, nil)
	if err != nil {
		return err
	}
	resolve, err := resolver.NewSubdomain([]string{"localhost"}, nil)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	standard, err := middleware.Standard(finder{acme("", "")}, resolve, nil)
	if err != nil {
		return err
	}
	chain := standard(mux)
	handlers := map[string]http.Handler{"without": chain, "with": rec.Handler(chain)}
	times, allocs := map[string][]float64{}, map[string]int64{}
	err = bench.Interleave(hotRounds, []string{"without", "with"}, func(_ int, name string) error {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://acme.localhost/", nil)
		ns, n, err := loop(func() error { handlers[name].ServeHTTP(w, r); return nil })
		times[name], allocs[name] = append(times[name], ns), n
		return err
	})
	if err != nil {
		return err
	}
	row("a request through Standard, with the recorder", fmt.Sprintf("%s ns, %d allocations: %s", bench.Spread(times["with"]), allocs["with"], bench.Ratio(times["with"], times["without"])),
		fmt.Sprintf("without: %s ns, %d; goal 1.3x, 450 ns and 2 more", bench.Spread(times["without"]), allocs["without"]))
	files, err := sqlite.New(filepath.Join(dir, "tenants"))
	if err != nil {
		return err
	}
	if err := statement(ctx, "PostgreSQL", engine, rec, "1.02x, 1 allocation more"); err != nil {
		return err
	}
	if err := statement(ctx, "SQLite", files, rec, "1.05x, 1 allocation more"); err != nil {
		return err
	}
	if err := contended(ctx); err != nil {
		return err
	}
	return weight(ctx)
}

// statement measures a warm statement without an observer and with one.
func statement(ctx context.Context, name string, engine driver.Engine, rec *analytics.Recorder, goal string) (err error) {
	tenant := acme("main", "acme")
	if err := engine.(driver.Databases).Create(ctx, tenant.Placement.Database, tenant.ID); err != nil {
		return err
	}
	dbs := map[string]*sqlx.DB{}
	for side, opts := range map[string]*dbpool.Options{"without": nil, "with": {Observer: rec}} {
		pool, err := dbpool.New(map[string]driver.Engine{"main": engine}, opts)
		if err != nil {
			return err
		}
		defer func() { _ = pool.Close() }()
		if dbs[side], err = pool.For(ctx, tenant); err != nil {
			return err
		}
	}
	in := tenancy.NewContext(ctx, tenant)
	times, allocs := map[string][]float64{}, map[string]int64{}
	err = bench.Interleave(hotRounds, []string{"without", "with"}, func(_ int, side string) error {
		ns, n, err := loop(func() error {
			var n int
			return dbs[side].GetContext(in, &n, `SELECT 1`)
		})
		times[side], allocs[side] = append(times[side], ns), n
		return err
	})
	if err != nil {
		return err
	}
	row("a warm statement on "+name+", with the observer", fmt.Sprintf("%s ns, %d allocations: %s", bench.Spread(times["with"]), allocs["with"], bench.Ratio(times["with"], times["without"])),
		fmt.Sprintf("without: %s ns, %d; goal %s", bench.Spread(times["without"]), allocs["without"], goal))
	return nil
}
