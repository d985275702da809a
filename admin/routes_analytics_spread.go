package admin

import (
	"net/http"
	"strings"

	"github.com/artflow-studio/tenancy/analytics"
)

// spreadReport says hour by hour how figures are spread over the tenants of the scope: requests, unless the names say others.
func (a *Admin) spreadReport(c *call) error {
	p, err := c.period()
	if err != nil {
		return err
	}
	names := []string{analytics.Requests.String()}
	if text := c.r.URL.Query().Get("names"); text != "" {
		names = strings.Split(text, ",")
	}
	report, err := a.opts.Reports.Spread(c.ctx(), c.id.Scope, names, p)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, report)
}
