package dbpool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// tenantOn is a tenant on a server that only counts.
func tenantOn(server, name string) *tenancy.Tenant {
	return &tenancy.Tenant{ID: tenancy.ID(name), Version: 1, Placement: tenancy.Placement{Server: server, Database: name}}
}

// A server's new engine serves from then on, through the handles that were
// given out; connections to the old one end after their current use.
func TestSetServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		before, openBefore := dbpool.NewFakeServer(t, 10, time.Millisecond)
		after, openAfter := dbpool.NewFakeServer(t, 10, time.Millisecond)
		p, err := dbpool.New(map[string]driver.Engine{"main": before}, &dbpool.Options{Budget: 10})
		if err != nil {
			t.Fatal(err)
		}
		var dbs []*sqlx.DB
		for i := range 3 {
			db, err := p.For(t.Context(), tenantOn("main", fmt.Sprintf("t%d", i)))
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Ping(); err != nil {
				t.Fatal(err)
			}
			dbs = append(dbs, db)
		}
		used, err := dbs[0].Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.SetServer("main", after); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		if n := openBefore(); n != 1 {
			t.Errorf("got %d connections to the old engine, want the one in use", n)
		}
		if err := used.PingContext(t.Context()); err != nil {
			t.Errorf("the one in use: %v", err)
		}
		for i, db := range dbs {
			if err := db.Ping(); err != nil {
				t.Errorf("tenant %d: %v", i, err)
			}
		}
		if err := used.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if old, now := openBefore(), openAfter(); old != 0 || now != 3 {
			t.Errorf("got %d connections to the old engine and %d to the new one, want 0 and 3", old, now)
		}

		more, open := dbpool.NewFakeServer(t, 10, time.Millisecond)
		if _, err := p.For(t.Context(), tenantOn("more", "t9")); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("a server that is not there: got %v, want ErrUnavailable", err)
		}
		if err := p.SetServer("more", more); err != nil {
			t.Fatal(err)
		}
		if db, err := p.For(t.Context(), tenantOn("more", "t9")); err != nil || db.Ping() != nil || open() != 1 {
			t.Errorf("a server that was added: got %v, %d connections, want one", err, open())
		}
		if err := p.SetServer("main", nil); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("no engine: got %v, want ErrInvalid", err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := p.SetServer("main", before); !errors.Is(err, tenancy.ErrClosed) {
			t.Errorf("after Close: got %v, want ErrClosed", err)
		}
		if n := openBefore() + openAfter() + open(); n != 0 {
			t.Errorf("after Close: got %d connections, want none", n)
		}
	})
}

// Another driver is refused.
func TestSetServerKeepsTheDriver(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	p := s.Pool(t, nil)
	if err := p.SetServer("sqlite", otherDriver{s.Engine}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

type otherDriver struct{ driver.Engine }

func (otherDriver) DriverName() string { return "other" }

// The host may give single tenants more or fewer connections, and a change of
// the record counts from the next request on.
func TestTenantConns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine, _ := dbpool.NewFakeServer(t, 8, time.Millisecond)
		p, err := dbpool.New(map[string]driver.Engine{"main": engine}, &dbpool.Options{
			Budget: 8, MaxConns: 2, MaxWait: time.Second,
			TenantConns: func(t *tenancy.Tenant) (int, int) { return 0, int(t.Limits["conns"]) },
		})
		if err != nil {
			t.Fatal(err)
		}
		// most takes connections until there are no more.
		most := func(tenant *tenancy.Tenant) int {
			db, err := p.For(t.Context(), tenant)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for ; ; n++ {
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				c, err := db.Conn(ctx)
				cancel()
				if err != nil {
					return n
				}
				defer func() { _ = c.Close() }()
			}
		}
		if n := most(tenantOn("main", "plain")); n != 2 {
			t.Errorf("got %d connections, want the pool's 2", n)
		}
		big := tenantOn("main", "big")
		big.Limits = map[string]int64{"conns": 5}
		if n := most(big); n != 5 {
			t.Errorf("got %d connections, want the tenant's 5", n)
		}
		small := big.Clone()
		small.Version++
		small.Limits["conns"] = 1
		db, err := p.For(t.Context(), big)
		if err != nil {
			t.Fatal(err)
		}
		var held []io.Closer
		for range 3 {
			c, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, c)
		}
		if _, err := p.For(t.Context(), small); err != nil {
			t.Fatal(err)
		}
		for _, c := range held {
			_ = c.Close()
		}
		time.Sleep(time.Second)
		if all := p.Tenants(10); len(all) != 2 || all[0].Conns+all[1].Conns != 2+1 {
			t.Errorf("got %+v, want 1 connection left of the tenant that may have 1", all)
		}
		if n := most(small); n != 1 {
			t.Errorf("got %d connections after the change, want 1", n)
		}
		small = small.Clone()
		small.Version++
		small.Limits["conns"] = 3
		if n := most(small); n != 3 {
			t.Errorf("got %d connections after another change, want 3", n)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What an engine opens for reading refuses to write.
func TestReadOnlyConnectors(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		tenant := s.Tenant(t, "acme")
		p := s.Pool(t, nil)
		db, err := p.For(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		db.MustExec(`CREATE TABLE notes (id INT)`)
		reader, err := dbpool.OpenReadOnly(s.Engine, tenant.Placement.Database)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = reader.Close() }()
		var n int
		if err := reader.Get(&n, `SELECT COUNT(*) FROM notes`); err != nil {
			t.Errorf("reading: %v", err)
		}
		for _, q := range []string{`INSERT INTO notes VALUES (1)`, `CREATE TABLE more (id INT)`} {
			if _, err := reader.Exec(q); err == nil {
				t.Errorf("%s: got no error", q)
			}
		}
	})
}

// What the engine before was found to be does not count for the one that takes
// its place, not even what is found out later.
func TestSetServerClosesTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refuses, hangs, fine := dbpool.NewFakeReplicas(t, 20), dbpool.NewFakeReplicas(t, 20), dbpool.NewFakeReplicas(t, 20)
		p, err := dbpool.New(map[string]driver.Engine{"main": refuses}, &dbpool.Options{Budget: 20})
		if err != nil {
			t.Fatal(err)
		}
		ping := func(tenant string) error {
			db, err := p.For(t.Context(), tenantOn("main", tenant))
			if err != nil {
				t.Fatal(err)
			}
			return db.Ping()
		}
		refuses.Refuse(true)
		for _, tenant := range []string{"a", "b", "c"} {
			if err := ping(tenant); err == nil {
				t.Error("a server that refuses: got no error")
			}
		}
		hangs.Hang(true)
		if err := p.SetServer("main", hangs); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, tenant := range []string{"a", "b", "c", "d"} {
			wg.Go(func() {
				if err := ping(tenant); err != nil {
					t.Errorf("%s: %v", tenant, err)
				}
			})
			synctest.Wait()
		}
		if n := p.Stat("main").Dialing; n != 4 {
			t.Errorf("got %d dials to the engine that takes the place of one that refused, want 4", n)
		}
		if err := p.SetServer("main", fine); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		time.Sleep(10 * time.Second) // the dials to the one before have failed
		if err := ping("e"); err != nil || p.Stat("main").Breaker != "closed" {
			t.Errorf("got %v, %+v, want the breaker closed", err, p.Stat("main"))
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}
