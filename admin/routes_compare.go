package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
)

// compareRoutes are the rows that put figures beside others: of other tenants, of the period before, and of days to come.
func (a *Admin) compareRoutes() []route {
	return []route{
		{method: "GET", pattern: "analytics/compare", permission: auth.AnalyticsRead, reach: within, query: "tenants names window from to", part: partReports, handle: a.compare},
		{method: "GET", pattern: "analytics/neighbours", permission: auth.AnalyticsRead, reach: within, query: "at", part: partReports, handle: a.neighbours},
		{method: "GET", pattern: "analytics/top", permission: auth.AnalyticsRead, reach: within, query: "by window from to", part: partReports, handle: a.top},
		{method: "GET", pattern: "analytics/change", permission: auth.AnalyticsRead, reach: within, query: "names window from to", part: partReports, handle: a.change},
		{method: "GET", pattern: "analytics/change/{id}", permission: auth.AnalyticsRead, reach: oneOf, query: "names window from to", part: partReports, handle: a.change},
		{method: "GET", pattern: "analytics/forecast", permission: auth.AnalyticsRead, reach: within, query: "name days limit", part: partReports, handle: a.forecast},
		{method: "GET", pattern: "analytics/forecast/{id}", permission: auth.AnalyticsRead, reach: oneOf, query: "name days limit", part: partReports, handle: a.forecast},
	}
}

// names reads the figures that a report is about: requests, errors and the 95th percentile of the latency unless the request says.
func (c *call) names() ([]string, error) {
	names, err := c.list("names")
	if names == nil {
		names = []string{analytics.Requests.String(), analytics.FigureErrors, "latency_p95"}
	}
	return names, err
}

// compare puts two to six tenants beside each other and beside the others of the scope.
func (a *Admin) compare(c *call) error {
	p, err1 := c.period()
	names, err2 := c.names()
	tenants, err3 := c.list("tenants")
	if err := cmp.Or(err1, err2, err3); err != nil {
		return err
	}
	req := &analytics.CompareRequest{Names: names, Period: p}
	for _, id := range tenants {
		if err := tenancy.ID(id).Validate(); err != nil { // databases answer others with errors
			return err
		}
		req.Tenants = append(req.Tenants, tenancy.ID(id))
	}
	out, err := a.opts.Reports.Compare(c.ctx(), c.id.Scope, req)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, out)
}

// neighbours names tenants that took most of a server or an instance while others there became slow.
func (a *Admin) neighbours(c *call) error {
	var at time.Time
	if text := c.r.URL.Query().Get("at"); text != "" {
		var err error
		if at, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return fmt.Errorf("%w: time %.60q", tenancy.ErrInvalid, text)
		}
	}
	found, err := a.opts.Reports.Neighbours(c.ctx(), c.id.Scope, at)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, found)
}

// top lists the tenants that have most of a column.
func (a *Admin) top(c *call) error {
	p, err1 := c.period()
	by, err2 := analytics.ParseColumn(cmp.Or(c.r.URL.Query().Get("by"), analytics.Requests.String()))
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	found, err := a.opts.Reports.Top(c.ctx(), c.id.Scope, analytics.TopRequest{By: by, Period: p})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]any{"tenants": append([]analytics.TenantUsage{}, found...)})
}

// change puts a period beside the one before, of a tenant or of all tenants of the scope together.
func (a *Admin) change(c *call) error {
	p, err1 := c.period()
	names, err2 := c.names()
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	req := &analytics.SeriesRequest{Names: names, Period: p}
	if c.tenant != nil {
		req.Tenant = c.tenant.ID
	}
	out, err := a.opts.Reports.ComparePeriods(c.ctx(), c.id.Scope, req)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, out)
}

// forecast says how a figure goes on, of a tenant or of all tenants of the scope together.
func (a *Admin) forecast(c *call) error {
	q := c.r.URL.Query()
	req := &analytics.ForecastRequest{Name: cmp.Or(q.Get("name"), analytics.Requests.String())}
	if c.tenant != nil {
		req.Tenant = c.tenant.ID
	}
	var err error
	if days := q.Get("days"); days != "" {
		if req.Days, err = strconv.Atoi(days); err != nil || req.Days < 1 {
			return fmt.Errorf("%w: %.20q days", tenancy.ErrInvalid, days)
		}
	}
	if limit := q.Get("limit"); limit != "" {
		if req.Limit, err = strconv.ParseFloat(limit, 64); err != nil {
			return fmt.Errorf("%w: limit %.20q", tenancy.ErrInvalid, limit)
		}
	}
	out, err := a.opts.Reports.Forecast(c.ctx(), c.id.Scope, req)
	if err != nil {
		return err
	}
	if out.Days == nil {
		out.Days = []analytics.ForecastDay{}
	}
	return c.reply(http.StatusOK, out)
}
