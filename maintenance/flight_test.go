package maintenance

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/artflow-studio/tenancy"
)

// However many requests are in flight, and whatever the garbage collector takes, each
// is counted; and what the pool let go is not kept.
func TestFlights(t *testing.T) {
	t.Parallel()
	var f flights
	acme, globex := &tenancy.Tenant{ID: "acme"}, &tenancy.Tenant{ID: "globex"}
	var held []*flight
	for range 100 {
		held = append(held, f.enter(acme), f.enter(globex))
		f.leave(f.enter(acme))
	}
	for range 3 {
		runtime.GC()
	}
	if a, g, all := f.count("acme", nil), f.count("globex", nil), f.count("", nil); a != 100 || g != 100 || all != 200 {
		t.Errorf("got %d, %d and %d, want 100, 100 and 200", a, g, all)
	}
	for _, each := range held {
		f.leave(each)
	}
	if n := f.count("", nil); n != 0 {
		t.Errorf("got %d, want none", n)
	}
	clear(held)
	for i := range 2000 {
		f.pool = sync.Pool{} // as the garbage collector does
		f.leave(f.enter(acme))
		if i%50 == 0 {
			runtime.GC()
		}
	}
	if len(f.all) > 1000 {
		t.Errorf("got %d places kept, for one request at a time", len(f.all))
	}
}

// BenchmarkFlights is what counting costs a request, beside a counter that all
// processors share.
func BenchmarkFlights(b *testing.B) {
	acme := &tenancy.Tenant{ID: "acme"}
	b.Run("own", func(b *testing.B) {
		var f flights
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				f.leave(f.enter(acme))
			}
		})
	})
	b.Run("shared", func(b *testing.B) {
		var n atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				n.Add(1)
				n.Add(-1)
			}
		})
	})
	b.Run("locked", func(b *testing.B) {
		var mu sync.Mutex
		n := map[tenancy.ID]int{}
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				mu.Lock()
				n[acme.ID]++
				mu.Unlock()
				mu.Lock()
				n[acme.ID]--
				mu.Unlock()
			}
		})
	})
}
