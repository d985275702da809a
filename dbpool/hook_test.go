package dbpool_test

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"testing"

	drivermysql "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// sessionSettings are a statement for a hook, a query whose answer shows it, and
// one that leaves something else in the session.
var sessionSettings = map[string]struct{ set, show, leave string }{
	"postgres": {`SET application_name = 'hooked'`, `SHOW application_name`, `SET application_name = 'left'`},
	"mysql":    {`SET @hook = 'hooked'`, `SELECT COALESCE(@hook, '')`, `SET @hook = 'left'`},
	"sqlite":   {`CREATE TEMP TABLE hook AS SELECT 'hooked' AS x`, `SELECT x FROM temp.hook`, `UPDATE temp.hook SET x = 'left'`},
}

// What a hook does to sessions, each has: those of new connections, of those that
// were led to another tenant's database, and of those that were cleaned.
func TestOnSession(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		acme, globex := s.Tenant(t, "acme"), s.Tenant(t, "globex")
		var mu sync.Mutex
		seen := map[string]int{}
		pool := s.Pool(t, &dbpool.Options{Budget: 1, OnSession: func(ctx context.Context, session dbpool.Session) error {
			mu.Lock()
			defer mu.Unlock()
			seen[fmt.Sprint(session.Tenant, session.ReadOnly, session.Server == s.Name)]++
			if _, ok := session.Conn.(*stdlib.Conn); s.Name == "postgres" && !ok {
				return fmt.Errorf("got a %T", session.Conn)
			}
			_, err := session.Conn.(sqldriver.ExecerContext).ExecContext(ctx, sessionSettings[s.Name].set, nil)
			return err
		}})
		check := func(what string, ctx context.Context) {
			t.Helper()
			db, err := pool.DB(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			if err := db.GetContext(ctx, &got, sessionSettings[s.Name].show); err != nil || got != "hooked" {
				t.Errorf("%s: got %q, %v, want what the hook set", what, got, err)
			}
		}
		inAcme, inGlobex := tenancy.NewContext(t.Context(), acme), tenancy.NewContext(t.Context(), globex)
		check("new", inAcme)
		check("of another tenant", inGlobex)
		check("of the first again", inAcme)
		db, err := pool.DB(inAcme)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(inAcme, sessionSettings[s.Name].leave); err != nil {
			t.Error(err)
		}
		check("after a statement that leaves something", inAcme)
		if s.Name != "sqlite" { // whose read-only connections have no temporary tables
			check("read-only", tenancy.WithReadOnly(inAcme))
		}
		mu.Lock()
		defer mu.Unlock()
		if n := seen[fmt.Sprint(acme.ID, false, true)]; n < 3 || seen[fmt.Sprint(globex.ID, false, true)] < 1 {
			t.Errorf("got the hook called %v, want 3 times for acme and once for globex, at least", seen)
		}
	})
}

// A hook that fails or panics fails the tenant's dial, and nobody else's.
func TestOnSessionFails(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		odd := errors.New("odd")
		fine := s.Tenant(t, "fine")
		pool := s.Pool(t, &dbpool.Options{OnSession: func(_ context.Context, session dbpool.Session) error {
			switch {
			case session.Tenant == fine.ID:
				return nil
			case session.ReadOnly:
				panic("on purpose")
			}
			return odd
		}})
		for i := range 4 {
			ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
			for _, ctx := range []context.Context{ctx, tenancy.WithReadOnly(ctx)} {
				db, err := pool.DB(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if err := db.PingContext(ctx); !errors.Is(err, tenancy.ErrUnavailable) || !tenancy.IsReadOnly(ctx) && !errors.Is(err, odd) {
					t.Errorf("tenant %d: got %v, want the hook's error", i, err)
				}
			}
		}
		db, err := pool.For(t.Context(), fine)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Ping(); err != nil {
			t.Errorf("another tenant: %v", err)
		}
		if st := pool.Stat(s.Name); st.Conns != 1 || st.Breaker != "closed" {
			t.Errorf("got %+v, want one connection and the breaker closed", st)
		}
	})
}

// A password may be one that expires: each connection of an engine asks for it, those
// of its own too.
func TestBeforeConnect(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"postgres", "mysql"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tenancytest.NewServer(t, name)
			var mu sync.Mutex
			asked, fails := 0, error(nil)
			ask := func() error {
				mu.Lock()
				defer mu.Unlock()
				asked++
				return fails
			}
			var e driver.Engine
			var err error
			if name == "postgres" {
				config, e2 := pgx.ParseConfig(s.DSN)
				if e2 != nil {
					t.Fatal(e2)
				}
				e, err = postgres.New(s.DSN, &postgres.Options{BeforeConnect: func(_ context.Context, c *pgx.ConnConfig) error {
					c.Password = config.Password
					return ask()
				}})
			} else {
				e, err = mysql.New(s.DSN, &mysql.Options{BeforeConnect: func(context.Context, *drivermysql.Config) error { return ask() }})
			}
			if err != nil {
				t.Fatal(err)
			}
			pool, err := dbpool.New(map[string]driver.Engine{name: e}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = pool.Close() }()
			tenant := s.Tenant(t, "acme")
			db, err := pool.For(t.Context(), tenant)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Ping(); err != nil || asked == 0 {
				t.Errorf("got %v, asked %d times, want a connection that asked", err, asked)
			}
			before := asked
			if exists, err := pool.Exists(t.Context(), tenant); err != nil || !exists || asked == before {
				t.Errorf("Exists: got %v, %v, asked %d times more, want a connection that asked", exists, err, asked-before)
			}
			mu.Lock()
			fails = errors.New("no token")
			mu.Unlock()
			if _, err := pool.Exists(t.Context(), tenant); !errors.Is(err, fails) {
				t.Errorf("Exists without a token: got %v, want %v", err, fails)
			}
		})
	}
}
