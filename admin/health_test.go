package admin_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A check that does not return, and one that panics, are of parts that are not healthy; the other parts are looked at all the same, and so is what else
// is done beside requests.
func TestChecksThatHang(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var calls atomic.Int64
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), func(o *admin.Options) {
		o.Checks = map[string]func(context.Context) error{
			"hangs":  func(context.Context) error { calls.Add(1); <-release; return nil }, // whatever its context says
			"panics": func(context.Context) error { panic("boom") },
			"well":   func(context.Context) error { return nil },
		}
	})
	cl := c.as(t, auth.RoleViewer, tenancy.AllTenants())
	healthy := func() map[string]bool {
		t.Helper()
		var h struct {
			Parts []struct {
				Name    string
				Healthy bool
			}
		}
		cl.do(t, "GET", "health", "").into(t, &h)
		out := map[string]bool{}
		for _, p := range h.Parts {
			out[p.Name] = p.Healthy
		}
		return out
	}
	for range 2 {
		c.RunOnce(t.Context())
		if got := healthy(); got["hangs"] || got["panics"] || !got["well"] || !got["console"] || len(got) != 4 {
			t.Errorf("got %v, want the two that answer healthy", got)
		}
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("the check that has not returned was called %d times, want once", n)
	}
	close(release)
	until(t, "the part is healthy", func() bool {
		c.RunOnce(t.Context())
		return healthy()["hangs"]
	})
}
