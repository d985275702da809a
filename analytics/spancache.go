package analytics

import (
	"context"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// maxSpans is how many results of whole spans are kept: with 10,000 tenants each has 10 MB.
const maxSpans = 4

// spanKey is a span of a scope, up to a time. What it is the key of changes only when tenants
// come into the scope, or leave it.
type spanKey struct {
	scope    string
	span     time.Duration
	to       time.Time
	reopened int64
}

// spanned are the counts of each tenant in a span. Who has them must not change them.
type spanned struct {
	key    spanKey
	counts map[tenancy.ID]*Counts
}

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
	if err := r.loading.take(ctx); err != nil { // one reads, and others take what it has read
		return nil, q.Period, f, err
	}
	defer r.loading.give()
	key := spanKey{scope.String(), q.Span, q.Period.To, state.reopened}
	if i := slices.IndexFunc(r.kept, func(s spanned) bool { return s.key == key }); i >= 0 {
		found := r.kept[i]
		r.kept = append(slices.Delete(r.kept, i, i+1), found) // the last is the newest
		return found.counts, q.Period, f, nil
	}
	counts, err := r.countsOf(ctx, q)
	if err != nil {
		return nil, q.Period, f, err
	}
	// One that was made before is never asked for again.
	r.kept = slices.DeleteFunc(r.kept, func(s spanned) bool {
		return s.key.span == key.span && (s.key.to.Before(key.to) || s.key.reopened < key.reopened)
	})
	r.kept = append(r.kept, spanned{key, counts})
	if len(r.kept) > maxSpans {
		r.kept = slices.Delete(r.kept, 0, 1)
	}
	return counts, q.Period, f, nil
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
