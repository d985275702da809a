//go:build unix

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/internal/bench"
)

// served returns a handler of a recorder, and a function that sends a request of a tenant.
func served(ctx context.Context) (send func(*tenancy.Tenant), rec *analytics.Recorder, err error) {
	store, err := analytics.NewMemory(nil)
	if err != nil {
		return nil, nil, err
	}
	if rec, err = analytics.NewRecorder(store, nil); err != nil {
		return nil, nil, err
	}
	h := rec.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	return func(t *tenancy.Tenant) {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(tenancy.NewContext(ctx, t), http.MethodGet, "/", nil))
	}, rec, nil
}

// contended measures two callers of one tenant beside two of a tenant each.
func contended(ctx context.Context) error {
	send, _, err := served(ctx)
	if err != nil {
		return err
	}
	const n = 50_000
	tenants := []*tenancy.Tenant{{ID: "t0", Slug: "t0"}, {ID: "t1", Slug: "t1"}}
	times := map[string][]float64{}
	err = bench.Interleave(hotRounds, []string{"each", "one"}, func(_ int, name string) error {
		began := time.Now()
		var working sync.WaitGroup
		for i := range 2 {
			t := tenants[0]
			if name == "each" {
				t = tenants[i]
			}
			working.Go(func() {
				for range n {
					send(t)
				}
			})
		}
		working.Wait()
		times[name] = append(times[name], float64(time.Since(began).Nanoseconds())/n)
		return nil
	})
	row("two callers of one tenant", fmt.Sprintf("%s ns: %s", bench.Spread(times["one"]), bench.Ratio(times["one"], times["each"])),
		fmt.Sprintf("a tenant each: %s ns; goal 1.5x", bench.Spread(times["each"])))
	return err
}

// weight measures the memory of tenants that were active since the last flush.
func weight(ctx context.Context) error {
	send, rec, err := served(ctx)
	if err != nil {
		return err
	}
	const n = 20_000
	tenants := make([]*tenancy.Tenant, n)
	for i := range tenants {
		tenants[i] = &tenancy.Tenant{ID: tenancy.ID(fmt.Sprintf("tenant-%06d", i)), Slug: "t"}
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what finalizers and pools held
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc) // it is small
	}
	empty := heap()
	for _, t := range tenants {
		send(t)
	}
	active := heap()
	row(fmt.Sprintf("memory of a tenant that was active, of %d", n), fmt.Sprintf("%d bytes", (active-empty)/n), "1 KB")
	runtime.KeepAlive(tenants)
	runtime.KeepAlive(rec)
	return nil
}
