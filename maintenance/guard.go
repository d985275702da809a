package maintenance

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/ipnet"
	"github.com/artflow-studio/tenancy/internal/problem"
	"github.com/artflow-studio/tenancy/internal/request"
	"github.com/artflow-studio/tenancy/internal/witness"
)

// Guard serves requests unless their tenant or the service is under maintenance.
// It stands behind middleware.Tenant or middleware.Optional, and in front of
// whatever works on a tenant's data. A request without a tenant is the service's
// alone.
//
// While maintenance is read-only, GET, HEAD and OPTIONS pass in a context of
// [tenancy.WithReadOnly], unless they ask for another protocol such as WebSocket.
// Clients in Allow, Paths and those with a bypass pass as if there were none. Paths
// are those that the handler sees; one that is not its own cleaned form, or has an
// encoded slash in it, is no path that is allowed. A handler that writes in a read-only
// context gets its driver's error. Requests in flight when
// maintenance begins are left alone: see [Scope.Drain].
//
// Requests for [GateOptions.Paths] always pass, and are not in flight for a drain.
//
// The response writer is passed on as it is. A request in flight is one whose handler
// has not returned; what a handler leaves behind is its own to end.
func (g *Gate) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.always.has(r.URL.Path, r.URL.RawPath) {
			next.ServeHTTP(w, r)
			return
		}
		t, ok := tenancy.FromContext(r.Context())
		if !ok {
			t = nobody
		}
		f := g.flights.enter(t) // before a look at what holds, or a drain may miss it
		defer g.flights.leave(f)
		service := g.service.Load()
		if t.Access.Maintenance != nil || service == nil || service.Maintenance != nil || g.drained.Load() != nil {
			admitted, readOnly := g.admit(w, r, t, f)
			if !admitted {
				return
			}
			if readOnly {
				request.Serve(tenancy.WithReadOnly(r.Context()), next, w, r, nil)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// admit reports whether the request passes, and whether read-only. If it does not, it
// was answered.
func (g *Gate) admit(w http.ResponseWriter, r *http.Request, t *tenancy.Tenant, f *flight) (admitted, readOnly bool) {
	secret := g.secretOf(w, r, t, f) // before a look at what holds: a form may take its time
	service := g.service.Load()
	if service == nil {
		g.refuse(w, r, fmt.Errorf("%w: it is not known whether the service is under maintenance", tenancy.ErrUnavailable))
		return false, false
	}
	if g.tooOld(t) {
		f.tenant.Store(nil) // nobody waits for the answer
		g.refuse(w, r, tenancy.Wrap("maintenance.Gate.Guard", t.ID,
			fmt.Errorf("%w: the tenant's record, version %d, is from before a drain; a cache on this instance is behind", tenancy.ErrUnavailable, t.Version)))
		return false, false
	}
	plans := [2]*plan{service, g.planOf(r.Context(), t)}
	if service.Maintenance == nil {
		plans[0] = nil
	}
	if secret != "" && g.grant(w, r, plans[:], secret) {
		return false, false
	}
	var (
		now     = time.Now().Round(0)
		by      passes
		refused *tenancy.MaintenanceError
	)
	for i, p := range plans {
		if p == nil {
			continue
		}
		s := p.at(now)
		if !s.open {
			continue
		}
		its := pass{plan: p}
		switch {
		case p.paths.has(r.URL.Path, r.URL.RawPath) || p.allows(g.client(r)):
		case g.bypasses(r, p, now):
			its.bypass = true
		case p.Mode == tenancy.MaintenanceReadOnly && safe(r):
			readOnly = true
		default:
			refused = later(refused, g.refusal(p, s, now))
		}
		if i == 0 {
			by.service = its
		} else {
			by.tenant = its
		}
	}
	if by != (passes{}) {
		f.passed.Store(&by)
	}
	if refused != nil {
		f.tenant.Store(nil) // likewise
		g.refuse(w, r, tenancy.Wrap("maintenance.Gate.Guard", t.ID, refused))
		return false, false
	}
	return true, readOnly
}

// client returns the client's address, IPv4 as such.
func (g *Gate) client(r *http.Request) netip.Addr { return ipnet.Plain(g.opts.Client(r)) }

// refusal says why a plan refuses a request, and until when.
func (g *Gate) refusal(p *plan, s *span, now time.Time) *tenancy.MaintenanceError {
	e := &tenancy.MaintenanceError{Mode: p.Mode, Message: p.Message, Contact: p.Contact, After: g.opts.RetryAfter}
	if !s.end.IsZero() {
		e.After = s.end.Sub(now)
	}
	return e
}

// later returns one refusal for two: the first, until both have ended.
func later(a, b *tenancy.MaintenanceError) *tenancy.MaintenanceError {
	if a == nil {
		return b
	}
	a.After = max(a.After, b.After)
	return a
}

// safe reports whether a request asks to read, and for nothing that goes on in
// another protocol. Source: RFC 9110, sections 9.2.1 and 7.8.
func safe(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
	default:
		return false
	}
	for _, line := range r.Header["Upgrade"] {
		for protocol := range strings.SplitSeq(line, ",") {
			if p := strings.TrimSpace(protocol); p != "" && !strings.EqualFold(p, "h2c") {
				return false
			}
		}
	}
	return true
}

// refuse logs why a request goes no further, and answers it.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, err error) {
	problem.Log(g.opts.Logger, slog.LevelDebug, r, err, g.opts.BypassPath)
	witness.Refused(w, err)
	g.opts.Refuse(w, r, err)
}
