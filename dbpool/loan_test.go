package dbpool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/lease"
)

// instance is a pool with a Run of its own, beside others on the same server.
type instance struct {
	*dbpool.Pool
	t    testing.TB
	stop context.CancelFunc
	done chan struct{}
}

func newInstance(t testing.TB, engine driver.Engine, lender dbpool.Lender, own, shared int) *instance {
	t.Helper()
	p, err := dbpool.New(map[string]driver.Engine{"main": engine}, &dbpool.Options{Budget: own, Shared: shared, Lender: lender, MaxConns: 3, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &instance{p, t, stop, make(chan struct{})}
	go func() {
		defer close(r.done)
		if err := p.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	return r
}

// end stops the instance in order.
func (r *instance) end() {
	r.stop()
	<-r.done
	if err := r.Close(); err != nil {
		r.t.Error(err)
	}
}

// work keeps some workers busy on random tenants, until the context ends.
func (r *instance) work(ctx context.Context, workers, tenants int) *sync.WaitGroup {
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 1)) // not a secret
			for ctx.Err() == nil {
				if err := r.use(ctx, rnd.IntN(tenants), time.Duration(rnd.IntN(30))*time.Millisecond); err != nil && ctx.Err() == nil {
					r.t.Error(err)
				}
			}
		})
	}
	return &wg
}

// use has a connection of a tenant for a time.
func (r *instance) use(ctx context.Context, tenant int, hold time.Duration) error {
	name := fmt.Sprintf("t%d", tenant)
	db, err := r.For(ctx, &tenancy.Tenant{ID: tenancy.ID(name), Placement: tenancy.Placement{Server: "main", Database: name}})
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	time.Sleep(hold)
	return nil
}

// What an idle instance does not use a busy one has, and it comes back when the
// other wants it. The engine fails the test when both have too many.
func TestInstancesShareConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const own, shared = 4, 12
		engine, open := dbpool.NewFakeServer(t, 2*own+shared, 2*time.Millisecond)
		lender := lease.NewMemory(2 * time.Second)
		a, b := newInstance(t, engine, lender.Instance(), own, shared), newInstance(t, engine, lender.Instance(), own, shared)

		ctx, cancel := context.WithCancel(t.Context())
		busy := a.work(ctx, 40, 40)
		time.Sleep(5 * time.Second)
		if n := a.Stat("main"); n.Conns != own+shared || n.Borrowed != shared {
			t.Errorf("alone: got %+v, want all %d", n, own+shared)
		}
		other, stop := context.WithCancel(t.Context())
		more := b.work(other, 40, 40)
		time.Sleep(5 * time.Second)
		if x, y := a.Stat("main").Borrowed, b.Stat("main").Borrowed; x != shared/2 || y != shared/2 {
			t.Errorf("both: got %d and %d lent, want half of %d for each", x, y, shared)
		}
		stop()
		more.Wait()
		time.Sleep(5 * time.Second)
		if x := a.Stat("main").Borrowed; x != shared {
			t.Errorf("alone again: got %d lent, want %d", x, shared)
		}
		cancel()
		busy.Wait()
		a.end()
		b.end()
		if n := open(); n != 0 {
			t.Errorf("afterwards: got %d connections, want none", n)
		}
	})
}

// Instances that come, stop in order, or crash, never have more together than
// the server allows, not even when the lender loses its memory.
func TestInstancesKeepTheBudget(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const instances, own, shared = 4, 2, 9
				rnd := rand.New(rand.NewPCG(seed, 5)) // not a secret
				engine, open := dbpool.NewFakeServer(t, instances*own+shared, 3*time.Millisecond)
				lender := lease.NewMemory(time.Second)
				var most atomic.Int64
				for range 4 {
					ctx, cancel := context.WithCancel(t.Context())
					var running []*instance
					var work []*sync.WaitGroup
					for range instances {
						r := newInstance(t, engine, &flaky{Lender: lender.Instance(), rnd: rand.New(rand.NewPCG(seed, rnd.Uint64()))}, own, shared) // not a secret
						work = append(work, r.work(ctx, 1+rnd.IntN(20), 1+rnd.IntN(30)))
						running = append(running, r)
					}
					for range 20 {
						time.Sleep(time.Duration(rnd.IntN(200)) * time.Millisecond)
						most.Store(max(most.Load(), open()))
						if rnd.IntN(10) == 0 {
							lender.Lose()
						}
					}
					cancel()
					for _, r := range running {
						if rnd.IntN(2) == 0 {
							r.end()
						} else if err := r.Close(); err != nil { // without giving back
							t.Error(err)
						} else {
							r.stop()
							<-r.done
						}
					}
					for _, wg := range work {
						wg.Wait()
					}
					time.Sleep(50 * time.Millisecond)
				}
				if n := most.Load(); n <= instances*own {
					t.Errorf("got %d connections at most, want some lent", n)
				}
				if n := open(); n != 0 {
					t.Errorf("afterwards: got %d connections, want none", n)
				}
			})
		})
	}
}

