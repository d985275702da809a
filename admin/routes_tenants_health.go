package admin

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/admin/internal/checks"
	"github.com/artflow-studio/tenancy/analytics"
)

func (a *Admin) tenantHealthRoutes() []route {
	return []route{
		{method: "GET", pattern: "analytics/health", permission: auth.HealthRead, reach: within, query: "filter sort limit cursor unhealthy", part: partReports, handle: a.tenantsHealth},
	}
}

// maxKnown is how many tenants of the pool are looked at.
const maxKnown = 1 << 20

// reached is what the pool of this instance found out about tenants and servers, without dialling for it.
type reached struct {
	mu      sync.Mutex // guards what follows
	tenants map[tenancy.ID]time.Time
	servers map[string]time.Time
	unknown map[string]time.Time // servers of tenants' records that the pool does not have
	asked   time.Time            // when the records were read for that
}

// lookAtServers notes which servers of tenants' records the pool does not have. It counts all records, so it runs at most once a minute.
func (a *Admin) lookAtServers(ctx context.Context, now time.Time) {
	a.reached.mu.Lock()
	early := now.Sub(a.reached.asked) < time.Minute
	if !early {
		a.reached.asked = now
	}
	a.reached.mu.Unlock()
	if a.opts.Pool == nil || early {
		return
	}
	facets, err := a.catalog.Facets(ctx, tenancy.Filter{})
	if err != nil {
		return // the check of the catalog says so
	}
	unknown := map[string]time.Time{}
	for name := range facets.Server {
		if !slices.Contains(a.opts.Pool.Servers(), name) {
			unknown[name] = now
		}
	}
	a.reached.mu.Lock()
	defer a.reached.mu.Unlock()
	keepSince(unknown, a.reached.unknown)
	a.reached.unknown = unknown
}

// serverUnknown returns since when the pool is known not to have the tenant's server.
func (a *Admin) serverUnknown(server string, now time.Time) (since time.Time) {
	if a.opts.Pool == nil || server == "" || slices.Contains(a.opts.Pool.Servers(), server) {
		return time.Time{}
	}
	a.reached.mu.Lock()
	defer a.reached.mu.Unlock()
	if since, ok := a.reached.unknown[server]; ok {
		return since
	}
	return now
}

// lookAtPool notes whose databases, and which servers, are taken to be down, and since when.
func (a *Admin) lookAtPool(now time.Time) {
	if a.opts.Pool == nil {
		return
	}
	tenants, servers := map[tenancy.ID]time.Time{}, map[string]time.Time{}
	for _, t := range a.opts.Pool.Tenants(maxKnown) {
		if t.Down {
			tenants[t.Tenant] = now
		}
	}
	for _, name := range a.opts.Pool.Servers() {
		if breaker := a.opts.Pool.Stat(name).Breaker; breaker != "" && breaker != "closed" {
			servers[name] = now
		}
	}
	a.reached.mu.Lock()
	defer a.reached.mu.Unlock()
	keepSince(tenants, a.reached.tenants)
	keepSince(servers, a.reached.servers)
	a.reached.tenants, a.reached.servers = tenants, servers
}

// keepSince takes the times of what was so before.
func keepSince[K comparable](now, before map[K]time.Time) {
	for k := range now {
		if since, ok := before[k]; ok {
			now[k] = since
		}
	}
}

// down returns since when the tenant's database, or its server, is taken to be down.
func (r *reached) down(id tenancy.ID, server string) (since time.Time, byServer, down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if since, down = r.servers[server]; down {
		return since, true, true
	}
	since, down = r.tenants[id]
	return since, false, down
}

// tenantHealth is the health of a tenant, and why.
type tenantHealth struct {
	ID     tenancy.ID     `json:"id"`
	Slug   string         `json:"slug"`
	Name   string         `json:"name"`
	Status tenancy.Status `json:"status"`
	// Health is healthy, degraded, unreachable or unknown.
	Health   string            `json:"health"`
	Reasons  []attention       `json:"reasons"`
	LastSeen *analytics.Figure `json:"last_seen"`
	Requests *analytics.Figure `json:"requests"`
	Errors   *analytics.Figure `json:"errors"`
}

