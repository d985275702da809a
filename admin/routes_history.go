package admin

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
)

// historyRoutes are the rows about what happened: activities and logins.
func (a *Admin) historyRoutes() []route {
	return []route{
		{method: "GET", pattern: "analytics/activities", permission: auth.ActivitiesRead, reach: within, query: "tenant type subject limit cursor window from to", part: partReports,
			handle: func(c *call) error { return a.activities(c, false) }},
		{method: "GET", pattern: "analytics/logins", permission: auth.ActivitiesRead, reach: within, query: "tenant type subject limit cursor window from to", part: partReports,
			handle: func(c *call) error { return a.activities(c, true) }},
	}
}

// queriedTenant returns the tenant that the parameter names, if it is sent. One outside of the scope is not found.
func (a *Admin) queriedTenant(c *call) (tenancy.ID, error) {
	id := c.r.URL.Query().Get("tenant")
	if id == "" {
		return "", nil
	}
	t, err := a.catalog.Find(c.ctx(), tenancy.Ref{Kind: tenancy.RefID, Value: id})
	if err == nil && !c.id.Scope.Includes(t) {
		err = fmt.Errorf("%w: outside of the scope", tenancy.ErrNotFound)
	}
	if err != nil {
		return "", err
	}
	return t.ID, nil
}

// activities answers with what happened to the tenants of the scope, or with the logins of their users.
func (a *Admin) activities(c *call, logins bool) error {
	q := c.r.URL.Query()
	p, err1 := c.period()
	id, err2 := a.queriedTenant(c)
	limit, err3 := c.limit()
	types, err4 := c.list("type")
	if err := cmp.Or(err1, err2, err3, err4); err != nil {
		return err
	}
	req := &analytics.ActivitiesRequest{Tenant: id, Types: types, Period: p, Logins: logins, Subject: q.Get("subject"), After: tenancy.Cursor(q.Get("cursor")), Limit: limit}
	page, err := a.opts.Reports.Activities(c.ctx(), c.id.Scope, req)
	if err != nil {
		return err
	}
	if page.Activities == nil {
		page.Activities = []analytics.Activity{}
	}
	return c.reply(http.StatusOK, page)
}
