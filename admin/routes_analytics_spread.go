package admin

import (
	"cmp"
	"net/http"

	"github.com/artflow-studio/tenancy/analytics"
)

// spreadReport says hour by hour how figures are spread over the tenants of the scope: requests, unless the names say others.
func (a *Admin) spreadReport(c *call) error {
	p, err1 := c.period()
	names, err2 := c.list("names")
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	if names == nil {
		names = []string{analytics.Requests.String()}
	}
	report, err := a.opts.Reports.Spread(c.ctx(), c.id.Scope, names, p)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, report)
}
