package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
)

// usageRoutes are the rows about months, routes, how figures are spread, the room that databases take, and who logs in.
func (a *Admin) usageRoutes() []route {
	return []route{
		{method: "GET", pattern: "analytics/usage", permission: auth.AnalyticsRead, reach: within, query: "filter from to limit cursor", part: partReports, handle: a.monthsReport},
		{method: "GET", pattern: "analytics/usage/months/export", permission: auth.AnalyticsExport, reach: within, query: "filter from to format", action: "analytics.export", part: partReports, handle: a.exportMonths},
		{method: "GET", pattern: "analytics/patterns", permission: auth.AnalyticsRead, reach: within, query: "sort limit window from to", part: partReports, handle: a.patterns},
		{method: "GET", pattern: "analytics/patterns/{id}", permission: auth.AnalyticsRead, reach: oneOf, query: "sort limit window from to", part: partReports, handle: a.patterns},
		{method: "GET", pattern: "analytics/spread", permission: auth.AnalyticsRead, reach: within, query: "names window from to", part: partReports, handle: a.spreadReport},
		{method: "GET", pattern: "analytics/storage", permission: auth.AnalyticsRead, reach: within, query: "window from to", part: partReports, handle: a.storageReport},
		{method: "GET", pattern: "analytics/storage/{id}", permission: auth.AnalyticsRead, reach: oneOf, query: "window from to", part: partReports, handle: a.storageReport},
		{method: "GET", pattern: "analytics/logins/subjects", permission: auth.ActivitiesRead, reach: within, query: "tenant subject sort limit cursor window from to", part: partReports, handle: a.loginSubjects},
	}
}

// months reads the months and the tenants that a report is about.
func (c *call) months() (*analytics.MonthsRequest, error) {
	q := c.r.URL.Query()
	req := &analytics.MonthsRequest{}
	var err error
	if req.Filter, err = c.filter(q.Get("filter"), "?filter", analytics.Fields()...); err != nil {
		return nil, err
	}
	for _, month := range []struct {
		name string
		to   *time.Time
	}{{"from", &req.From}, {"to", &req.To}} {
		text := q.Get(month.name)
		if text == "" {
			continue
		}
		if *month.to, err = time.Parse("2006-01", text); err != nil {
			return nil, fmt.Errorf("%w: month %.20q, want one such as 2026-11", tenancy.ErrInvalid, text)
		}
	}
	return req, nil
}

// monthsReport is a page of tenants with what they used in calendar months.
func (a *Admin) monthsReport(c *call) error {
	req, err1 := c.months()
	limit, err2 := c.limit()
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	req.Limit, req.After = limit, tenancy.Cursor(c.r.URL.Query().Get("cursor"))
	page, err := a.opts.Reports.Months(c.ctx(), c.id.Scope, req)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, page)
}

// exportMonths writes a row for each tenant and month.
func (a *Admin) exportMonths(c *call) error {
	req, err1 := c.months()
	format, as, err2 := c.exportAs("months")
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	return a.export(c, as, func(ctx context.Context, w *exportWriter) error {
		return a.opts.Reports.ExportMonths(ctx, c.id.Scope, w, format, req)
	})
}

// storageReport says how much room databases took by day.
func (a *Admin) storageReport(c *call) error {
	p, err := c.period()
	if err != nil {
		return err
	}
	var id tenancy.ID
	if c.tenant != nil {
		id = c.tenant.ID
	}
	report, err := a.opts.Reports.Storage(c.ctx(), c.id.Scope, id, p)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, report)
}

// loginSubjects sums up logins by who logged in.
func (a *Admin) loginSubjects(c *call) error {
	q := c.r.URL.Query()
	p, err1 := c.period()
	id, err2 := a.queriedTenant(c)
	limit, err3 := c.limit()
	if err := cmp.Or(err1, err2, err3); err != nil {
		return err
	}
	req := &analytics.LoginsRequest{Tenant: id, Period: p, Subject: q.Get("subject"), After: tenancy.Cursor(q.Get("cursor")), Limit: limit}
	switch sort := q.Get("sort"); sort {
	case "", "subject":
	case "-failures":
		req.ByFailures = true
	default:
		return fmt.Errorf("%w: sort %.40q, want subject or -failures", tenancy.ErrInvalid, sort)
	}
	page, err := a.opts.Reports.Logins(c.ctx(), c.id.Scope, req)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, page)
}
