package analytics

import (
	"cmp"
	"slices"
	"time"
)

// Spans for which a keeper keeps sums ready, with the ends of the names of fields that have
// them.
func spans() map[string]time.Duration {
	return map[string]time.Duration{"1h": time.Hour, "24h": day, "7d": 7 * day, "30d": 30 * day, "90d": 90 * day}
}

// nameOfSpan returns the name of a span, or "".
func nameOfSpan(span time.Duration) string {
	for name, each := range spans() {
		if each == span {
			return name
		}
	}
	return ""
}

// spanned returns the query over the sums that are kept ready, with their period, if there
// are such of a period of that length which ends now. Otherwise it returns the query over
// the period that is read.
func (s *State) spanned(q SumQuery) *SumQuery {
	span := q.Period.To.Sub(q.Period.From).Round(time.Second)
	if p, ok := s.Sums[span]; ok && s.Now.Sub(q.Period.To).Abs() <= time.Minute {
		q.Period, q.Span = p, span
		return &q
	}
	q.Period, q.Span = s.read(q.Period), 0
	return &q
}

// Spread is how a figure is spread over tenants.
type Spread struct {
	Tenants int     `json:"tenants"`
	Median  float64 `json:"median"`
	P90     float64 `json:"p90"`
	P99     float64 `json:"p99"`
}

// any reports whether a tenant has a value that is not zero, as far as the spread tells.
func (s Spread) any() bool { return cmp.Or(s.Median, s.P90, s.P99) != 0 }

func spreadOf(sorted []float64) Spread {
	if len(sorted) == 0 {
		return Spread{}
	}
	at := func(share float64) float64 { return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))] }
	return Spread{len(sorted), median(sorted), at(0.9), at(0.99)}
}

// spreads returns how each figure of an hour is spread over tenants.
func spreads(counts map[int64]*Counts) map[string]Spread {
	out := map[string]Spread{}
	for name, m := range spreadMeasures() {
		var values []float64
		for key, c := range counts {
			if v := m.value(c); key > lastOwnKey && v != nil {
				values = append(values, *v)
			}
		}
		slices.Sort(values)
		if s := spreadOf(values); s.any() {
			out[name] = s
		}
	}
	return out
}

// spreadMeasures are those of which a spread is kept.
func spreadMeasures() map[string]measure {
	out := map[string]measure{}
	for _, c := range Columns() {
		if c != LastSeen {
			out[c.String()] = measure{column: c}
		}
	}
	for _, name := range []string{FigureP50, FigureP95, FigureP99} {
		out[name], _ = measureOf(name) // which it is
	}
	return out
}
