package analytics

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
)

// A period and the one before adjoin, are of one length, and are made of whole rows that are still there.
func TestPeriodsAdjoin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source, reports := newAsked(t)
		random := rand.New(rand.NewPCG(1, 2))
		now := time.Now().UTC().Truncate(time.Hour).Add(26*time.Minute + 21*time.Second)
		time.Sleep(time.Until(now))
		state := &State{Now: now, Minutes: now.Truncate(time.Minute), Hours: now.Truncate(time.Hour), Days: now.Truncate(day)}
		for range 1000 {
			p := somePeriod(random, now)
			source.sums = nil
			got, err := reports.ComparePeriods(t.Context(), tenancy.AllTenants(), &SeriesRequest{Names: []string{"requests"}, Period: p})
			if err != nil {
				t.Fatal(err)
			}
			if source.sums[0].Period != got.Period || source.sums[1].Period != got.Before {
				t.Fatalf("got %+v, want the periods that were read, %+v and %+v", got, source.sums[0].Period, source.sums[1].Period)
			}
			if !got.Before.To.Equal(got.Period.From) || got.Before.To.Sub(got.Before.From) != got.Period.To.Sub(got.Period.From) {
				t.Fatalf("%+v: got %+v and %+v, want them to adjoin and to be of one length", p, got.Period, got.Before)
			}
			for _, p := range []Period{got.Period, got.Before} {
				pieces := plan(p, 0, state)
				if first, last := pieces[0].from, pieces[len(pieces)-1].to; !first.Equal(p.From) || !last.Equal(p.To) {
					t.Fatalf("%v ago to %v ago: what is read is from %v to %v ago", now.Sub(p.From), now.Sub(p.To), now.Sub(first), now.Sub(last))
				}
			}
		}
		// The day before is read by the minute, so that it is no longer than the last one.
		got, err := reports.ComparePeriods(t.Context(), tenancy.AllTenants(), &SeriesRequest{Names: []string{"requests"}})
		if err != nil || got.Before.To.Sub(got.Before.From) > day+time.Minute || got.Period.To.Before(now) {
			t.Errorf("got %+v, %v, want days", got, err)
		}
	})
}
