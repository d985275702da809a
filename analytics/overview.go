package analytics

import (
	"context"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Overview is what an operator sees first: the tenants of a scope, and what they use.
type Overview struct {
	// Period is that of the usage.
	Period Period `json:"period"`
	// The tenants' table as it is now. Figures are partial unless the keeper has
	// compared that table with the catalog.
	TotalTenants   *Figure                  `json:"total_tenants"`
	ActiveTenants  *Figure                  `json:"active_tenants"`
	ByStatus       map[tenancy.Status]int64 `json:"by_status"`
	TotalDatabases *Figure                  `json:"total_databases"`
	// What the tenants of the scope use, in all, and those that use most of it.
	MemoryUsage  Usage `json:"memory_usage"`
	CPUUsage     Usage `json:"cpu_usage"`
	StorageUsage Usage `json:"storage_usage"`
	// Requests to BytesOut are sums of the period.
	Requests *Figure `json:"requests"`
	Errors   *Figure `json:"errors"`
	BytesIn  *Figure `json:"bytes_in"`
	BytesOut *Figure `json:"bytes_out"`
	// TopActiveTenants are those with most requests in the period.
	TopActiveTenants []TenantUsage `json:"top_active_tenants"`
	// RecentActivities are the newest first.
	RecentActivities []Activity `json:"recent_activities"`
	// Instances are the processes that wrote within the last hour. Set only for
	// the scope of all tenants.
	Instances []InstanceReport `json:"instances,omitempty"`
	// Now is the store's clock. RolledUp says up to when counts were rolled up.
	Now      time.Time            `json:"now"`
	RolledUp map[string]time.Time `json:"rolled_up"`
}

// Usage is how much of something the tenants of a scope use.
type Usage struct {
	// Total is nil if nobody measures it.
	Total *Figure `json:"total"`
	// Tenants are those that use most of it.
	Tenants []TenantFigure `json:"tenants"`
}

// TenantFigure is a tenant with one figure.
type TenantFigure struct {
	TenantInfo
	Figure *Figure `json:"figure"`
}

// InstanceReport is an instance, and whether it is missing: it did not end, and does not
// write.
type InstanceReport struct {
	Instance
	Missing bool `json:"missing"`
}

// Overview returns the overview of the tenants of the scope.
func (r *Reports) Overview(ctx context.Context, scope tenancy.Scope) (*Overview, error) {
	o, err := shared(ctx, r, "overview", scope, nothing{}, r.overview)
	return o, tenancy.Wrap("analytics.Reports.Overview", "", err)
}

func (r *Reports) overview(ctx context.Context, scope tenancy.Scope, _ nothing) (*Overview, error) {
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	fleet, err := r.source.Fleet(ctx, &TenantsQuery{Scope: scope})
	if err != nil {
		return nil, err
	}
	o := &Overview{
		Period: Period{state.Now.Add(-r.opts.Span), state.Now}, ByStatus: fleet.ByStatus, Now: state.Now,
		RolledUp: map[string]time.Time{"minutes": state.Minutes, "hours": state.Hours, "days": state.Days},
	}
	catalog := figures{at: state.Catalog}
	if state.Catalog.IsZero() {
		catalog = figures{at: state.Now, partial: true}
	}
	o.TotalTenants = catalog.count(fleet.Tenants)
	o.ActiveTenants = catalog.count(fleet.ByStatus[tenancy.StatusActive])
	o.TotalDatabases = catalog.count(fleet.Databases)
	if fleet.Measured > 0 {
		o.StorageUsage.Total = storage(fleet.Storage, fleet.Oldest)
		o.StorageUsage.Total.Partial = fleet.Measured < fleet.Databases
	}
	p := o.Period
	total, f, err := r.total(ctx, scope, state, o)
	if err != nil {
		return nil, err
	}
	o.Requests, o.Errors = f.of(Requests, total.Get(Requests)), f.of(Status5xx, total.Errors())
	o.BytesIn, o.BytesOut = f.of(BytesIn, total.Get(BytesIn)), f.of(BytesOut, total.Get(BytesOut))
	if o.TopActiveTenants, _, err = r.top(ctx, scope, state, p, Requests); err != nil {
		return nil, err
	}
	if o.CPUUsage, err = r.used(ctx, scope, state, p, CPUTime); err != nil {
		return nil, err
	}
	if o.MemoryUsage, err = r.used(ctx, scope, state, p, MemoryBytes); err != nil {
		return nil, err
	}
	if o.StorageUsage.Tenants, err = r.largest(ctx, scope); err != nil {
		return nil, err
	}
	activities, err := r.source.Activities(ctx, &ActivitiesQuery{Scope: scope, Limit: r.opts.Top})
	if err != nil {
		return nil, err
	}
	if o.RecentActivities, err = inScope(ctx, r, scope, activities, (*Activity).tenant); err != nil {
		return nil, err
	}
	if scope.IsAll() {
		for _, i := range state.Instances {
			o.Instances = append(o.Instances, InstanceReport{i, i.missing(state.Now)})
		}
	}
	return o, nil
}

// total returns what all tenants of the scope did in the period of the overview, which
// becomes that which is read: that of sums that are kept ready, if there are such.
func (r *Reports) total(ctx context.Context, scope tenancy.Scope, state *State, o *Overview) (*Counts, figures, error) {
	var total Counts
	q := state.spanned(SumQuery{Period: o.Period})
	if q.Span != 0 {
		counts, p, f, err := r.byTenant(ctx, scope, state, o.Period)
		for _, c := range counts {
			total.Add(c)
		}
		o.Period = p
		return &total, f, err
	}
	o.Period = q.Period
	sums, err := r.source.Sum(ctx, &SumQuery{Scope: scope, Period: o.Period})
	for i := range sums {
		total.Add(&sums[i].Counts)
	}
	return &total, newFigures(state), err
}

// top returns the tenants with the largest sums of a column, and the figures of the
// period. Those with none are left out.
func (r *Reports) top(ctx context.Context, scope tenancy.Scope, state *State, p Period, by Column) ([]TenantUsage, figures, error) {
	if q := state.spanned(SumQuery{Period: p}); q.Span != 0 {
		counts, _, f, err := r.byTenant(ctx, scope, state, p)
		if err != nil {
			return nil, f, err
		}
		b := &ranking{r, scope, f, counts}
		top, err := b.top(ctx, func(c *Counts) float64 { return float64(c.Get(by)) })
		for i := range top { // percentiles are of reports that ask for them
			for _, name := range []string{FigureP50, FigureP95, FigureP99} {
				delete(top[i].Usage, name)
			}
		}
		return top, f, err
	}
	f := newFigures(state).over(p)
	sums, err := r.source.Sum(ctx, &SumQuery{Scope: scope, Period: p, ByTenant: true, Top: r.opts.Top, Order: by})
	if err != nil {
		return nil, f, err
	}
	var ids []tenancy.ID
	for _, row := range sums {
		ids = append(ids, row.Tenant)
	}
	tenants, err := r.infos(ctx, scope, ids)
	if err != nil {
		return nil, f, err
	}
	out := []TenantUsage{}
	for i := range sums {
		if t := tenants[sums[i].Tenant]; t != nil && sums[i].Counts.Get(by) > 0 {
			out = append(out, TenantUsage{t.TenantInfo, f.usage(&sums[i].Counts)})
		}
	}
	return out, f, nil
}

// largest returns the tenants with the largest databases.
func (r *Reports) largest(ctx context.Context, scope tenancy.Scope) ([]TenantFigure, error) {
	rows, err := r.source.Tenants(ctx, &TenantsQuery{Scope: scope, Sort: FigureStorage, Descending: true, Limit: r.opts.Top})
	if err == nil {
		rows, err = inScope(ctx, r, scope, rows, (*TenantRow).tenant)
	}
	if err != nil {
		return nil, err
	}
	out := []TenantFigure{}
	for _, row := range rows {
		if fig := storage(row.Storage, row.SizedAt); fig != nil {
			out = append(out, TenantFigure{row.TenantInfo, fig})
		}
	}
	return out, nil
}
