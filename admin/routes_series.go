package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
)

func (a *Admin) seriesRoutes() []route {
	return []route{
		{method: "GET", pattern: "analytics/tenant/{id}/series", permission: auth.AnalyticsRead, reach: oneOf, query: "names points window from to", part: partReports, handle: a.series},
		{method: "GET", pattern: "analytics/trends", permission: auth.AnalyticsRead, reach: within, query: "names points window from to", part: partReports, handle: a.series},
	}
}

// series answers with figures over time, as charts draw them, of the tenant in the path or of all tenants of the scope together:
// requests and errors, unless the names say others.
func (a *Admin) series(c *call) error {
	p, err1 := c.period()
	points, err2 := c.points()
	names, err3 := c.list("names")
	if err := cmp.Or(err1, err2, err3); err != nil {
		return err
	}
	req := &analytics.SeriesRequest{Period: p, Points: points, Names: []string{analytics.Requests.String(), analytics.FigureErrors}}
	if c.tenant != nil {
		req.Tenant = c.tenant.ID
	}
	if names != nil {
		req.Names = names
	}
	report, err := a.opts.Reports.Series(c.ctx(), c.id.Scope, req)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, report)
}

// points reads how many points a series has at most; 0 is the default of the reports.
func (c *call) points() (int, error) {
	text := c.r.URL.Query().Get("points")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%w: %.20q points", tenancy.ErrInvalid, text)
	}
	return n, nil
}
