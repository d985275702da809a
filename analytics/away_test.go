package analytics_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// moody is a store that fails as it is told.
type moody struct {
	*analytics.Memory
	fail    func() (before, after bool)
	largest int // number of one tenant's rows in a batch
}

var errMoody = fmt.Errorf("%w: moody", tenancy.ErrUnavailable)

func (m *moody) Write(ctx context.Context, b *analytics.Batch) (time.Time, error) {
	rows := map[tenancy.ID]int{}
	for _, p := range b.Parts {
		rows[p.Tenant]++
		m.largest = max(m.largest, rows[p.Tenant])
	}
	before, after := m.fail()
	if before {
		return time.Time{}, errMoody
	}
	now, err := m.Memory.Write(ctx, b)
	if after {
		return time.Time{}, errors.Join(errMoody, analytics.ErrInDoubt)
	}
	return now, err
}

// recordFor lets the tenant do jobs every ten seconds for so long, and returns how many.
func recordFor(t *testing.T, rec *analytics.Recorder, tenant *tenancy.Tenant, d time.Duration) (n int64) {
	t.Helper()
	ctx := tenancy.NewContext(t.Context(), tenant)
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Second) {
		for range 1 + rand.IntN(3) { // a test
			_ = rec.Do(ctx, func(context.Context) error { return nil })
			n++
		}
	}
	return n
}

func jobs(t *testing.T, store analytics.Source) (n int64) {
	t.Helper()
	rows, err := store.Sum(t.Context(), &analytics.SumQuery{Scope: tenancy.AllTenants(), Period: analytics.Period{From: time.Now().Add(-40 * time.Hour), To: time.Now().Add(40 * time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		n += row.Counts.Get(analytics.Jobs)
	}
	return n
}

// However long the store is away, and whenever its answers are lost, sums stay, and memory
// is bounded.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	for name, mood := range map[string]func(i int) (before, after bool){
		"for four hours":         func(i int) (bool, bool) { return i > 10 && i < 4*360, false },
		"for four hours, COMMIT": func(i int) (bool, bool) { return i > 11 && i < 4*360, i == 11 },
		"now and then":           func(i int) (bool, bool) { return i%7 < 3, i%7 == 3 || i%7 == 4 },
		"its answers":            func(i int) (bool, bool) { return false, i < 2*360 },
		"each hour, COMMIT":      func(i int) (bool, bool) { return i%370 > 0 && i < 3*360, i%370 == 0 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				memory, err := analytics.NewMemory(nil)
				if err != nil {
					t.Fatal(err)
				}
				writes := 0
				store := &moody{Memory: memory, fail: func() (bool, bool) { writes++; return mood(writes) }}
				rec := newRecorder(t, store, nil)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() { defer close(ended); _ = rec.Run(ctx) }()
				want := recordFor(t, rec, tenancytest.NewTenant("acme"), 5*time.Hour)
				cancel()
				<-ended
				if got := jobs(t, store); got != want {
					t.Errorf("got %d, want %d", got, want)
				}
				// Minutes of which the store may have a row stay minutes.
				if most := map[string]int{"its answers": 130, "each hour, COMMIT": 200}[name]; store.largest > max(most, 75) {
					t.Errorf("got a batch of %d rows of one tenant, want minutes to become hours", store.largest)
				}
			})
		})
	}
}

// A clock that is wrong, or jumps, moves nothing into the past that was written, and loses
// nothing.
func TestClocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memory, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		store := &skewed{Memory: memory}
		rec := newRecorder(t, store, nil)
		acme := tenancytest.NewTenant("acme")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = rec.Run(ctx) }()
		var want int64
		for _, skew := range []time.Duration{0, 5 * time.Minute, -5 * time.Minute, 10 * time.Hour, -10 * time.Hour, time.Second, 0} {
			store.ahead.Store(int64(skew))
			want += recordFor(t, rec, acme, 7*time.Minute)
		}
		cancel()
		<-ended
		time.Sleep(11 * time.Hour) // no report looks ahead
		if got := jobs(t, store); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	})
}

// skewed is a store whose clock is ahead.
type skewed struct {
	*analytics.Memory
	ahead atomic.Int64
}

func (s *skewed) Write(ctx context.Context, b *analytics.Batch) (time.Time, error) {
	now, err := s.Memory.Write(ctx, b)
	return now.Add(time.Duration(s.ahead.Load())), err
}

// removing is a store that makes longer rows of parts and removes them after three hours, as a [analytics.SQL] that a keeper
// keeps: what comes of such a part then is added to what was counted of it before.
type removing struct {
	*analytics.Memory
	away bool
}

