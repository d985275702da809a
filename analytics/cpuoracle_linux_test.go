package analytics_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// burn uses processor time on a thread of its own, and returns how much the thread used.
func burn(t *testing.T, d time.Duration) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	clock := func() time.Duration {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
			t.Error(err)
		}
		return time.Duration(ts.Nano())
	}
	began := clock()
	for x := 1.0; ; {
		for range 1000 {
			x = math.Sqrt(x + 1)
		}
		if used := clock() - began; used >= d {
			return used
		}
	}
}

// The estimate of each tenant's processor time against that of the threads. Handlers use
// fixed amounts of it, however long that takes. Where processors are too few, all wait
// alike, and the process's own time bounds the estimates.
func TestCPUOracle(t *testing.T) {
	store, err := analytics.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	rec := newRecorder(t, store, nil)
	const tenants = 12
	var oracle [tenants + 1]atomic.Int64 // nanoseconds; the last only waits
	var all atomic.Int64
	h := rec.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tenant, _ := tenancy.FromContext(r.Context())
		i := tenant.Limits["i"]
		if i < tenants {
			used := int64(burn(t, 24*time.Millisecond/time.Duration(1+i))) // by Zipf
			oracle[i].Add(used)
			all.Add(used)
		}
		done := analytics.Waiting(r.Context())
		time.Sleep(time.Duration(10+i%2*10) * time.Millisecond)
		done()
		w.WriteHeader(http.StatusNoContent)
	}))
	var working sync.WaitGroup
	who := make([]*tenancy.Tenant, tenants+1)
	for i := range who {
		who[i] = tenancytest.NewTenant(fmt.Sprintf("t%d", i))
		who[i].Limits = map[string]int64{"i": int64(i)}
		working.Go(func() {
			ctx := tenancy.NewContext(context.Background(), who[i])
			for time.Duration(all.Load()) < 4*time.Second {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/", nil))
			}
		})
	}
	ctx, end := context.WithCancel(t.Context())
	recorded := make(chan struct{})
	go func() {
		defer close(recorded)
		_ = rec.Run(ctx)
	}()
	working.Wait()
	end()
	<-recorded
	query := &analytics.SumQuery{Scope: tenancy.AllTenants(), ByTenant: true, Period: analytics.Period{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)}}
	for _, tenant := range who {
		query.Tenants = append(query.Tenants, tenant.ID)
	}
	rows, err := store.Sum(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	got := map[tenancy.ID]time.Duration{}
	var sum, want time.Duration
	for i := range rows {
		got[rows[i].Tenant] = time.Duration(rows[i].Counts.Get(analytics.CPUTime)) * time.Microsecond
		sum += got[rows[i].Tenant]
	}
	var errs []float64
	for i := range tenants {
		truth := time.Duration(oracle[i].Load())
		want += truth
		errs = append(errs, math.Abs(float64(got[who[i].ID]-truth))/float64(truth))
	}
	slices.Sort(errs)
	p50, p95, total := errs[len(errs)/2], errs[len(errs)-1], math.Abs(float64(sum-want))/float64(want)
	t.Logf("errors: p50 %.0f %%, largest %.0f %%, sum %.0f %%; who only waits got %v of %v", 100*p50, 100*p95, 100*total, got[who[tenants].ID], sum)
	if p50 > 0.4 || total > 0.4 {
		t.Errorf("got errors of %v, and %.2f of the sum, want half of them below 0.4, and the sum's", errs, total)
	}
	if waits := got[who[tenants].ID]; waits > sum/10 {
		t.Errorf("who only waits got %v of %v, want next to nothing", waits, sum)
	}
}
