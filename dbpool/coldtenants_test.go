package dbpool

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// BenchmarkColdTenants reports what a tenant costs that was used once and has
// no connection any more: its record here, its *sqlx.DB, and the goroutine that
// database/sql keeps for it.
func BenchmarkColdTenants(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				server := &fakeServer{t: b, budget: 50}
				before := inUse()
				p, err := New(map[string]driver.Engine{"main": server}, nil)
				if err != nil {
					b.Fatal(err)
				}
				for i := range n {
					name := fmt.Sprintf("t%d", i)
					db, err := p.For(b.Context(), &tenancy.Tenant{
						ID: tenancy.ID(name), Placement: tenancy.Placement{Server: "main", Database: name},
					})
					if err == nil {
						err = db.Ping()
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(inUse()-before)/float64(n), "B/tenant")
				if st := p.Stat("main"); st.Dials != int64(n) || st.Conns > 50 {
					b.Errorf("got %+v, want a dial for each tenant and 50 connections at most", st)
				}
				if err := p.Close(); err != nil {
					b.Error(err)
				}
			}
		})
	}
}

// inUse is the memory of heap and stacks.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse) // far below 2^63
}
