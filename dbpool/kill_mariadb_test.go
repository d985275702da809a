//go:build unix

package dbpool_test

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"slices"
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
	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// watched is a MariaDB server with an account of the pool's own, so that what the
// server lists under its name is the pool's.
type watched struct {
	pool    *dbpool.Pool
	tenants []*tenancy.Tenant
	watch   *sqlx.DB
	server  *testserver.Server
}

func newWatched(t *testing.T, tenants int, opts *dbpool.Options) *watched {
	t.Helper()
	w := &watched{server: testserver.ForTest(t, testserver.MariaDB, nil)}
	s := newSide(t, w.server.URL)
	w.watch = s.db
	s.must(t, "", `CREATE USER app@'%'`, `GRANT ALL ON *.* TO app@'%'`)
	for i := range tenants {
		tenant := tenancytest.NewTenant(fmt.Sprintf("t%d", i))
		tenant.Placement.Server = "mysql"
		if err := s.engine.(driver.Databases).Create(t.Context(), tenant.Placement.Database, tenant.ID); err != nil {
			t.Fatal(err)
		}
		w.tenants = append(w.tenants, tenant)
	}
	engine, err := mysql.New(strings.Replace(w.server.URL, "root@", "app@", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	if w.pool, err = dbpool.New(map[string]driver.Engine{"mysql": engine}, opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.pool.Close() })
	return w
}

func (w *watched) db(t *testing.T, i int) *sqlx.DB {
	t.Helper()
	db, err := w.pool.For(t.Context(), w.tenants[i])
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// sessions returns the numbers of those that the server lists under a condition.
func (w *watched) sessions(t *testing.T, condition string) (ids []int64) {
	t.Helper()
	if err := w.watch.Select(&ids, `SELECT id FROM information_schema.processlist WHERE `+condition); err != nil {
		t.Error(err)
	}
	return ids
}

// most looks at the server's list until stop is called, which returns the most
// sessions that there were. One that ends is on the list for a moment after the
// server has closed its socket: it does not count.
func (w *watched) most(t *testing.T) (stop func() int) {
	t.Helper()
	var most, looks int
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			ids := w.sessions(t, `user = 'app'`)
			looks++
			if len(ids) > most {
				for range 5 {
					unlist(t.Context(), w.watch)
				}
				stayed := w.sessions(t, `user = 'app'`)
				ids = slices.DeleteFunc(ids, func(id int64) bool { return !slices.Contains(stayed, id) })
				most = max(most, len(ids))
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	stop = sync.OnceValue(func() int {
		close(done)
		all.Wait()
		t.Logf("at most %d sessions in %d looks", most, looks)
		return most
	})
	t.Cleanup(func() { stop() })
	return stop
}

// unlist opens a session, ends it, and waits until the server lists it no longer.
// MariaDB takes a session off its list some time after it has closed the socket, and
// on a busy machine that takes long: whoever ended before has had the same time.
func unlist(ctx context.Context, watch *sqlx.DB) {
	conn, err := watch.Connx(ctx)
	if err != nil {
		return
	}
	var id, listed int64
	err = conn.GetContext(ctx, &id, `SELECT CONNECTION_ID()`)
	_ = conn.Raw(func(any) error { return sqldriver.ErrBadConn }) // ends it
	_ = conn.Close()
	for listed = 1; err == nil && listed > 0; {
		err = watch.GetContext(ctx, &listed, `SELECT COUNT(*) FROM information_schema.processlist WHERE id = ?`, id)
	}
}

// await waits until the server lists no more than n sessions of those that a
// condition is for.
func (w *watched) await(t *testing.T, condition string, n int) {
	t.Helper()
	testserver.Await(t, fmt.Sprintf("down to %d sessions", n), func() bool { return len(w.sessions(t, condition)) <= n })
}

// long are ways to keep the server busy, until the context ends.
var long = map[string]func(context.Context, *sqlx.DB) error{
	"query": func(ctx context.Context, db *sqlx.DB) error {
		return db.GetContext(ctx, new(int), `SELECT SLEEP(600)`)
	},
	"statement": func(ctx context.Context, db *sqlx.DB) error {
		_, err := db.ExecContext(ctx, `DO BENCHMARK(1000000000000, MD5('x'))`)
		return err
	},
	"prepared": func(ctx context.Context, db *sqlx.DB) error {
		return db.GetContext(ctx, new(int), `SELECT SLEEP(?)`, 600)
	},
	"transaction": func(ctx context.Context, db *sqlx.DB) error {
		tx, err := db.BeginTxx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		return tx.GetContext(ctx, new(int), `SELECT SLEEP(600)`)
	},
	"rows": func(ctx context.Context, db *sqlx.DB) error { // half of which are read
		rows, err := db.QueryxContext(ctx, `SELECT seq, SLEEP(seq > 2), REPEAT('x', 16000) FROM seq_1_to_1000000`)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
		}
		return rows.Err()
	},
}

// The server never lists more sessions than the budget, though it runs queries on
// whose contexts have ended; those end soon, and others are served meanwhile.
func TestOrphans(t *testing.T) {
	t.Parallel()
	const budget = 4
	w := newWatched(t, 6, &dbpool.Options{Budget: budget, MaxConns: 1})
	for name, run := range long {
		t.Run(name, func(t *testing.T) {
			stop := w.most(t)
			ctx, cancel := context.WithCancel(t.Context())
			var served atomic.Int64
			var others, all sync.WaitGroup
			for i := range 3 {
				others.Go(func() {
					for ctx.Err() == nil {
						if w.db(t, 3+i).Get(new(int), `SELECT 1`) == nil {
							served.Add(1)
						}
					}
				})
			}
			var slowest atomic.Int64
			for i := range 3 {
				all.Go(func() {
					// Until others were served 20 times, on a machine that is slow.
					for n, until := 0, time.Now().Add(2*time.Minute); n < 8 || served.Load() < 20 && time.Now().Before(until); n++ {
						short, cancel := context.WithCancel(t.Context()) // a deadline may be refused
						time.AfterFunc(50*time.Millisecond, cancel)
						began := time.Now()
						if run(short, w.db(t, i)) == nil {
							t.Error("a long query succeeded")
						}
						cancel()
						slowest.Store(max(slowest.Load(), int64(time.Since(began))))
					}
				})
			}
			all.Wait()
			cancel()
			others.Wait()
			w.await(t, `user = 'app' AND command <> 'Sleep'`, 0)
			if n := stop(); n > budget {
				t.Errorf("got %d sessions, want %d at most", n, budget)
			}
			if served.Load() < 20 {
				t.Errorf("got %d queries of other tenants, want more", served.Load())
			}
			if d := time.Duration(slowest.Load()); d > 2*time.Minute {
				t.Errorf("a query with 50 ms came back after %v", d)
			}
			t.Logf("the slowest came back after %v; %d queries of others, %+v", time.Duration(slowest.Load()), served.Load(), w.pool.Stat("mysql"))
		})
	}
}

// A session that rolls back is still on the server's list, though its socket is
// closed, and keeps its slot.
func TestOrphansThatRollBack(t *testing.T) {
	t.Parallel()
	w := newWatched(t, 1, &dbpool.Options{Budget: 2})
	db := w.db(t, 0)
	db.MustExec(`CREATE TABLE notes (id BIGINT PRIMARY KEY, text VARCHAR(100))`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO notes SELECT seq, REPEAT('x', 100) FROM seq_1_to_300000`); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	_, _ = tx.ExecContext(ctx, `DO BENCHMARK(1000000000000, MD5('x'))`)
	_ = tx.Rollback()
	began := time.Now()
	for {
		counted := w.pool.Stat("mysql").Conns
		if ids := w.sessions(t, `user = 'app' AND db IS NOT NULL`); len(ids) > counted { // what ends them is in none
			t.Fatalf("got %d sessions, while the pool counts %d connections", len(ids), counted)
		}
		if counted == 0 {
			break
		}
		if time.Since(began) > 3*time.Minute {
			t.Fatalf("after %v the pool counts %d connections, want none", time.Since(began), counted)
		}
	}
	t.Logf("all gone after %v", time.Since(began))
}

// End ends the session of the connection that it is told of, and no other: not one
// that has its number after a restart.
func TestEnd(t *testing.T) {
	t.Parallel()
	server := testserver.ForTest(t, testserver.MariaDB, nil)
	engine, err := mysql.New(server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Create(t.Context(), "acme", "acme"); err != nil {
		t.Fatal(err)
	}
	connector, err := engine.Connector("acme")
	if err != nil {
		t.Fatal(err)
	}
	connect := func() (sqldriver.Conn, string) {
		t.Helper()
		conn, err := connector.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := engine.Identify(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
		row, err := sqlkit.Strings(t.Context(), conn, `SELECT CONCAT(CONNECTION_ID())`)
		if err != nil {
			t.Fatal(err)
		}
		return conn, row[0]
	}
	end := func(over, closed sqldriver.Conn) bool {
		t.Helper()
		gone, err := engine.Kill(t.Context(), over, closed)
		if err != nil {
			t.Fatal(err)
		}
		return gone
	}
	over, _ := connect()
	busy, id := connect()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // ends the statement when the server works on it
		for {
			row, err := sqlkit.Strings(t.Context(), over, `SELECT CONCAT(COUNT(*)) FROM information_schema.processlist WHERE command = 'Query' AND id = `+id)
			if err != nil || row[0] != "0" {
				cancel()
				return
			}
		}
	}()
	began := time.Now()
	if _, err := sqlkit.Strings(ctx, busy, `SELECT SLEEP(600)`); !errors.Is(err, context.Canceled) || time.Since(began) > 3*time.Minute {
		t.Errorf("got %v after %v, want Canceled long before the server has slept", err, time.Since(began))
	}
	ended := engine.Closed(busy)
	select {
	case <-ended:
		t.Error("the server has hung up before the session was ended")
	default:
	}
	if end(over, busy) {
		t.Error("got a session that is gone before it was ended")
	}
	<-ended
	for listed := true; listed; {
		gone := end(over, busy)
		row, err := sqlkit.Strings(t.Context(), over, `SELECT CONCAT(COUNT(*)) FROM information_schema.processlist WHERE id = `+id)
		if err != nil {
			t.Fatal(err)
		}
		if listed = row[0] != "0"; gone && listed {
			t.Error("got a session that is gone, and on the server's list")
		}
	}
	if _, err := sqlkit.Strings(t.Context(), over, `SELECT DATABASE()`); err != nil {
		t.Errorf("afterwards: %v", err)
	}

	before, id := connect()
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	over, _ = connect()
	var namesake sqldriver.Conn
	for n := ""; n != id; {
		if namesake, n = connect(); len(n) > len(id) {
			t.Fatalf("got session %s, want %s", n, id)
		}
	}
	if !end(over, before) {
		t.Error("a session of the run before: got one that is still there")
	}
	if _, err := sqlkit.Strings(t.Context(), namesake, `SELECT DATABASE()`); err != nil {
		t.Errorf("another session of the same number: %v", err)
	}
	_ = namesake.Close()
	testserver.Await(t, "rid of the session of a connection that was closed", func() bool { return end(over, namesake) })
}

// When all of the budget are orphans, they are ended over one connection more.
func TestNothingButOrphans(t *testing.T) {
	t.Parallel()
	const budget = 3
	w := newWatched(t, budget+1, &dbpool.Options{Budget: budget, MaxConns: 1, MaxWait: 2 * time.Minute})
	stop := w.most(t)
	for range 5 {
		var all sync.WaitGroup
		for i := range budget {
			db := w.db(t, i)
			for db.Get(new(int), `SELECT 1`) != nil {
			}
			all.Go(func() {
				short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				if long["statement"](short, db) == nil {
					t.Error("a long statement succeeded")
				}
			})
		}
		all.Wait()
		began := time.Now()
		if err := w.db(t, budget).Get(new(int), `SELECT 1`); err != nil {
			t.Error(err)
		}
		t.Logf("another tenant was served after %v", time.Since(began))
		w.await(t, `user = 'app' AND command <> 'Sleep'`, 0)
	}
	if n := stop(); n > budget+1 {
		t.Errorf("got %d sessions, want %d at most", n, budget+1)
	}
}
