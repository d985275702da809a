//go:build unix

package dbpool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// chaos is one run of TestChaos on a server.
type chaos struct {
	t        *testing.T
	pool     *dbpool.Pool
	tenants  []*tenancy.Tenant
	budget   int
	driver   string
	server   *testserver.Server // nil on SQLite
	watch    *sqlx.DB           // asks the server; nil on SQLite
	answers  atomic.Int64
	failures atomic.Int64
	most     atomic.Int64
	odd      sync.Map // texts of errors that are not documented
}

// TestChaos lets many goroutines work for many tenants on a small budget, while
// everything happens that can happen: panics, cancellations, connections killed
// on the server, the server restarted, tenants forgotten. No answer may be of
// another tenant, the server must never count more connections than the budget,
// and nothing may be left behind. With TENANCY_SOAK set it runs for a minute
// with 500 tenants.
//
// It runs before the tests that are parallel, so that no goroutine but its own
// can stay behind.
func TestChaos(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("engines", func(t *testing.T) {
		for _, name := range []string{"sqlite", "postgres", "mysql"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d, tenants, budget := 4*time.Second, 30, 8
				if os.Getenv("TENANCY_SOAK") != "" {
					d, tenants, budget = time.Minute, 500, 20
				}
				newChaos(t, name, tenants, budget).run(d)
			})
		}
	})
	for until := time.Now().Add(10 * time.Minute); runtime.NumGoroutine() > before && time.Now().Before(until); {
		runtime.GC() // ends the handles of tenants that were forgotten
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		stacks := make([]byte, 1<<20)
		t.Errorf("got %d goroutines, want the %d of before:\n%s", n, before, stacks[:runtime.Stack(stacks, true)])
	}
}

func newChaos(t *testing.T, name string, tenants, budget int) *chaos {
	t.Helper()
	c := &chaos{t: t, budget: budget}
	s := &tenancytest.Server{Name: name}
	var err error
	var server *testserver.Server
	switch name {
	case "sqlite":
		s = tenancytest.NewServer(t, name)
	case "postgres":
		server = testserver.ForTest(t, testserver.Postgres, nil)
		s.Engine, err = postgres.New(server.URL, nil)
		c.watch = sqlx.MustOpen("pgx", server.URL)
	case "mysql":
		server = testserver.ForTest(t, testserver.MariaDB, nil)
		s.Engine, err = mysql.New(server.URL, nil)
		c.watch = sqlx.MustOpen("mysql", strings.NewReplacer("mysql://", "", "@", "@tcp(").Replace(strings.TrimSuffix(server.URL, "/"))+")/")
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range tenants {
		tenant := tenancytest.NewTenant(fmt.Sprintf("t%d", i))
		tenant.Placement.Server = name
		if err := s.Engine.(driver.Databases).Create(t.Context(), tenant.Placement.Database, tenant.ID); err != nil {
			t.Fatal(err)
		}
		c.tenants = append(c.tenants, tenant)
	}
	c.pool, err = dbpool.New(map[string]driver.Engine{name: s.Engine}, &dbpool.Options{Budget: budget, MaxConns: 4, MaxWait: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.pool.Close(); err != nil {
			t.Errorf("closing the pool: %v", err)
		}
		if st := c.pool.Stat(name); st.Conns != 0 || st.InUse != 0 || st.Waiting != 0 {
			t.Errorf("after Close: got %+v, want nothing left", st)
		}
		if c.watch != nil {
			_ = c.watch.Close()
		}
	})
	c.server, c.driver = server, s.Engine.DriverName()
	return c
}

// run lets it happen for so long, and longer on a machine that is slow.
func (c *chaos) run(d time.Duration) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		time.Sleep(d)
		for c.answers.Load() < 200 && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	})
	for w := range 64 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), uint64(time.Now().UnixNano()))) // not a secret
			for ctx.Err() == nil {
				c.work(ctx, rnd)
			}
		})
	}
	wg.Go(func() { c.sample(ctx) })
	wg.Go(func() { c.kill(ctx) })
	if c.server != nil {
		wg.Go(func() {
			select {
			case <-time.After(d / 2):
				if err := c.server.Restart(context.WithoutCancel(ctx)); err != nil {
					c.t.Errorf("restarting the server: %v", err)
				}
			case <-ctx.Done():
			}
		})
	}
	wg.Wait()
	c.odd.Range(func(text, _ any) bool {
		c.t.Errorf("got an error that is not documented: %s", text)
		return true
	})
	if c.answers.Load() == 0 {
		c.t.Error("got no answer at all")
	}
	// It recovers by itself, and every tenant is served.
	for _, tenant := range c.tenants[:min(30, len(c.tenants))] {
		tctx := tenancy.NewContext(c.t.Context(), tenant)
		err := c.query(tctx, tenant)
		for until := time.Now().Add(2 * time.Minute); err != nil && time.Now().Before(until); {
			time.Sleep(50 * time.Millisecond)
			err = c.query(tctx, tenant)
		}
		if err != nil {
			c.t.Errorf("afterwards: tenant %s: %v", tenant.Slug, err)
		}
	}
	testserver.Await(c.t, "at rest", func() bool { return c.pool.Stat(c.tenants[0].Placement.Server).InUse == 0 }) // what ends a session is in use
	if st := c.pool.Stat(c.tenants[0].Placement.Server); st.InUse != 0 || st.Waiting != 0 || st.Conns > c.budget {
		c.t.Errorf("afterwards: got %+v, want nothing in use and at most %d connections", st, c.budget)
	}
	if st := c.pool.Stat(c.tenants[0].Placement.Server); c.driver == "mysql" && st.Switches == 0 {
		c.t.Errorf("got %+v, want switches", st)
	}
	c.t.Logf("%d answers, %d failures, at most %d of %d connections on the server; %+v",
		c.answers.Load(), c.failures.Load(), c.most.Load(), c.budget, c.pool.Stat(c.tenants[0].Placement.Server))
}

