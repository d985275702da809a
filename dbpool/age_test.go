package dbpool

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// Run looks at idle connections of all servers.
func TestRunSweeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, opts := range map[string]Options{
			"idle time": {MaxIdleTime: time.Minute, MaxLifetime: -1},
			"lifetime":  {MaxLifetime: time.Minute, MaxIdleTime: -1},
			"defaults":  {},
			"off":       {MaxIdleTime: -1, MaxLifetime: -1},
		} {
			engine, open := NewFakeServer(t, 10, time.Millisecond)
			p, err := New(map[string]driver.Engine{"main": engine}, &opts)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { _ = p.Run(ctx) })
			db, err := p.For(t.Context(), &tenancy.Tenant{ID: "acme", Placement: tenancy.Placement{Server: "main", Database: "acme"}})
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Ping(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Hour)
			want := int64(0)
			if name == "off" {
				want = 1
			}
			if n := open(); n != want {
				t.Errorf("%s: got %d connections after two hours, want %d", name, n, want)
			}
			cancel()
			wg.Wait()
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