// flaky is a lender that fails at times, before or after the ask was carried out.
type flaky struct {
	dbpool.Lender
	rnd *rand.Rand
}

func (f *flaky) Borrow(ctx context.Context, ask dbpool.BorrowRequest) (dbpool.Loan, error) {
	if f.rnd.IntN(8) == 0 {
		return dbpool.Loan{}, errors.New("no answer")
	}
	time.Sleep(time.Duration(f.rnd.IntN(20)) * time.Millisecond)
	l, err := f.Lender.Borrow(ctx, ask)
	if f.rnd.IntN(8) == 0 {
		return dbpool.Loan{}, errors.New("no answer")
	}
	return l, err
}

// Without its lender an instance comes down to its own before the loan ends.
func TestLenderIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine, open := dbpool.NewFakeServer(t, 10, time.Millisecond)
		down := &breakable{Lender: lease.NewMemory(10 * time.Second).Instance()}
		r := newInstance(t, engine, down, 3, 7)
		ctx, cancel := context.WithCancel(t.Context())
		busy := r.work(ctx, 30, 4) // who are always handed what comes back
		time.Sleep(5 * time.Second)
		if n := r.Stat("main"); n.Conns < 9 {
			t.Errorf("got %+v, want 10 connections or nearly", n)
		}
		down.broken.Store(true)
		time.Sleep(5 * time.Second)
		if n := r.Stat("main").Borrowed; n == 0 {
			t.Error("the loan had not ended: got none lent")
		}
		time.Sleep(5 * time.Second)
		if n, s := open(), r.Stat("main"); n > 3 || s.Borrowed != 0 {
			t.Errorf("got %d connections, %+v, want its own 3 when the loan ends", n, s)
		}
		down.broken.Store(false)
		time.Sleep(2 * time.Second)
		if n := r.Stat("main"); n.Conns < 9 {
			t.Errorf("got %+v, want 10 connections or nearly again", n)
		}
		cancel()
		busy.Wait()
		r.end()
	})
}

type breakable struct {
	dbpool.Lender
	broken atomic.Bool
}

func (b *breakable) Borrow(ctx context.Context, ask dbpool.BorrowRequest) (dbpool.Loan, error) {
	if b.broken.Load() {
		<-ctx.Done()
		return dbpool.Loan{}, ctx.Err()
	}
	return b.Lender.Borrow(ctx, ask)
}

// A lender that hangs does not keep the pool from coming down in time, however
// many servers it has.
func TestLenderHangsForManyServers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const servers, own, shared, ttl = 5, 1, 5, 10 * time.Second
		down := &breakable{Lender: lease.NewMemory(ttl).Instance()}
		engines := map[string]driver.Engine{}
		open := map[string]func() int64{}
		for i := range servers {
			name := fmt.Sprintf("s%d", i)
			engines[name], open[name] = dbpool.NewFakeServer(t, own+shared, time.Millisecond)
		}
		p, err := dbpool.New(engines, &dbpool.Options{Budget: own, Shared: shared, Lender: down, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		working, rest := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for name := range engines {
			for i := range 12 {
				db, err := p.For(t.Context(), tenantOn(name, fmt.Sprintf("%s-%d", name, i)))
				if err != nil {
					t.Fatal(err)
				}
				wg.Go(func() {
					for working.Err() == nil {
						if c, err := db.Conn(working); err == nil {
							time.Sleep(10 * time.Millisecond)
							_ = c.Close()
						}
					}
				})
			}
		}
		time.Sleep(5 * time.Second)
		for name, n := range open {
			if n() != own+shared {
				t.Errorf("%s: got %d connections, want %d", name, n(), own+shared)
			}
		}
		down.broken.Store(true)
		rest()
		wg.Wait()
		time.Sleep(ttl)
		for name, n := range open {
			if n() > own {
				t.Errorf("%s: got %d connections when the loan has ended, want its own %d", name, n(), own)
			}
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
