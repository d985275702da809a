package analytics

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// CompareRequest asks how tenants compare.
type CompareRequest struct {
	// Tenants are two to six tenants of the scope.
	Tenants []tenancy.ID
	// Names are columns, errors or percentiles of the latency; at most 8.
	Names []string
	// Period is that of the figures. Default: the last [ReportsOptions.Span].
	Period Period
}

// Comparison shows tenants beside each other and beside the others of the scope.
type Comparison struct {
	Period  Period           `json:"period"`
	Tenants []ComparedTenant `json:"tenants"`
	// Scope says how the figures are spread over the tenants of the scope that did
	// something in the period.
	Scope map[string]Spread `json:"scope"`
}

// ComparedTenant is one of the tenants that are compared.
type ComparedTenant struct {
	TenantInfo
	Figures map[string]Compared `json:"figures"`
}

// Compared is a figure of a tenant beside those of others.
type Compared struct {
	Figure *Figure `json:"figure"`
	// Normalised is the value in medians of the scope. It is nil if the median is zero.
	Normalised *float64 `json:"normalised"`
	// Rank is the share of the scope's tenants whose value is smaller, 0 to 1.
	Rank float64 `json:"rank"`
}

// Compare returns how tenants of the scope compare in the period.
func (r *Reports) Compare(ctx context.Context, scope tenancy.Scope, req *CompareRequest) (*Comparison, error) {
	c, err := shared(ctx, r, "compare", scope, req, r.compare)
	return c, tenancy.Wrap("analytics.Reports.Compare", "", err)
}

func (r *Reports) compare(ctx context.Context, scope tenancy.Scope, req *CompareRequest) (*Comparison, error) {
	if n, m := len(req.Tenants), len(req.Names); n < 2 || n > 6 || m < 1 || m > 8 {
		return nil, fmt.Errorf("%w: %d figures of %d tenants compared, want 1 to 8 of 2 to 6", tenancy.ErrInvalid, m, n)
	}
	measures, err := measuresOf(req.Names)
	if err != nil {
		return nil, err
	}
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	p, err := r.check(req.Period, state)
	if err != nil {
		return nil, err
	}
	infos, err := r.infos(ctx, scope, req.Tenants)
	if err != nil {
		return nil, err
	}
	counts, p, f, err := r.byTenant(ctx, scope, state, p)
	if err != nil {
		return nil, err
	}
	out := &Comparison{Period: p, Tenants: []ComparedTenant{}, Scope: map[string]Spread{}}
	sorted := map[string][]float64{}
	for name, m := range measures {
		if f.of(m.column, 0) != nil {
			sorted[name] = m.sorted(counts)
			out.Scope[name] = spreadOf(sorted[name])
		}
	}
	for _, id := range req.Tenants {
		info, own := infos[id], f
		if info == nil {
			own.recorded = 0
			if info, err = r.unheard(ctx, scope, id); err != nil {
				return nil, err
			}
		}
		t := ComparedTenant{info.TenantInfo, map[string]Compared{}}
		for name, values := range sorted {
			t.Figures[name] = measures[name].compared(own, counts[id], values, out.Scope[name].Median)
		}
		out.Tenants = append(out.Tenants, t)
	}
	return out, nil
}

func measuresOf(names []string) (map[string]measure, error) {
	out := map[string]measure{}
	for _, name := range names {
		m, err := measureOf(name)
		if err != nil {
			return nil, err
		}
		out[name] = m
	}
	return out, nil
}

// sorted returns the values of all tenants that have one, in ascending order.
func (m measure) sorted(counts map[tenancy.ID]*Counts) []float64 {
	values := []float64{}
	for _, c := range counts {
		if v := m.value(c); v != nil {
			values = append(values, *v)
		}
	}
	slices.Sort(values)
	return values
}

// figure returns the measure's figure of counts, or nil if there is none.
func (m measure) figure(f figures, c *Counts) *Figure {
	if c == nil {
		c = &Counts{}
	}
	fig, v := f.of(m.column, 0), m.value(c)
	if fig == nil || v == nil {
		return nil
	}
	fig.Value, fig.Error = *v, m.error()
	return fig
}

