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
