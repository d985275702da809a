package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy/admin/internal/checks"
	"github.com/artflow-studio/tenancy/analytics"
)

// part is how a part of the service is.
type part struct {
	Name    string `json:"part"`
	Healthy bool   `json:"healthy"`
	Error   string `json:"error,omitempty"`
}

// tenantHealth is how a tenant is, and why.
type tenantHealth struct {
	Tenant  string          `json:"tenant"`
	Health  string          `json:"health"`
	Reasons []checks.Reason `json:"reasons"`
}

func (p *program) health() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "health [tenant]...", Short: "Check the parts of the service, and list tenants that are not healthy",
		Long: `Check the parts of the service, and list tenants that are not healthy: those to which the
service failed to answer many of their requests of the last 15 minutes. With names it is
about these tenants only. It dials no tenant's database: "db status" does.

The exit code is 1 if something is not healthy.`,
		Example: "  tenantctl health\n  tenantctl health acme",
		RunE: p.with(func(cmd *cobra.Command, names []string) error {
			sick, err := false, error(nil)
			if len(names) == 0 {
				if sick, err = p.showParts(cmd); err != nil {
					return err
				}
			}
			if p.app.Reports != nil || len(names) > 0 {
				more, err := p.showTenantsHealth(cmd, names, all || len(names) > 0)
				if sick = sick || more; err != nil {
					return err
				}
			}
			if sick {
				return &quietError{errors.New("something is not healthy")}
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "list tenants that are healthy, too")
	return cmd
}

// showParts asks the parts, and reports whether one is not healthy.
func (p *program) showParts(cmd *cobra.Command) (sick bool, err error) {
	rows := newTable(cmd.OutOrStdout(), "PART", "HEALTH")
	rows.lines = 4
	for _, each := range p.parts(cmd.Context()) {
		sick = sick || !each.Healthy
		text := checks.Healthy
		if !each.Healthy {
			text = each.Error
		}
		if rows.row(each.Name, text); p.json {
			if err := p.writeJSON(cmd, each); err != nil {
				return sick, err
			}
		}
	}
	if p.app.Audit != nil {
		if n, oldest, err := p.app.Audit.Pending(cmd.Context()); err == nil && n > 0 && time.Since(oldest) > checks.SealerLate { // an error is the part's
			fmt.Fprintf(cmd.ErrOrStderr(), "Not sealed: %s of the audit, the oldest from %s. No instance runs its sealer.\n", counted(n, "entry", "entries"), date(oldest))
		}
	}
	if p.json {
		return sick, nil
	}
	return sick, rows.flush()
}

// parts asks all parts at once, each with a time of its own.
func (p *program) parts(ctx context.Context) []part {
	all := map[string]func(context.Context) error{"catalog": p.app.Catalog.Check}
	if p.app.Audit != nil {
		all["audit"] = p.app.Audit.Check
	}
	if p.app.Outbox != nil {
		all["events"] = p.app.Outbox.Check
	}
	if p.app.Runner != nil {
		all["runs"] = p.app.Runner.Check
	}
	if c, ok := p.app.Operators.(interface{ Check(context.Context) error }); ok {
		all["console"] = c.Check
	}
	maps.Copy(all, p.app.Checks)
	out := make([]part, len(all))
	var wg sync.WaitGroup
	for i, name := range slices.Sorted(maps.Keys(all)) {
		wg.Go(func() {
			out[i] = part{Name: name, Healthy: true}
			if err := checks.Ask(ctx, all[name], func() {}); err != nil {
				out[i].Healthy, out[i].Error = false, err.Error()
			}
		})
	}
	wg.Wait()
	return out
}

// showTenantsHealth lists tenants, and reports whether one is not healthy. Without names it stops at the first tenant without errors, unless
// all are to be shown.
func (p *program) showTenantsHealth(cmd *cobra.Command, names []string, all bool) (sick bool, err error) {
	if err := need(p.app.Reports != nil, "usage reports"); err != nil {
		return false, err
	}
	now := time.Now().UTC()
	req := &analytics.TenantsRequest{Sort: "-" + analytics.FigureErrors, Limit: maxUsagePage, Period: analytics.Period{From: now.Add(-checks.Span), To: now}}
	for _, name := range names {
		t, err := p.find(cmd, name)
		if err != nil {
			return false, err
		}
		req.Filter.IDs = append(req.Filter.IDs, t.ID)
	}
	rows := newTable(cmd.OutOrStdout(), "TENANT", "HEALTH", "WHY")
	rows.lines = 3
	for page, err := range p.usagePages(cmd.Context(), req) {
		if err != nil {
			return sick, err
		}
		closed, err := checks.Closed(cmd.Context(), p.app.Catalog, nil, page, now)
		if err != nil {
			return sick, err
		}
		for i := range page.Tenants {
			t := &page.Tenants[i]
			health, reasons := checks.Tenant(t, checks.Seen{Closed: closed[t.ID]}, now)
			isSick := health != checks.Healthy && health != checks.Unknown
			if sick = sick || isSick; !isSick && !all {
				continue
			}
			var why []string
			for _, r := range reasons {
				why = append(why, r.Text)
			}
			if rows.row(t.Slug, health, strings.Join(why, " ")); p.json {
				if err := p.writeJSON(cmd, tenantHealth{t.Slug, health, reasons}); err != nil {
					return sick, err
				}
			}
		}
		if n := len(page.Tenants); !all && n > 0 && !failed(&page.Tenants[n-1]) {
			break
		}
	}
	if p.json || len(rows.rows) == 1 {
		return sick, nil
	}
	if len(names) == 0 {
		fmt.Fprintln(cmd.OutOrStdout())
	}
	return sick, rows.flush()
}

// failed reports whether a request of the tenant failed.
func failed(t *analytics.TenantEntry) bool {
	f := t.Usage[analytics.FigureErrors]
	return f != nil && f.Value > 0
}
