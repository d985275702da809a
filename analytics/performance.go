package analytics

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// minRequests is how many requests a percentile needs to be compared.
const minRequests = 20

// Performance names the tenants that are served worst.
type Performance struct {
	Period Period `json:"period"`
	// Slowest have the largest p95 of those with 20 requests or more.
	Slowest []TenantUsage `json:"slowest"`
	// MostErrors have most requests that the service failed to answer.
	MostErrors []TenantUsage `json:"most_errors"`
	// MostWaiting waited longest for connections. It is nil if nobody counts that.
	MostWaiting []TenantUsage `json:"most_waiting"`
	// MostWorsened have the p95 that grew most against Before.
	MostWorsened []Worsened `json:"most_worsened"`
	Before       Period     `json:"before"`
	// SlowestStatements have the longest executions in the hours of the period. It is nil if
	// nobody counts statements.
	SlowestStatements []StatementReport `json:"slowest_statements"`
}

// Worsened is a tenant whose p95 grew.
type Worsened struct {
	TenantUsage
	// Before is the p95 in the period before, Factor how many times as large it is now.
	Before *Figure `json:"before"`
	Factor float64 `json:"factor"`
}

// Performance returns the tenants of the scope that are served worst in the period. The
// zero period is the last hour. It is compared with the 24 hours before, from the begin of an
// hour on.
func (r *Reports) Performance(ctx context.Context, scope tenancy.Scope, p Period) (*Performance, error) {
	report, err := shared(ctx, r, "performance", scope, p, r.performance)
	return report, tenancy.Wrap("analytics.Reports.Performance", "", err)
}

func (r *Reports) performance(ctx context.Context, scope tenancy.Scope, p Period) (*Performance, error) {
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	if p == (Period{}) {
		p = Period{state.Now.Add(-time.Hour), state.Now}
	}
	if p, err = r.check(p, state); err != nil {
		return nil, err
	}
	now, p, f, err := r.byTenant(ctx, scope, state, p)
	if err != nil {
		return nil, err
	}
	report := &Performance{Period: p, Before: Period{p.From.Add(-day).Truncate(time.Hour), p.From}}
	if _, ok := state.Sums[day]; ok && p == state.Sums[time.Hour] {
		report.Before = Period{state.Now.Add(-day), state.Now} // of which there are sums, too
	}
	before, was, _, err := r.byTenant(ctx, scope, state, report.Before)
	if err != nil {
		return nil, err
	}
	report.Before = was
	b := &ranking{r, scope, f, now}
	p95 := func(c *Counts) float64 { return percentileOf(c, 0.95) }
	report.Slowest, err = b.top(ctx, p95)
	if err == nil {
		report.MostErrors, err = b.top(ctx, func(c *Counts) float64 { return float64(c.Errors()) })
	}
	if err == nil && f.of(WaitTime, 0) != nil {
		report.MostWaiting, err = b.top(ctx, func(c *Counts) float64 { return float64(c.Get(WaitTime)) })
	}
	if err != nil {
		return nil, err
	}
	if report.MostWorsened, err = b.worsened(ctx, before, p95); err != nil {
		return nil, err
	}
	report.SlowestStatements, err = r.slowestStatements(ctx, scope, nil, p, f)
	return report, err
}

// percentileOf returns the percentile in microseconds, or 0 of too few requests.
func percentileOf(c *Counts, p float64) float64 {
	if c == nil || c.Latency.Count() < minRequests {
		return 0
	}
	d, _, _ := c.Latency.Percentile(p)
	return float64(d.Microseconds())
}

// ranking puts tenants into orders.
type ranking struct {
	r      *Reports
	scope  tenancy.Scope
	f      figures
	counts map[tenancy.ID]*Counts
}

// order returns the tenants with the largest scores above zero.
func (b *ranking) order(score func(tenancy.ID) float64) []tenancy.ID {
	type scored struct {
		id    tenancy.ID
		score float64
	}
	var all []scored
	for id := range b.counts {
		if s := score(id); s > 0 {
			all = append(all, scored{id, s})
		}
	}
	slices.SortFunc(all, func(x, y scored) int { return cmp.Or(cmp.Compare(y.score, x.score), cmp.Compare(x.id, y.id)) })
	ids := []tenancy.ID{}
	for _, each := range all[:min(len(all), b.r.opts.Top)] {
		ids = append(ids, each.id)
	}
	return ids
}

func (b *ranking) top(ctx context.Context, score func(*Counts) float64) ([]TenantUsage, error) {
	ids := b.order(func(id tenancy.ID) float64 { return score(b.counts[id]) })
	infos, err := b.r.infos(ctx, b.scope, ids)
	out := []TenantUsage{}
	for _, id := range ids {
		if t := infos[id]; t != nil {
			out = append(out, TenantUsage{t.TenantInfo, b.f.usage(b.counts[id])})
		}
	}
	return out, err
}

func (b *ranking) worsened(ctx context.Context, before map[tenancy.ID]*Counts, score func(*Counts) float64) ([]Worsened, error) {
	factor := func(id tenancy.ID) float64 {
		if was := score(before[id]); was > 0 {
			return score(b.counts[id]) / was
		}
		return 0
	}
	ids := b.order(func(id tenancy.ID) float64 { return factor(id) - 1 })
	infos, err := b.r.infos(ctx, b.scope, ids)
	out := []Worsened{}
	for _, id := range ids {
		if t := infos[id]; t != nil {
			out = append(out, Worsened{TenantUsage{t.TenantInfo, b.f.usage(b.counts[id])}, b.f.usage(before[id])[FigureP95], factor(id)})
		}
	}
	return out, err
}