func (m measure) compared(f figures, c *Counts, sorted []float64, median float64) Compared {
	out := Compared{Figure: m.figure(f, c)}
	if out.Figure == nil {
		return out
	}
	if median > 0 {
		normalised := out.Figure.Value / median
		out.Normalised = &normalised
	}
	if len(sorted) > 0 {
		smaller, _ := slices.BinarySearch(sorted, out.Figure.Value)
		out.Rank = float64(smaller) / float64(len(sorted))
	}
	return out
}

// PeriodComparison shows a period beside the one before, of the same length. Both consist of
// whole minutes; if the one before is older than 49 hours, of whole hours that are over, and if it
// is older than 100 days, of whole days.
type PeriodComparison struct {
	Period Period                      `json:"period"`
	Before Period                      `json:"before"`
	Change map[string]ComparedToBefore `json:"change"`
}

// ComparedToBefore is a figure in a period and in the one before.
type ComparedToBefore struct {
	Now    *Figure `json:"now"`
	Before *Figure `json:"before"`
	// Factor is how many times as large it is. It is nil if it was zero or absent.
	Factor *float64 `json:"factor"`
}

// ComparePeriods returns how figures of a tenant, or of all tenants of the scope together,
// changed against the period before.
func (r *Reports) ComparePeriods(ctx context.Context, scope tenancy.Scope, req *SeriesRequest) (*PeriodComparison, error) {
	c, err := shared(ctx, r, "periods", scope, req, r.comparePeriods)
	return c, tenancy.Wrap("analytics.Reports.ComparePeriods", req.Tenant, err)
}

func (r *Reports) comparePeriods(ctx context.Context, scope tenancy.Scope, req *SeriesRequest) (*PeriodComparison, error) {
	if len(req.Names) == 0 || len(req.Names) > 8 {
		return nil, fmt.Errorf("%w: %d figures, want 1 to 8", tenancy.ErrInvalid, len(req.Names))
	}
	measures, err := measuresOf(req.Names)
	if err != nil {
		return nil, err
	}
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	p, err := r.check(req.Period, state)
	if err != nil {
		return nil, err
	}
	out := &PeriodComparison{Change: map[string]ComparedToBefore{}}
	out.Period, out.Before = adjoining(p, state.Now)
	f := newFigures(state).over(out.Period)
	if req.Tenant != "" {
		if _, f, err = r.tenantOf(ctx, scope, req.Tenant, f); err != nil {
			return nil, err
		}
	}
	var sums [2]Counts
	for i, p := range []Period{out.Period, out.Before} {
		q := &SumQuery{Scope: scope, Period: p, Fleet: req.Tenant == ""}
		q.take(maps.Values(measures))
		if req.Tenant != "" {
			q.Tenants = []tenancy.ID{req.Tenant}
		}
		rows, err := r.source.Sum(ctx, q)
		if err != nil {
			return nil, err
		}
		for k := range rows {
			sums[i].Add(&rows[k].Counts)
		}
	}
	for name, m := range measures {
		c := ComparedToBefore{Now: m.figure(f, &sums[0]), Before: m.figure(f, &sums[1])}
		if c.Now != nil && c.Before != nil && c.Before.Value > 0 {
			factor := c.Now.Value / c.Before.Value
			c.Factor = &factor
		}
		out.Change[name] = c
	}
	return out, nil
}

// adjoining returns the period and the one before it in whole rows that are kept for both.
func adjoining(p Period, now time.Time) (period, before Period) {
	for _, row := range []time.Duration{time.Minute, time.Hour, day} {
		period = Period{p.From.Truncate(row), ceil(p.To, row)}
		if row > time.Minute && period.To.After(now) { // or an hour that is not over is beside one that is
			period.To = p.To.Truncate(row)
		}
		before = Period{period.From.Add(period.From.Sub(period.To)), period.From}
		if fineOf(now.Sub(before.From)) <= row {
			break
		}
	}
	return period, before
}
