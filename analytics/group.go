package analytics

import (
	"cmp"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// groups merges rows of counts into those that a query asks for.
type groups struct {
	query *SumQuery
	shift int64 // see shiftOf
	found map[groupKey]*Counts
}

type groupKey struct {
	tenant tenancy.ID
	start  int64
	source int64
}

func newGroups(q *SumQuery) *groups { return &groups{q, shiftOf(q.Step), map[groupKey]*Counts{}} }

// shiftOf returns how many microseconds before 1970 a step begins: steps count from the first day
// of the year 1, a Monday, as those of [time.Time.Truncate], and bucket - (bucket + shift) % step
// is the begin of a bucket's step.
func shiftOf(step time.Duration) int64 { return -time.Unix(0, 0).UTC().Truncate(step).UnixMicro() }

// add merges a row of the tenant and the source, which begins at that time in microseconds.
func (g *groups) add(id tenancy.ID, start, source int64, c *Counts) { g.of(id, start, source).Add(c) }

// of returns the counts that such a row is merged into.
func (g *groups) of(id tenancy.ID, start, source int64) *Counts {
	var key groupKey
	if g.query.ByTenant {
		key.tenant = id
	}
	if step := g.query.Step.Microseconds(); step > 0 {
		key.start = start - (start+g.shift)%step
	}
	if g.query.BySource {
		key.source = source
	}
	if g.found[key] == nil {
		g.found[key] = &Counts{}
	}
	return g.found[key]
}

// rows returns what was merged, in the query's order.
func (g *groups) rows() []SumRow {
	rows := make([]SumRow, 0, len(g.found))
	for key, counts := range g.found {
		row := SumRow{key.tenant, fromMicros(key.start), key.source, *counts}
		if !g.query.Latency {
			row.Counts.Latency, row.Counts.Own = Latency{}, nil
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b SumRow) int {
		if g.query.Top > 0 {
			if by := cmp.Compare(b.Counts.Get(g.query.Order), a.Counts.Get(g.query.Order)); by != 0 {
				return by
			}
		}
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), a.Start.Compare(b.Start), cmp.Compare(a.Source, b.Source))
	})
	if g.query.Top > 0 {
		rows = rows[:min(len(rows), g.query.Top)]
	}
	return rows
}
