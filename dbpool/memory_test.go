package dbpool_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Tenants with connections are yielded with what their connections take, those to read
// replicas too; tenants without any are not.
func TestTenantBytesAreThoseOfOpenConnections(t *testing.T) {
	t.Parallel()
	const one = 32 << 10 // of an engine that does not say
	engine, _ := dbpool.NewFakeServer(t, 4, 0)
	pool, err := dbpool.New(map[string]driver.Engine{"main": engine}, &dbpool.Options{Budget: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	held := map[string]*sqlx.Conn{}
	for name, n := range map[string]int{"one": 1, "two": 2, "none": 0} {
		ctx := tenancy.NewContext(t.Context(), &tenancy.Tenant{ID: tenancy.ID(name), Placement: tenancy.Placement{Server: "main", Database: name}})
		db, err := pool.DB(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if held[fmt.Sprint(name, i)], err = db.Connx(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := map[tenancy.ID]int64{}
	pool.TenantBytes(func(id tenancy.ID, bytes int64) bool {
		_ = pool.Stat("main") // the pool is free
		got[id] += bytes
		return true
	})
	if want := (map[tenancy.ID]int64{"one": one, "two": 2 * one}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	n := 0
	pool.TenantBytes(func(tenancy.ID, int64) bool { n++; return false })
	if n != 1 {
		t.Errorf("after false: got %d tenants, want 1", n)
	}
	for _, c := range held {
		_ = c.Close()
	}
}

// BenchmarkConnBytes reports what memory of this process a connection takes, beside
// what the engine says. Run each engine alone, with -benchtime 1x: memory that the
// process had before is used again.
func BenchmarkConnBytes(b *testing.B) {
	const conns = 80
	for _, name := range []string{"sqlite", "postgres", "mysql"} {
		b.Run(name, func(b *testing.B) {
			s := tenancytest.NewServer(b, name)
			tenant := s.Tenant(b, "acme")
			ctx := tenancy.NewContext(b.Context(), tenant)
			run(ctx, b, s, 1) // what is there once
			for b.Loop() {
				before := resident(b)
				pool, held := run(ctx, b, s, conns)
				b.ReportMetric(float64(resident(b)-before)/conns, "B/conn")
				if sizer, ok := s.Engine.(driver.ConnSizer); ok {
					b.ReportMetric(float64(sizer.ConnBytes()), "B/said")
				}
				for _, c := range held {
					_ = c.Close()
				}
				_ = pool.Close()
			}
		})
	}
}

// run opens connections and runs a few statements on each.
func run(ctx context.Context, b *testing.B, s *tenancytest.Server, conns int) (*dbpool.Pool, []*sqlx.Conn) {
	b.Helper()
	pool := s.Pool(b, &dbpool.Options{Budget: conns + 2, MaxConns: conns})
	db, err := pool.DB(ctx)
	if err != nil {
		b.Fatal(err)
	}
	_, err = db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, body VARCHAR(200))`)
	if err != nil {
		b.Fatal(err)
	}
	var held []*sqlx.Conn
	for range conns {
		c, err := db.Connx(ctx)
		if err != nil {
			b.Fatal(err)
		}
		for _, query := range []string{`SELECT count(*) FROM notes`, `SELECT max(id) FROM notes WHERE body LIKE 'a%'`, `SELECT min(id) FROM notes`} {
			var n *int
			if err := c.GetContext(ctx, &n, query); err != nil {
				b.Fatal(err)
			}
		}
		held = append(held, c)
	}
	return pool, held
}

// resident is what the process has in memory, SQLite's own among it.
func resident(b *testing.B) int64 {
	b.Helper()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm") // size, resident … in pages
	if err != nil {
		b.Skip(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
