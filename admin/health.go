package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/admin/internal/checks"
)

func (a *Admin) healthRoutes() []route {
	return []route{
		{method: "GET", pattern: "health", permission: auth.HealthRead, reach: allOf, handle: a.showHealth},
		{method: "GET", pattern: "healthz", audience: everybody, handle: func(c *call) error { return c.noContent() }},
		{method: "GET", pattern: "readyz", audience: everybody, handle: a.ready},
	}
}

func isUnavailable(err error) bool { return errors.Is(err, tenancy.ErrUnavailable) }

// health is what the checks of the parts found last.
type health struct {
	mu      sync.Mutex // guards what follows
	parts   map[string]partHealth
	asking  map[string]bool // whose check has not returned
	pending int64           // entries of the audit that are not sealed
	oldest  time.Time       // of them
	stuck   []attention     // about tenants
}

// lookAtAudit notes whether the audit is sealed.
func (a *Admin) lookAtAudit(ctx context.Context) {
	if a.opts.Audit == nil {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, checks.Wait)
	defer cancel()
	n, oldest, err := a.opts.Audit.Pending(bounded)
	if err != nil { // the database is checked as a part
		return
	}
	a.health.mu.Lock()
	defer a.health.mu.Unlock()
	a.health.pending, a.health.oldest = n, oldest
}

// sealing returns how many entries are not sealed, and when the oldest was written.
func (h *health) sealing() (pending int64, oldest time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pending, h.oldest
}

// stuckAfter is how long a tenant may be provisioning or purging without a change of its record. It is the doctor's default
// (lifecycle.DoctorOptions.Age). maxStuck is how many are counted.
const (
	stuckAfter = 10 * time.Minute
	maxStuck   = 1000
)

// lookAtStuck notes whether there are tenants whose creation or purge does not come to its end.
func (a *Admin) lookAtStuck(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, checks.Wait)
	defer cancel()
	found := []attention{}
	for _, kind := range []struct {
		status     tenancy.Status
		name, what string
	}{
		{tenancy.StatusProvisioning, "half-made", "resume its creation, or purge it"},
		{tenancy.StatusPurging, "half-purged", "purge it again"},
	} {
		all, err := a.catalog.List(bounded, tenancy.Filter{Status: []tenancy.Status{kind.status}, Limit: maxStuck})
		if err != nil { // the database is checked as a part
			return
		}
		n, oldest := 0, time.Now().Add(-stuckAfter)
		for _, t := range all {
			if time.Since(t.UpdatedAt) <= stuckAfter {
				continue
			}
			n++
			if t.UpdatedAt.Before(oldest) {
				oldest = t.UpdatedAt
			}
		}
		if n > 0 {
			what := "1 tenant has"
			if n > 1 {
				what = fmt.Sprintf("%d tenants have", n)
			}
			found = append(found, attention{kind.name, fmt.Sprintf("%s been %s for more than %.0f minutes: %s.", what, kind.status, stuckAfter.Minutes(), kind.what), oldest})
		}
	}
	a.health.mu.Lock()
	defer a.health.mu.Unlock()
	a.health.stuck = found
}

// stuckTenants returns what was found about tenants.
func (h *health) stuckTenants() []attention {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stuck
}

// partHealth is the health of one part.
type partHealth struct {
	Name    string    `json:"name"`
	Healthy bool      `json:"healthy"`
	Since   time.Time `json:"since"`
	Checked time.Time `json:"checked_at"`
}

// checkHealth asks every part at once, each with a timeout of its own, and keeps what they say.
func (a *Admin) checkHealth(ctx context.Context) {
	parts := map[string]func(context.Context) error{"console": a.Check}
	maps.Copy(parts, a.opts.Checks)
	var all sync.WaitGroup
	for name, check := range parts {
		all.Go(func() {
			err := a.health.ask(ctx, name, check)
			if ctx.Err() != nil {
				return
			}
			if a.health.set(name, err == nil, time.Now().UTC()) && err != nil {
				a.opts.Logger.WarnContext(ctx, "admin: a part is not healthy", "part", name, "error", err)
			}
		})
	}
	all.Wait()
}

// ask calls the check of a part. One that panics, or does not return although its time is over, is an error; it is not called again while it
// runs, and holds nothing else up.
func (h *health) ask(ctx context.Context, name string, check func(context.Context) error) error {
	if !h.begin(name) {
		return checks.ErrSilent
	}
	return checks.Ask(ctx, check, func() { h.end(name) })
}

// begin notes that a check is called, and reports whether it may be.
func (h *health) begin(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.asking[name] {
		return false
	}
	if h.asking == nil {
		h.asking = map[string]bool{}
	}
	h.asking[name] = true
	return true
}

func (h *health) end(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.asking, name)
}

// set keeps what a check found, and reports whether that is new.
func (h *health) set(name string, healthy bool, at time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.parts == nil {
		h.parts = map[string]partHealth{}
	}
	p, known := h.parts[name]
	changed := !known || p.Healthy != healthy
	if changed {
		p = partHealth{Name: name, Healthy: healthy, Since: at}
	}
	p.Checked = at
	h.parts[name] = p
	return changed
}

func (h *health) list() []partHealth {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := []partHealth{}
	for _, name := range slices.Sorted(maps.Keys(h.parts)) {
		out = append(out, h.parts[name])
	}
	return out
}

// attention returns what the console itself has to say.
func (a *Admin) attention(ctx context.Context) ([]attention, error) {
	out := []attention{}
	for _, p := range a.health.list() {
		if !p.Healthy {
			out = append(out, attention{"part-unhealthy", p.Name + " does not answer.", p.Since})
		}
	}
	if n, oldest := a.health.sealing(); n > 0 && time.Since(oldest) > checks.SealerLate {
		out = append(out, attention{"sealer-behind", "Entries of the audit are not sealed: no instance runs its sealer.", oldest})
	}
	out = append(out, a.health.stuckTenants()...)
	if !a.auth.Own() {
		return out, nil
	}
	rescued, err := a.auth.Rescues(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range rescued {
		name := r.OperatorID
		if o, err := a.auth.Operator(ctx, r.OperatorID); err == nil {
			name = o.Name
		}
		if r.UsedAt.IsZero() {
			out = append(out, attention{"rescue-made", "A link to let " + name + " in was made on the service's machine.", r.MadeAt})
		} else {
			out = append(out, attention{"rescue-used", name + " got in by a link that was made on the service's machine. The second factor is a new one.", r.UsedAt})
		}
	}
	return out, nil
}

func (a *Admin) showHealth(c *call) error {
	parts := a.health.list()
	healthy := true
	for _, p := range parts {
		healthy = healthy && p.Healthy
	}
	warnings := []string{}
	if a.auth.KeyInDatabase() {
		warnings = append(warnings, "The key of the second factors' secrets lies beside them in the database: set Options.Auth.Key.")
	}
	if n, oldest := a.health.sealing(); n > 0 && time.Since(oldest) > checks.SealerLate {
		warnings = append(warnings, "Entries of the audit are not sealed: run audit.Trail.Run in an instance.")
	}
	return c.reply(http.StatusOK, map[string]any{"healthy": healthy, "parts": parts, "warnings": warnings})
}

// ready says whether the console can serve operators. It gives no details.
func (a *Admin) ready(c *call) error {
	ctx, cancel := context.WithTimeout(c.ctx(), checks.Wait)
	defer cancel()
	if err := a.Check(ctx); err != nil {
		return err
	}
	return c.noContent()
}
