package analytics

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
)

// How hours are spread is worked out of some hours at a time, to the same.
func TestSpreadInPieces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source, reports := newAsked(t)
		random := rand.New(rand.NewPCG(1, 2))
		now := time.Now().UTC()
		p := Period{now.Add(-7*day - 90*time.Minute), now}
		var parts []Part
		for i := range 2000 {
			part := Part{Tenant: tenancy.ID([]string{"acme", "globex", "initech"}[i%3]), Start: now.Add(-time.Duration(random.IntN(8*24*60)) * time.Minute).Truncate(time.Minute), Source: int64(i), Revision: 1}
			part.Counts.Values[Requests] = int64(random.IntN(100))
			part.Counts.Latency.Observe(time.Duration(random.IntN(1000)) * time.Millisecond)
			parts = append(parts, part)
		}
		if _, err := source.Write(t.Context(), &Batch{Parts: parts}); err != nil {
			t.Fatal(err)
		}
		scope := tenancy.ByIDs("acme", "globex", "initech")
		got, err := reports.Spread(t.Context(), scope, []string{"requests", FigureP95}, p)
		if err != nil {
			t.Fatal(err)
		}
		at := got.Period.From
		for _, q := range source.sums {
			if length := q.Period.To.Sub(q.Period.From); !q.Period.From.Equal(at) || length <= 0 || length > 6*time.Hour {
				t.Errorf("got a query of %+v, want one from %v on, of a few hours", q.Period, at)
			}
			at = q.Period.To
		}
		if !at.Equal(got.Period.To) {
			t.Errorf("got it up to %v, want %v", at, got.Period.To)
		}
		rows, err := source.Memory.Sum(t.Context(), &SumQuery{Scope: scope, Period: got.Period, Step: time.Hour, ByTenant: true, Latency: true})
		if err != nil {
			t.Fatal(err)
		}
		hours := map[time.Time]map[tenancy.ID]*Counts{}
		for i := range rows {
			if hours[rows[i].Start] == nil {
				hours[rows[i].Start] = map[tenancy.ID]*Counts{}
			}
			hours[rows[i].Start][rows[i].Tenant] = &rows[i].Counts
		}
		for name, points := range got.Series {
			m, err := measureOf(name)
			if err != nil {
				t.Fatal(err)
			}
			found := map[time.Time]Spread{}
			for i, point := range points {
				found[point.At] = point.Spread
				if i > 0 && !points[i-1].At.Before(point.At) {
					t.Errorf("%s: got %v behind %v", name, point.At, points[i-1].At)
				}
			}
			for hour := got.Period.From; hour.Before(got.Period.To); hour = hour.Add(time.Hour) {
				want := spreadOf(m.sorted(hours[hour]))
				if !want.any() {
					want = Spread{}
				}
				if found[hour] != want {
					t.Errorf("%s at %v: got %+v, want %+v", name, hour, found[hour], want)
				}
			}
		}
	})
}
