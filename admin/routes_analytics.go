package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
)

func (a *Admin) analyticsRoutes() []route {
	return []route{
		{method: "GET", pattern: "analytics/overview", permission: auth.AnalyticsRead, reach: within, part: partReports, handle: a.overview},
		{method: "GET", pattern: "analytics/tenants", permission: auth.AnalyticsRead, reach: within, query: "filter sort spark limit cursor window from to", part: partReports, handle: a.tenantsReport},
		{method: "GET", pattern: "analytics/memory", permission: auth.AnalyticsRead, reach: within, part: partReports, handle: a.memoryReport},
		{method: "GET", pattern: "analytics/performance", permission: auth.AnalyticsRead, reach: within, query: "window from to", part: partReports, handle: a.performanceReport},
		{method: "GET", pattern: "analytics/tenant/{id}", permission: auth.AnalyticsRead, reach: oneOf, query: "window from to", part: partReports, handle: a.tenantReport},
	}
}

// overviewAnswer is the overview. What needs attention comes first.
type overviewAnswer struct {
	Attention []attention `json:"attention"`
	*analytics.Overview
}

// attention is something that an operator should look at.
type attention struct {
	// Kind is for programs, such as "part-unhealthy".
	Kind string    `json:"kind"`
	Text string    `json:"text"`
	At   time.Time `json:"since"`
}

func (a *Admin) overview(c *call) error {
	o, err := a.overviewFor(c.ctx(), c.id)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, o)
}

// overviewFor returns what that operator may see of the overview.
func (a *Admin) overviewFor(ctx context.Context, id *auth.Identity) (*overviewAnswer, error) {
	o, err := a.opts.Reports.Overview(ctx, id.Scope)
	if err != nil {
		return nil, err
	}
	if o.RecentActivities == nil || !id.Permissions.Has(auth.ActivitiesRead) {
		o.RecentActivities = []analytics.Activity{}
	}
	out := &overviewAnswer{Attention: []attention{}, Overview: o}
	if id.Scope.IsAll() && id.Permissions.Has(auth.HealthRead) {
		if out.Attention, err = a.attention(ctx); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (a *Admin) tenantReport(c *call) error {
	p, err := c.period()
	if err != nil {
		return err
	}
	report, err := a.opts.Reports.Tenant(c.ctx(), c.id.Scope, c.tenant.ID, p)
	if err != nil {
		return err
	}
	if report.Activities == nil || !c.id.Permissions.Has(auth.ActivitiesRead) {
		report.Activities = []analytics.Activity{}
	}
	return c.reply(http.StatusOK, report)
}

// tenantsReport is a page of tenants with their usage, sorted and filtered by any figure.
func (a *Admin) tenantsReport(c *call) error {
	q := c.r.URL.Query()
	p, err1 := c.period()
	f, err2 := c.filter(q.Get("filter"), "?filter", analytics.Fields()...)
	limit, err3 := c.limit()
	sparks, err4 := c.list("spark")
	if err := cmp.Or(err1, err2, err3, err4); err != nil {
		return err
	}
	req := &analytics.TenantsRequest{Filter: f, Period: p, Sort: q.Get("sort"), After: tenancy.Cursor(q.Get("cursor")), Limit: limit}
	for _, name := range sparks {
		column, err := analytics.ParseColumn(name)
		if err != nil {
			return err
		}
		req.Spark = append(req.Spark, column)
	}
	page, err := a.opts.Reports.Tenants(c.ctx(), c.id.Scope, req)
	if err == nil {
		err = a.refresh(c.ctx(), c.id.Scope, page)
	}
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, page)
}

// refresh makes the tenants of a page what their records say now: the reports learn of changes within a minute. Those that have left the
// scope are left out.
func (a *Admin) refresh(ctx context.Context, scope tenancy.Scope, page *analytics.TenantsPage) error {
	f := tenancy.Filter{Limit: len(page.Tenants)}
	for i := range page.Tenants {
		f.IDs = append(f.IDs, page.Tenants[i].ID)
	}
	if len(f.IDs) == 0 {
		return nil
	}
	found, err := a.catalog.List(ctx, f)
	if err != nil {
		return err
	}
	records := make(map[tenancy.ID]*tenancy.Tenant, len(found))
	for _, t := range found {
		records[t.ID] = t
	}
	page.Tenants = slices.DeleteFunc(page.Tenants, func(e analytics.TenantEntry) bool {
		t := records[e.ID]
		return t != nil && !scope.Includes(t)
	})
	for i := range page.Tenants {
		e := &page.Tenants[i]
		if t := records[e.ID]; t != nil { // it is nil for one that is purged: its figures are still there
			e.Slug, e.Name, e.Status, e.Plan, e.Server, e.Tags = t.Slug, t.Name, t.Status, t.Plan, t.Placement.Server, t.Tags
		}
	}
	return nil
}

func (a *Admin) memoryReport(c *call) error {
	m, err := a.opts.Reports.Memory(c.ctx(), c.id.Scope)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, m)
}

func (a *Admin) performanceReport(c *call) error {
	p, err := c.period()
	if err != nil {
		return err
	}
	report, err := a.opts.Reports.Performance(c.ctx(), c.id.Scope, p)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, report)
}

// Bounds of a window.
const (
	minWindow = time.Hour
	maxWindow = 90 * 24 * time.Hour
)

// period reads the time that a report is about: a window such as 24h or 7d that ends now, or from and to.
func (c *call) period() (analytics.Period, error) {
	q := c.r.URL.Query()
	window, from, to := q.Get("window"), q.Get("from"), q.Get("to")
	if window != "" && (from != "" || to != "") {
		return analytics.Period{}, fmt.Errorf("%w: a window beside from and to", tenancy.ErrInvalid)
	}
	if window != "" {
		d, err := parseWindow(window)
		now := time.Now().UTC()
		return analytics.Period{From: now.Add(-d), To: now}, err
	}
	var p analytics.Period
	for _, end := range []struct {
		text  string
		field *time.Time
	}{{from, &p.From}, {to, &p.To}} {
		if end.text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, end.text)
		if err != nil {
			return p, fmt.Errorf("%w: time %.60q", tenancy.ErrInvalid, end.text)
		}
		*end.field = t.UTC()
	}
	return p, nil
}

func parseWindow(text string) (time.Duration, error) {
	unit := map[byte]time.Duration{'h': time.Hour, 'd': 24 * time.Hour}[text[len(text)-1]]
	n, err := strconv.Atoi(text[:len(text)-1])
	d := time.Duration(n) * unit
	if err != nil || strings.TrimLeft(text, "0123456789") != text[len(text)-1:] || n > 10_000 || d < minWindow || d > maxWindow {
		return 0, fmt.Errorf("%w: window %.20q, want 1h to 90d", tenancy.ErrInvalid, text)
	}
	return d, nil
}
