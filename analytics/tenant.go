package analytics

import (
	"context"

	"github.com/artflow-studio/tenancy"
)

// TenantReport is what one tenant used in a period.
type TenantReport struct {
	TenantInfo
	Period Period `json:"period"`
	// Usage are figures by name, with the percentiles of the latency.
	Usage map[string]*Figure `json:"usage"`
	// Own are the application's own counts.
	Own map[string]*Figure `json:"own,omitempty"`
	// Limits are those of the tenant's record.
	Limits     map[string]int64 `json:"limits,omitempty"`
	Activities []Activity       `json:"activities"`
	// Statements have the longest executions in the hours of the period. It is nil if nobody
	// counts statements.
	Statements []StatementReport `json:"slowest_statements"`
}

// Tenant returns what a tenant used in the period. The zero period is the last
// [ReportsOptions.Span]; it ends with the present. In the scope of all tenants the
// [Application] and [Unattributed] are tenants, too. A tenant that is not in the scope is
// an error that wraps [tenancy.ErrNotFound], as one that does not exist. The report of a
// tenant that only [ReportsOptions.Catalog] knows has no figures.
func (r *Reports) Tenant(ctx context.Context, scope tenancy.Scope, id tenancy.ID, p Period) (*TenantReport, error) {
	report, err := shared(ctx, r, "tenant", scope, tenantRequest{id, p}, r.tenant)
	return report, tenancy.Wrap("analytics.Reports.Tenant", id, err)
}

// tenantRequest asks for a tenant in a period.
type tenantRequest struct {
	Tenant tenancy.ID
	Period Period
}

func (r *Reports) tenant(ctx context.Context, scope tenancy.Scope, req tenantRequest) (*TenantReport, error) {
	id, p := req.Tenant, req.Period
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	if p, err = r.check(p, state); err != nil {
		return nil, err
	}
	p = state.read(p)
	t, f, err := r.tenantOf(ctx, scope, id, newFigures(state).over(p))
	if err != nil {
		return nil, err
	}
	one := []tenancy.ID{id}
	sums, err := r.source.Sum(ctx, &SumQuery{Scope: scope, Tenants: one, Period: p, Latency: true})
	if err != nil {
		return nil, err
	}
	var total Counts
	for i := range sums {
		total.Add(&sums[i].Counts)
	}
	report := &TenantReport{TenantInfo: t.TenantInfo, Period: p, Usage: f.usage(&total), Limits: t.Limits}
	if fig := storage(t.Storage, t.SizedAt); fig != nil {
		report.Usage[FigureStorage] = fig
	}
	for name, n := range total.Own {
		if report.Own == nil {
			report.Own = map[string]*Figure{}
		}
		report.Own[name] = f.count(n)
	}
	if report.Statements, err = r.slowestStatements(ctx, scope, one, p, f); err != nil {
		return nil, err
	}
	report.Activities, err = r.source.Activities(ctx, &ActivitiesQuery{Scope: scope, Tenants: one, Limit: r.opts.Top})
	return report, err
}