// work does something for some tenant, and judges how it went.
func (c *chaos) work(ctx context.Context, rnd *rand.Rand) {
	tenant := c.tenants[rnd.IntN(1+rnd.IntN(len(c.tenants)))]
	tctx, cancel := context.WithCancel(tenancy.NewContext(ctx, tenant))
	defer cancel()
	defer func() {
		if p := recover(); p != nil && p != "on purpose" {
			panic(p)
		}
	}()
	var err error
	switch rnd.IntN(14) {
	case 0:
		time.AfterFunc(time.Duration(rnd.IntN(3000))*time.Microsecond, cancel)
		err = c.query(tctx, tenant)
	case 1:
		_ = c.pool.With(tctx, func(*sqlx.Conn) error { panic("on purpose") })
	case 2:
		_ = c.pool.Tx(tctx, nil, func(tx *sqlx.Tx) error {
			_, _ = tx.ExecContext(tctx, `CREATE TABLE never (id INT)`)
			panic("on purpose")
		})
	case 3:
		time.AfterFunc(time.Duration(rnd.IntN(3000))*time.Microsecond, cancel)
		err = c.pool.Tx(tctx, nil, func(tx *sqlx.Tx) error { return c.check(tctx, tx, tenant) })
	case 4:
		if rnd.IntN(20) == 0 {
			c.pool.Forget(tenant.ID)
		}
	case 5:
		err = c.pool.With(tctx, func(conn *sqlx.Conn) error {
			_, err := conn.ExecContext(tctx, map[string]string{"pgx": `SET statement_timeout = 1000`, "mysql": `SET @x = 1`, "sqlite": `PRAGMA cache_size = 10`}[c.driver])
			return err
		})
	case 6:
		err = c.pool.Tx(dbpool.LowPriority(tctx), nil, func(tx *sqlx.Tx) error { return c.check(tctx, tx, tenant) })
	case 7, 8: // what would run for long, and is given up
		time.AfterFunc(time.Duration(rnd.IntN(50))*time.Millisecond, cancel)
		err = c.sleep(tctx, rnd.IntN(2) == 0)
	default:
		err = c.query(tctx, tenant)
	}
	if err != nil {
		c.failures.Add(1)
		c.judge(err)
	}
}

func (c *chaos) query(ctx context.Context, tenant *tenancy.Tenant) error {
	db, err := c.pool.DB(ctx)
	if err != nil {
		return err
	}
	return c.check(ctx, db, tenant)
}

// sleep keeps the server busy until the context ends, in a transaction or not.
func (c *chaos) sleep(ctx context.Context, tx bool) error {
	query := map[string]string{
		"pgx": `SELECT pg_sleep(30)`, "mysql": `SELECT SLEEP(30)`,
		"sqlite": `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n`,
	}[c.driver]
	if tx {
		return c.pool.Tx(ctx, nil, func(tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, query)
			return err
		})
	}
	return c.pool.With(ctx, func(conn *sqlx.Conn) error {
		rows, err := conn.QueryxContext(ctx, query)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
		}
		return rows.Err()
	})
}

// check asks the database whose it is.
func (c *chaos) check(ctx context.Context, q sqlx.QueryerContext, tenant *tenancy.Tenant) error {
	var id tenancy.ID
	if err := sqlx.GetContext(ctx, q, &id, `SELECT tenant_id FROM tenancy_marker`); err != nil {
		return err
	}
	if id != tenant.ID {
		c.t.Errorf("tenant %s got an answer of tenant %s", tenant.ID, id)
	}
	c.answers.Add(1)
	return nil
}

// judge knows the errors that may come of what is done here.
func (c *chaos) judge(err error) {
	var busy *dbpool.BusyError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &busy),
		errors.Is(err, tenancy.ErrUnavailable), errors.Is(err, sql.ErrTxDone):
		return
	}
	c.odd.Store(err.Error(), true)
}

// sample asks the server for its own list of connections to tenants.
func (c *chaos) sample(ctx context.Context) {
	if c.watch == nil {
		return
	}
	query := map[string]string{
		"pgx":   `SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'tenant\_%'`,
		"mysql": `SELECT COUNT(*) FROM information_schema.processlist WHERE db LIKE 'tenant\_%'`,
	}[c.driver]
	for ctx.Err() == nil {
		var n int64
		if err := c.watch.GetContext(ctx, &n, query); err != nil {
			continue
		}
		for again := 0; again < 5 && n > int64(c.budget) && c.driver == "mysql"; again++ {
			unlist(ctx, c.watch) // what counts is who stays there
			if c.watch.GetContext(ctx, &n, query) != nil {
				n = 0
			}
		}
		c.most.Store(max(c.most.Load(), n))
		if n > int64(c.budget) {
			c.t.Errorf("the server has %d connections of tenants, want at most %d", n, c.budget)
		}
		time.Sleep(time.Millisecond)
	}
}

// kill ends connections on the server.
func (c *chaos) kill(ctx context.Context) {
	for c.watch != nil && ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
		if c.driver == "pgx" {
			_, _ = c.watch.ExecContext(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE datname LIKE 'tenant\_%' ORDER BY random() LIMIT 2`)
			continue
		}
		var id int64
		if c.watch.GetContext(ctx, &id, `SELECT id FROM information_schema.processlist WHERE db LIKE 'tenant\_%' ORDER BY RAND() LIMIT 1`) == nil {
			_, _ = c.watch.ExecContext(ctx, fmt.Sprintf(`KILL %d`, id))
		}
	}
}