// tenantsHealth answers with the health of a page of tenants: from the figures of the last minutes, from their records, and from what
// the pool of this instance found out. Nothing is dialled for it.
func (a *Admin) tenantsHealth(c *call) error {
	q := c.r.URL.Query()
	f, err1 := c.filter(q.Get("filter"), "?filter", analytics.Fields()...)
	limit, err2 := c.limit()
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	now := time.Now().UTC()
	req := &analytics.TenantsRequest{Filter: f, Sort: q.Get("sort"), After: tenancy.Cursor(q.Get("cursor")), Limit: limit, Period: analytics.Period{From: now.Add(-checks.Span), To: now}}
	switch only := q.Get("unhealthy"); {
	case only == "yes" && req.Sort == "" && req.After == "":
		return a.unhealthy(c, req, now)
	case only != "":
		return fmt.Errorf("%w: unhealthy %.20q, want yes, without sort and cursor", tenancy.ErrInvalid, only)
	}
	page, err := a.opts.Reports.Tenants(c.ctx(), c.id.Scope, req)
	if err != nil {
		return err
	}
	closed, err := checks.Closed(c.ctx(), a.catalog, &c.id.Scope, page, now)
	if err != nil {
		return err
	}
	out := make([]tenantHealth, len(page.Tenants))
	for i := range page.Tenants {
		out[i] = a.healthOf(&page.Tenants[i], closed, now)
	}
	return c.reply(http.StatusOK, map[string]any{"tenants": out, "total": page.Total, "next": page.Next, "time": now})
}

// maxLookedAt is how many tenants of each kind are looked at for those that are unhealthy.
const maxLookedAt = 5000

// unhealthy answers with the active tenants that are degraded or unreachable, or of other statuses if the filter names them: the worst
// first. It looks at those with errors, and at those whose database or server is taken to be down, and at no others.
func (a *Admin) unhealthy(c *call, req *analytics.TenantsRequest, now time.Time) error {
	if len(req.Filter.Status) == 0 {
		req.Filter.Status = []tenancy.Status{tenancy.StatusActive}
	}
	limit, found := req.Limit, map[tenancy.ID]tenantHealth{}
	for _, f := range a.reached.suspects(req.Filter) {
		next := *req
		next.Filter, next.Sort, next.Limit = f, "-"+analytics.FigureErrors, 500
		for n := 0; n < maxLookedAt; n += next.Limit {
			page, err := a.opts.Reports.Tenants(c.ctx(), c.id.Scope, &next)
			if err != nil {
				return err
			}
			closed, err := checks.Closed(c.ctx(), a.catalog, &c.id.Scope, page, now)
			if err != nil {
				return err
			}
			for i := range page.Tenants {
				if h := a.healthOf(&page.Tenants[i], closed, now); h.Health == checks.Degraded || h.Health == checks.Unreachable {
					found[h.ID] = h
				}
			}
			if next.After = page.Next; page.Next == "" {
				break
			}
		}
	}
	out := slices.SortedFunc(maps.Values(found), func(x, y tenantHealth) int {
		return cmp.Or(strings.Compare(y.Health, x.Health), cmp.Compare(checks.Value(y.Errors), checks.Value(x.Errors)), cmp.Compare(x.ID, y.ID))
	})
	return c.reply(http.StatusOK, map[string]any{"tenants": append([]tenantHealth{}, out[:min(limit, len(out))]...), "total": len(out), "next": "", "time": now})
}

// suspects returns filters that select, of what f does, all tenants that may be unhealthy.
func (r *reached) suspects(f tenancy.Filter) []tenancy.Filter {
	r.mu.Lock()
	ids, servers := slices.Sorted(maps.Keys(r.tenants)), slices.Concat(slices.Sorted(maps.Keys(r.servers)), slices.Sorted(maps.Keys(r.unknown)))
	r.mu.Unlock()
	failing := f
	failing.Terms = append(slices.Clone(f.Terms), tenancy.Term{Field: analytics.FigureErrors, Kind: tenancy.FieldNumber, Op: tenancy.OpAtLeast, Values: []string{"1"}})
	out := []tenancy.Filter{failing}
	if f.IDs != nil {
		ids = slices.DeleteFunc(ids, func(id tenancy.ID) bool { return !slices.Contains(f.IDs, id) })
	}
	for some := range slices.Chunk(ids, 500) {
		down := f
		down.IDs = some
		out = append(out, down)
	}
	for _, server := range servers {
		if f.Server == "" || f.Server == server {
			down := f
			down.Server = server
			out = append(out, down)
		}
	}
	return out
}

// healthOf judges one tenant. What is worst comes first.
func (a *Admin) healthOf(t *analytics.TenantEntry, closed map[tenancy.ID]time.Time, now time.Time) tenantHealth {
	seen := checks.Seen{Closed: closed[t.ID], ServerUnknown: a.serverUnknown(t.Server, now)}
	if since, byServer, down := a.reached.down(t.ID, t.Server); down && byServer {
		seen.ServerDown = since
	} else if down {
		seen.DatabaseDown = since
	}
	health, reasons := checks.Tenant(t, seen, now)
	out := tenantHealth{
		ID: t.ID, Slug: t.Slug, Name: t.Name, Status: t.Status, Health: health, Reasons: []attention{},
		LastSeen: t.Usage[analytics.LastSeen.String()], Requests: t.Usage[analytics.Requests.String()], Errors: t.Usage[analytics.FigureErrors],
	}
	for _, r := range reasons {
		out.Reasons = append(out.Reasons, attention(r))
	}
	return out
}
