package admin

import (
	"cmp"
	"net/http"

	"github.com/artflow-studio/tenancy/analytics"
)

// patterns says which routes requests were for, of a tenant or of all tenants of the scope together.
func (a *Admin) patterns(c *call) error {
	p, err1 := c.period()
	limit, err2 := c.limit()
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	req := &analytics.PatternsRequest{Period: p, Limit: limit, Sort: c.r.URL.Query().Get("sort")}
	if c.tenant != nil {
		req.Tenant = c.tenant.ID
	}
	report, err := a.opts.Reports.Patterns(c.ctx(), c.id.Scope, req)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, report)
}