// TopRequest asks for the tenants with the largest value of a column.
type TopRequest struct {
	By     Column
	Period Period // default: the last [ReportsOptions.Span]
}

// Top returns the tenants of the scope with the largest value of a column, without those
// that have none.
func (r *Reports) Top(ctx context.Context, scope tenancy.Scope, req TopRequest) ([]TenantUsage, error) {
	out, err := shared(ctx, r, "top", scope, req, r.topOf)
	return out, tenancy.Wrap("analytics.Reports.Top", "", err)
}

func (r *Reports) topOf(ctx context.Context, scope tenancy.Scope, req TopRequest) ([]TenantUsage, error) {
	if req.By >= numColumns {
		return nil, fmt.Errorf("%w: %v", tenancy.ErrInvalid, req.By)
	}
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	p, err := r.check(req.Period, state)
	if err != nil {
		return nil, err
	}
	out, _, err := r.top(ctx, scope, state, p, req.By)
	return out, err
}

// MemoryReport is what is known about memory.
type MemoryReport struct {
	// Tenants is what the library can account for: see [Recorder.Attach].
	Tenants Usage `json:"tenants"`
	// Instances are the processes. A scope that does not have all tenants has none.
	Instances []MemoryInstance `json:"instances,omitempty"`
}

// memoryError is the relative error of the memory that sources report. Their tests allow
// twice or half of the true value.
const memoryError = 1.0

// MemoryInstance is the memory of one process.
type MemoryInstance struct {
	Name string `json:"name"`
	// RSS is the resident memory and Heap the size of Go's heap. Remainder is RSS without
	// Heap: stacks, the runtime, and memory allocated outside Go.
	RSS       *Figure `json:"rss"`
	Heap      *Figure `json:"heap"`
	Remainder *Figure `json:"remainder"`
	// Kinds are the bytes that the library can account for, by kind. OfHeap is the rest of
	// the heap. Both are estimates, and absent unless sources are attached: see
	// [Recorder.Attach].
	Kinds  map[string]*Figure `json:"kinds,omitempty"`
	OfHeap *Figure            `json:"heap_remainder,omitempty"`
}

// Memory returns what the tenants of the scope had in memory at most, in the last
// [ReportsOptions.Span], and the memory of the instances now.
func (r *Reports) Memory(ctx context.Context, scope tenancy.Scope) (*MemoryReport, error) {
	m, err := shared(ctx, r, "memory", scope, nothing{}, r.memory)
	return m, tenancy.Wrap("analytics.Reports.Memory", "", err)
}

func (r *Reports) memory(ctx context.Context, scope tenancy.Scope, _ nothing) (*MemoryReport, error) {
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	report := &MemoryReport{}
	if report.Tenants, err = r.used(ctx, scope, state, Period{state.Now.Add(-r.opts.Span), state.Now}, MemoryBytes); err != nil || !scope.IsAll() {
		return report, err
	}
	for _, i := range state.Instances {
		if i.Ended || i.missing(state.Now) {
			continue
		}
		of := func(bytes int64) *Figure {
			if i.RSS == 0 {
				return nil // it is not known on this system
			}
			return &Figure{Value: float64(bytes), Unit: UnitBytes, Method: Measured, MeasuredAt: i.Flushed}
		}
		m := MemoryInstance{Name: i.Name, RSS: of(i.RSS), Heap: of(i.Heap), Remainder: of(max(0, i.RSS-i.Heap))}
		rest := i.Heap
		for kind, bytes := range i.Memory {
			if m.Kinds == nil {
				m.Kinds = map[string]*Figure{}
			}
			m.Kinds[kind] = &Figure{Value: float64(bytes), Unit: UnitBytes, Method: Estimated, Error: memoryError, MeasuredAt: i.Flushed}
			rest -= bytes
		}
		if m.OfHeap = of(max(0, rest)); m.Kinds == nil {
			m.OfHeap = nil
		} else if m.OfHeap != nil {
			m.OfHeap.Method = Estimated
		}
		report.Instances = append(report.Instances, m)
	}
	return report, nil
}

// used returns how much of a column the tenants of the scope used.
func (r *Reports) used(ctx context.Context, scope tenancy.Scope, state *State, p Period, by Column) (Usage, error) {
	usage := Usage{Tenants: []TenantFigure{}}
	if newFigures(state).over(p).of(by, 0) == nil {
		return usage, nil
	}
	top, f, err := r.top(ctx, scope, state, p, by)
	if err != nil {
		return usage, err
	}
	var total int64
	if q := state.spanned(SumQuery{Period: p}); q.Span != 0 {
		counts, _, _, err := r.byTenant(ctx, scope, state, p)
		if err != nil {
			return usage, err
		}
		for _, c := range counts {
			total = add(total, c.Get(by))
		}
	} else {
		sums, err := r.source.Sum(ctx, &SumQuery{Scope: scope, Period: p, ByTenant: columnInfos[by].largest, Columns: []Column{by}})
		if err != nil {
			return usage, err
		}
		for i := range sums {
			total = add(total, sums[i].Counts.Get(by))
		}
	}
	usage.Total = f.of(by, total)
	for _, t := range top {
		usage.Tenants = append(usage.Tenants, TenantFigure{t.TenantInfo, t.Usage[by.String()]})
	}
	return usage, nil
}
