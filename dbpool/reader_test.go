package dbpool_test

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/lease"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// testReader reads on real replicas through a pool.
func (f *family) testReader(t *testing.T) {
	pool, err := dbpool.New(map[string]driver.Engine{"main": f.primary.engine, "near": f.replica.engine, "far": f.last.engine}, &dbpool.Options{
		Budget: 10, MaxLag: time.Second, Servers: map[string]dbpool.ServerOptions{"main": {Replicas: []string{"near", "far"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tenant := &tenancy.Tenant{ID: "acme", Version: 1, Placement: tenancy.Placement{Server: "main", Database: "acme"}}
	ctx := tenancy.NewContext(t.Context(), tenant)
	primary, err := pool.DB(ctx)
	if err != nil {
		t.Fatal(err)
	}
	reader := func(ctx context.Context) *sqlx.DB {
		t.Helper()
		db, err := pool.Reader(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		for looks, began := 0, time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
			if looks++; looks > manyLooks && time.Since(began) > soon {
				t.Fatalf("after %v still not: %s", soon, what)
			}
		}
	}
	if reader(ctx) != primary {
		t.Error("before Run: got a replica, want the primary")
	}
	running, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- pool.Run(running) }()
	await("a replica", func() bool { return reader(ctx) != primary })
	first := reader(ctx)
	if first != reader(ctx) {
		t.Error("got another handle, want the same")
	}
	if _, err := first.Exec(`INSERT INTO notes (id) VALUES (300000)`); err == nil {
		t.Error("a write on a replica: got no error")
	}

	replicas := 0
	for id := 100_000; id < 100_100; id++ {
		write(t, primary, id)
		at, err := pool.Position(ctx)
		if err != nil {
			t.Fatal(err)
		}
		db := reader(dbpool.ReadAfter(ctx, at))
		if db != primary {
			replicas++
		}
		if !sees(t, db, id) {
			t.Fatalf("row %d is not visible to its writer", id)
		}
		if id%10 == 0 {
			await("a replica with the row", func() bool { return reader(dbpool.ReadAfter(ctx, at)) != primary })
			if !sees(t, reader(dbpool.ReadAfter(ctx, at)), id) {
				t.Fatalf("row %d is not visible on a replica that has it", id)
			}
		}
	}
	if db := reader(dbpool.ReadAfter(ctx, "odd")); db != primary {
		t.Error("a position that nobody understands: got a replica, want the primary")
	}

	pause, resume := `SELECT pg_wal_replay_pause()`, `SELECT pg_wal_replay_resume()`
	if f.engine == testserver.MariaDB {
		pause, resume = `STOP SLAVE SQL_THREAD`, `START SLAVE SQL_THREAD`
	}
	f.last.must(t, "", pause)
	write(t, primary, 200_000)
	await("far is behind, near is not", func() bool { return pool.Stat("far").Lag > time.Second && pool.Stat("near").Lag < time.Second })
	other := reader(ctx)
	if other == primary || !sees(t, other, 200_000) {
		t.Error("one replica is behind: got no reader that has the row, want the other replica")
	}
	f.replica.must(t, "", pause)
	write(t, primary, 200_001)
	await("both are behind", func() bool { return reader(ctx) == primary })
	if err := other.Get(new(int), `SELECT COUNT(*) FROM notes`); err != nil {
		t.Errorf("a handle that was given out: %v", err)
	}
	f.replica.must(t, "", resume)
	f.last.must(t, "", resume)
	await("they catch up", func() bool { return pool.Stat("near").Lag < time.Second && pool.Stat("far").Lag < time.Second })
	if db := reader(ctx); db == primary || !sees(t, db, 200_001) {
		t.Error("they have caught up: got no reader that has the row, want a replica")
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	await("nobody looks any more", func() bool { return reader(ctx) == primary })
	if err := pool.Close(); err != nil {
		t.Error(err)
	}
	if _, err := pool.Reader(ctx); !errors.Is(err, tenancy.ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
	t.Logf("%d of 100 rows were read on a replica at once", replicas)
}

// running returns a pool that runs, whose server main has the read replica copy, and what ends both.
func running(t *testing.T, budget int, engines map[string]driver.Engine) (p *dbpool.Pool, end func()) {
	t.Helper()
	p, err := dbpool.New(engines, &dbpool.Options{
		Budget: budget, Logger: slog.New(slog.DiscardHandler), Servers: map[string]dbpool.ServerOptions{"main": {Replicas: []string{"copy"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(running) }()
	return p, func() {
		t.Helper()
		stop()
		if err := errors.Join(<-done, p.Close()); err != nil {
			t.Error(err)
		}
	}
}

// A reader's handle stays good when its tenant moves, and when its replica gets
// another engine.
func TestReadersFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		main, copied, other := dbpool.NewFakeReplicas(t, 5), dbpool.NewFakeReplicas(t, 5), dbpool.NewFakeReplicas(t, 5)
		p, end := running(t, 5, map[string]driver.Engine{"main": main, "copy": copied, "other": other})
		time.Sleep(time.Second)
		tenant := tenantOn("main", "acme")
		reader, err := p.Reader(tenancy.NewContext(t.Context(), tenant))
		if err != nil {
			t.Fatal(err)
		}
		reaches := func(what string, servers ...*dbpool.FakeReplica) {
			t.Helper()
			for _, s := range servers {
				before := s.Tenants()
				if err := reader.Ping(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				if s.Tenants() == before {
					t.Errorf("%s: the reader does not lead there", what)
				}
			}
		}
		reaches("at first", copied)
		moved := tenant.Clone()
		moved.Version++
		moved.Placement.Server = "other"
		if _, err := p.For(t.Context(), moved); err != nil {
			t.Fatal(err)
		}
		reaches("moved", other)
		back := moved.Clone()
		back.Version++
		back.Placement.Server = "main"
		again, err := p.Reader(tenancy.NewContext(t.Context(), back))
		if err != nil || again != reader {
			t.Errorf("moved back: got %p, %v, want the same handle %p", again, err, reader)
		}
		reaches("moved back", copied)
		fresh := dbpool.NewFakeReplicas(t, 5)
		if err := p.SetServer("copy", fresh); err != nil {
			t.Fatal(err)
		}
		reaches("a new engine", fresh)
		end()
		if err := reader.Ping(); err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("after Close: got %v, want it closed", err)
		}
	})
}

// The tenants of a primary that is down are led to it, not to a replica whose
// lag nobody knows; a replica that is down or hangs is not asked, and delays
// nobody.
func TestReadersWhenServersAreDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		main, a, b := dbpool.NewFakeReplicas(t, 5), dbpool.NewFakeReplicas(t, 5), dbpool.NewFakeReplicas(t, 5)
		p, err := dbpool.New(map[string]driver.Engine{"main": main, "a": a, "b": b}, &dbpool.Options{
			Budget: 5, MaxLag: time.Second, Logger: slog.New(slog.DiscardHandler),
			Servers: map[string]dbpool.ServerOptions{"main": {Replicas: []string{"a", "b"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		running, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(running) }()
		time.Sleep(time.Second)
		used := func() (toMain, toA, toB int) {
			t.Helper()
			x, y, z := main.Tenants(), a.Tenants(), b.Tenants()
			for i := range 20 {
				began := time.Now()
				db, err := p.Reader(tenancy.NewContext(t.Context(), tenantOn("main", string(rune('a'+i)))))
				if err != nil {
					t.Fatal(err)
				}
				if time.Since(began) != 0 {
					t.Errorf("Reader took %v, want no time", time.Since(began))
				}
				_ = db.Ping()
			}
			return main.Tenants() - x, a.Tenants() - y, b.Tenants() - z
		}
		if x, y, z := used(); x != 0 || y == 0 || z == 0 {
			t.Errorf("all are up: got %d, %d and %d uses, want the replicas'", x, y, z)
		}
		b.Hang(true)
		time.Sleep(3 * time.Second)
		if x, y, z := used(); x != 0 || y < 20 || z != 0 { // with checks of what was idle
			t.Errorf("b hangs: got %d, %d and %d uses, want all of a", x, y, z)
		}
		main.Hang(true)
		time.Sleep(10 * time.Second)
		if _, y, z := used(); y != 0 || z != 0 {
			t.Errorf("the primary hangs: got %d and %d uses of the replicas, want none", y, z)
		}
		main.Hang(false)
		b.Hang(false)
		time.Sleep(20 * time.Second)
		if x, y, z := used(); x != 0 || y == 0 || z == 0 {
			t.Errorf("all are up again: got %d, %d and %d uses, want the replicas'", x, y, z)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A tenant whose database a replica lacks reads on the primary, and on the replica once it is there.
func TestReaderOfAMissingDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		main, replica := dbpool.NewFakeReplicas(t, 20), dbpool.NewFakeReplicas(t, 20)
		p, end := running(t, 20, map[string]driver.Engine{"main": main, "copy": replica})
		time.Sleep(time.Second)
		replica.Lack("acme")
		uses := func(id string) (onMain, onReplica bool, err error) {
			t.Helper()
			x, y := main.Tenants(), replica.Tenants()
			db, err := p.Reader(tenancy.NewContext(t.Context(), tenantOn("main", id)))
			if err != nil {
				t.Fatal(err)
			}
			err = db.Ping()
			return main.Tenants() > x, replica.Tenants() > y, err
		}
		if _, _, err := uses("acme"); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("at first: got %v, want ErrUnavailable", err)
		}
		for range 200 { // over the pauses between tries
			if onMain, onReplica, err := uses("acme"); err != nil || !onMain || onReplica {
				t.Fatalf("the replica lacks the database: got %v, on the primary %t, on the replica %t, want the primary", err, onMain, onReplica)
			}
			time.Sleep(300 * time.Millisecond)
		}
		if _, onReplica, err := uses("globex"); err != nil || !onReplica {
			t.Errorf("another tenant: got %v, on the replica %t, want the replica", err, onReplica)
		}
		replica.Lack("")
		time.Sleep(11 * time.Second) // the longest pause
		if _, onReplica, err := uses("acme"); err != nil || !onReplica {
			t.Errorf("the database is there: got %v, on the replica %t, want the replica", err, onReplica)
		}
		end()
	})
}

// A tenant that was forgotten, or whose handle was closed, is not looked for at a replica that lacks its database.
func TestReaderOfAForgottenDatabase(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*dbpool.Pool, *sqlx.DB) error{
		"forgotten": func(p *dbpool.Pool, _ *sqlx.DB) error { p.Forget("acme"); return nil },
		"closed":    func(_ *dbpool.Pool, db *sqlx.DB) error { return db.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				replica := dbpool.NewFakeReplicas(t, 20)
				p, stop := running(t, 20, map[string]driver.Engine{"main": dbpool.NewFakeReplicas(t, 20), "copy": replica})
				time.Sleep(time.Second)
				replica.Lack("acme")
				ctx := tenancy.NewContext(t.Context(), tenantOn("main", "acme"))
				primary, err := p.DB(ctx)
				if err != nil {
					t.Fatal(err)
				}
				db, err := p.Reader(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if err := db.Ping(); !errors.Is(err, tenancy.ErrUnavailable) {
					t.Errorf("at first: got %v, want ErrUnavailable", err)
				}
				if _, err := p.Reader(ctx); err != nil { // which finds that it is missing
					t.Fatal(err)
				}
				if err := end(p, db); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				before := replica.Lacked()
				time.Sleep(time.Minute)
				if after := replica.Lacked(); before == 0 || after != before {
					t.Errorf("got %d dials before and %d a minute later, want some and no more", before, after)
				}
				stop()
				if err := errors.Join(db.Close(), primary.Close()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What is known of a replica comes and goes while requests look at it.
func TestReaderWhileProgressChanges(t *testing.T) {
	t.Parallel()
	main, replica := dbpool.NewFakeReplicas(t, 20), dbpool.NewFakeReplicas(t, 20)
	p, err := dbpool.New(map[string]driver.Engine{"main": main, "copy": replica}, &dbpool.Options{
		Servers: map[string]dbpool.ServerOptions{"main": {Replicas: []string{"copy"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := dbpool.ReadAfter(tenancy.NewContext(t.Context(), tenantOn("main", "acme")), "1")
	read := make(chan struct{})
	var flickers sync.WaitGroup
	flickers.Go(func() { p.Flicker("copy", replica, read) })
	for range 1_000_000 {
		if _, err := p.Reader(ctx); err != nil {
			t.Fatal(err)
		}
	}
	close(read)
	flickers.Wait()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestReplicasAreChecked(t *testing.T) {
	t.Parallel()
	a, b := dbpool.NewFakeReplicas(t, 1), dbpool.NewFakeReplicas(t, 1)
	plain, _ := dbpool.NewFakeServer(t, 1, 0)
	for name, replicas := range map[string][]string{
		"unknown": {"x"}, "itself": {"a"}, "twice": {"b", "b"}, "of no such ability": {"plain"},
	} {
		_, err := dbpool.New(map[string]driver.Engine{"a": a, "b": b, "plain": plain}, &dbpool.Options{
			Servers: map[string]dbpool.ServerOptions{"a": {Replicas: replicas}},
		})
		if !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	s := tenancytest.NewServer(t, "sqlite")
	p := s.Pool(t, nil)
	if _, err := p.Position(tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("SQLite: got %v, want ErrInvalid", err)
	}
	if _, err := p.Reader(t.Context()); !errors.Is(err, tenancy.ErrNoTenant) {
		t.Errorf("no tenant: got %v, want ErrNoTenant", err)
	}
}

// A replica that never answered is seen to be down, though nobody is led to it.
func TestReplicaThatNeverAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		main, replica := dbpool.NewFakeReplicas(t, 20), dbpool.NewFakeReplicas(t, 20)
		replica.Refuse(true)
		p, end := running(t, 20, map[string]driver.Engine{"main": main, "copy": replica})
		time.Sleep(time.Minute)
		if copied, own := p.Stat("copy").Breaker, p.Stat("main").Breaker; copied == "closed" || own != "closed" {
			t.Errorf("got the replica's breaker %s and the primary's %s, want the replica's open alone", copied, own)
		}
		end()
	})
}

// A lender without anything to lend, and the other way round, are mistakes.
func TestLenderWantsShared(t *testing.T) {
	t.Parallel()
	engine, _ := dbpool.NewFakeServer(t, 2, 0)
	lender := lease.NewMemory(time.Second).Instance()
	for name, opts := range map[string]*dbpool.Options{
		"a lender alone": {Lender: lender}, "shared alone": {Shared: 5}, "shared by a server alone": {Servers: map[string]dbpool.ServerOptions{"main": {Shared: 5}}},
	} {
		if _, err := dbpool.New(map[string]driver.Engine{"main": engine}, opts); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

// A replica that refused connections for a while is used again, though nobody is
// led to it who would find out.
func TestReplicaRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		main, replica := dbpool.NewFakeReplicas(t, 20), dbpool.NewFakeReplicas(t, 20)
		p, end := running(t, 20, map[string]driver.Engine{"main": main, "copy": replica})
		time.Sleep(time.Second)
		// read returns how many of ten tenants the replica serves.
		read := func() int {
			before := replica.Tenants()
			for i := range 10 {
				db, err := p.Reader(tenancy.NewContext(t.Context(), tenantOn("main", string(rune('a'+i)))))
				if err != nil {
					t.Fatal(err)
				}
				_ = db.Ping()
			}
			return replica.Tenants() - before
		}
		replica.Refuse(true)
		read()
		if got := p.Stat("copy").Breaker; got == "closed" {
			t.Errorf("it refuses all: got its breaker %s, want it open", got)
		}
		if n := read(); n != 0 {
			t.Errorf("it refuses all: got %d readers on it, want none", n)
		}
		replica.Refuse(false)
		time.Sleep(time.Minute)
		if got := p.Stat("copy").Breaker; got != "closed" {
			t.Errorf("it is up again: got its breaker %s, want it closed", got)
		}
		if n := read(); n != 10 {
			t.Errorf("it is up again: got %d readers on it, want all 10; %+v", n, p.Stat("copy"))
		}
		end()
	})
}

// Who holds an older record of a tenant that has moved is led to a replica of the
// server where the tenant is now.
func TestReaderOfAnOlderRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		left, leftCopy, now, nowCopy := dbpool.NewFakeReplicas(t, 5), dbpool.NewFakeReplicas(t, 5), dbpool.NewFakeReplicas(t, 5), dbpool.NewFakeReplicas(t, 5)
		p, err := dbpool.New(map[string]driver.Engine{"left": left, "left copy": leftCopy, "now": now, "now copy": nowCopy}, &dbpool.Options{
			Budget: 5, Logger: slog.New(slog.DiscardHandler),
			Servers: map[string]dbpool.ServerOptions{"left": {Replicas: []string{"left copy"}}, "now": {Replicas: []string{"now copy"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		running, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(running) }()
		time.Sleep(time.Second)
		old := tenantOn("left", "acme")
		moved := old.Clone()
		moved.Version++
		moved.Placement.Server = "now"
		if _, err := p.For(t.Context(), moved); err != nil {
			t.Fatal(err)
		}
		db, err := p.Reader(tenancy.NewContext(t.Context(), old))
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Ping(); err != nil {
			t.Fatal(err)
		}
		if leftCopy.Tenants() != 0 || nowCopy.Tenants() != 1 {
			t.Errorf("got %d uses of the old server's replica and %d of the new one's, want 0 and 1", leftCopy.Tenants(), nowCopy.Tenants())
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What a replica's engine answers after another has taken its place does not
// count for that.
func TestLateAnswerOfAReplica(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		main, after := dbpool.NewFakeReplicas(t, 5), dbpool.NewFakeReplicas(t, 5)
		before := &lateReplica{dbpool.NewFakeReplicas(t, 5), make(chan struct{}), make(chan struct{})}
		p, end := running(t, 5, map[string]driver.Engine{"main": main, "copy": before})
		<-before.asked
		time.Sleep(time.Second)
		ctx := tenancy.NewContext(t.Context(), tenantOn("main", "acme"))
		primary, err := p.DB(ctx)
		if err != nil {
			t.Fatal(err)
		}
		after.Hang(true) // nobody knows how far it is
		if err := p.SetServer("copy", after); err != nil {
			t.Fatal(err)
		}
		close(before.answer)
		synctest.Wait()
		if db, err := p.Reader(ctx); err != nil || db != primary {
			t.Errorf("got a replica that has told nothing, %v, want the primary", err)
		}
		end()
	})
}

// lateReplica answers when it is told to.
type lateReplica struct {
	*dbpool.FakeReplica
	asked, answer chan struct{}
}

// Position implements [driver.Replication].
func (r *lateReplica) Position(ctx context.Context, c sqldriver.Conn) (driver.Position, error) {
	select {
	case r.asked <- struct{}{}:
	case <-r.answer:
	}
	<-r.answer
	return r.FakeReplica.Position(ctx, c)
}
