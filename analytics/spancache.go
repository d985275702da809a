package analytics

import (
	"context"
	"time"

	"github.com/artflow-studio/tenancy"
)

const (
	// maxSpans is how many results of whole spans are kept: with 10,000 tenants each has 10 MB.
	maxSpans = 4
	// spanAge is how long they are kept: the keeper makes the sums of most spans each hour.
	spanAge = 15 * time.Minute
)

// byTenant returns the counts of each tenant of the scope in a period, with latencies, and
// the figures of that period: of the sums that are kept ready, if there are such, whose
// period it then is. Who gets the counts must not change them.
func (r *Reports) byTenant(ctx context.Context, scope tenancy.Scope, state *State, p Period) (map[tenancy.ID]*Counts, Period, figures, error) {
	q := state.spanned(SumQuery{Scope: scope, Period: p, ByTenant: true, Latency: true})
	f := newFigures(state).over(q.Period)
	if q.Span == 0 {
		counts, err := r.countsOf(ctx, q)
		return counts, q.Period, f, err
	}
	if q.Period.To.Before(f.at) {
		f.at = q.Period.To
	}
	// What has this key changes only when tenants come into the scope, or leave it. Those that
	// come into the catalog, or leave it, change their number with the keeper's next round.
	key := keyOf(time.Time{}, 0, scope, q.Span, q.Period.To, state.reopened, state.Tenants)
	v, err := r.spans.get(ctx, key, func(ctx context.Context) (any, error) { return r.countsOf(ctx, q) })
	if err != nil {
		return nil, q.Period, f, err
	}
	return v.(map[tenancy.ID]*Counts), q.Period, f, nil // there are no others
}

func (r *Reports) countsOf(ctx context.Context, q *SumQuery) (map[tenancy.ID]*Counts, error) {
	rows, err := r.source.Sum(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make(map[tenancy.ID]*Counts, len(rows))
	for i := range rows {
		out[rows[i].Tenant] = &rows[i].Counts
	}
	return out, nil
}