func (r *removing) Write(ctx context.Context, b *analytics.Batch) (time.Time, error) {
	if r.away {
		return time.Time{}, errMoody
	}
	for i := range b.Parts {
		if p := &b.Parts[i]; !p.Hour && time.Since(p.Start) > 3*time.Hour {
			p.Source++
		}
	}
	return r.Memory.Write(ctx, b)
}

// What was written of a minute before the store was away does not count again when the minute is written hours later.
func TestMinuteThatWasWrittenBefore(t *testing.T) {
	t.Parallel()
	for name, flushes := range map[string]bool{"the store is away": true, "the process is halted": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				memory, err := analytics.NewMemory(nil)
				if err != nil {
					t.Fatal(err)
				}
				store := &removing{Memory: memory}
				rec := newRecorder(t, store, &analytics.Options{Counts: []string{"mails"}})
				ctx := tenancy.NewContext(t.Context(), tenancytest.NewTenant("acme"))
				do := func(times int64) {
					t.Helper()
					for range times {
						_ = rec.Do(ctx, func(context.Context) error { return nil })
					}
					if err := rec.Count(ctx, "mails", times); err != nil {
						t.Fatal(err)
					}
				}
				flush := func() {
					t.Helper()
					if err := rec.Flush(t.Context()); (err != nil) != store.away {
						t.Fatalf("got %v", err)
					}
				}
				flush() // which tells the store's clock
				time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)))
				do(10)
				flush()
				do(7)
				store.away = flushes
				for range 190 {
					time.Sleep(time.Minute)
					if flushes {
						flush()
					}
				}
				store.away = false
				do(1)
				flush()
				flush()
				time.Sleep(time.Second) // a report does not have the minute that begins now
				if got := jobs(t, memory); got != 18 {
					t.Errorf("got %d jobs, want 18", got)
				}
				rows, err := memory.Sum(t.Context(), &analytics.SumQuery{Scope: tenancy.AllTenants(), Period: analytics.Period{From: time.Now().Add(-5 * time.Hour), To: time.Now()}, Latency: true})
				if err != nil || len(rows) != 1 || rows[0].Counts.Own["mails"] != 18 {
					t.Errorf("got %+v, %v, want 18 mails", rows, err)
				}
			})
		})
	}
}

// A late part of which the store has a row adds what was counted since, and leaves alone what was made of that row.
func TestLatePartOfARow(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		store := migratedIn(t, db)
		acme, globex := tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex")
		now, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme, globex}})
		if err != nil {
			t.Fatal(err)
		}
		start := now.Truncate(time.Minute).Add(-150 * time.Minute)
		first := usageOf(acme.ID, now.Truncate(time.Minute).Add(-10*time.Minute), 5, 1, time.Second)
		first.Counts.Own = map[string]int64{"mails": 2}
		other := usageOf(globex.ID, first.Start, 30, 0, time.Second)
		write(t, store, first, other)
		partition(t, db, "tenancy_usage_parts", start)
		if _, err := db.ExecContext(t.Context(), db.Rebind(`UPDATE tenancy_usage_parts SET bucket = ?`), start.UnixMicro()); err != nil { // as time goes by
			t.Fatal(err)
		}
		keeper, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t, acme, globex), nil)
		if err == nil {
			err = keeper.Keep(t.Context())
		}
		// The retention has removed a part of the minute.
		if err == nil {
			_, err = db.ExecContext(t.Context(), db.Rebind(`DELETE FROM tenancy_usage_parts WHERE tenant_key = (SELECT tenant_key FROM tenancy_usage_tenants WHERE id = ?)`), globex.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		last := usageOf(acme.ID, start, 12, 3, time.Second)
		last.Revision, last.Counts.Own = 2, map[string]int64{"mails": 9}
		for round := range 2 {
			write(t, store, first, last)
			if err := keeper.Keep(t.Context()); err != nil {
				t.Fatal(err)
			}
			rows, err := store.Sum(t.Context(), &analytics.SumQuery{Scope: tenancy.AllTenants(), Period: analytics.Period{From: start.Add(-time.Hour), To: now.Add(-11 * time.Minute)}, ByTenant: true, Latency: true})
			if err != nil || len(rows) != 2 {
				t.Fatalf("got %+v, %v", rows, err)
			}
			for _, row := range rows {
				want, mails := int64(12), int64(9)
				if row.Tenant == globex.ID {
					want, mails = 30, 0
				}
				if got := row.Counts.Get(analytics.Requests); got != want || row.Counts.Latency.Count() != want || row.Counts.Own["mails"] != mails {
					t.Errorf("round %d: %s: got %d requests, %d latencies and %d mails, want %d, %d and %d", round, row.Tenant, got, row.Counts.Latency.Count(), row.Counts.Own["mails"], want, want, mails)
				}
			}
		}
	})
}
