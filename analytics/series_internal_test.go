package analytics

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
)

// The points of a series are made of rows that are still there, and of the shortest of these.
func TestSeriesReadsWhatIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source, reports := newAsked(t)
		random := rand.New(rand.NewPCG(1, 2))
		now := time.Now().UTC()
		for range 300 {
			p, points := somePeriod(random, now), 1+random.IntN(200)
			got, err := reports.Series(t.Context(), tenancy.AllTenants(), &SeriesRequest{Names: []string{"requests"}, Period: p, Points: points})
			if err != nil {
				t.Fatal(err)
			}
			q := source.sums[len(source.sums)-1]
			row := fineOf(now.Sub(q.Period.From))
			if got.Fine != row || q.Step != row || got.Step != max(stepOf(p, points), row) || got.Step%row != 0 {
				t.Fatalf("%v ago to %v ago: got steps of %v of rows of %v, want of %v", now.Sub(p.From), now.Sub(p.To), got.Step, q.Step, row)
			}
			if got.Period.From.After(p.From) || p.From.Sub(got.Period.From) >= got.Step || got.Period.To.Before(p.To) || !got.Period.From.Truncate(got.Step).Equal(got.Period.From) {
				t.Fatalf("%+v: got %+v by %v, want it in whole steps", p, got.Period, got.Step)
			}
			page, err := reports.Tenants(t.Context(), tenancy.AllTenants(), &TenantsRequest{Period: p, Spark: []Column{Requests}})
			if err != nil {
				t.Fatal(err)
			}
			q = source.sums[len(source.sums)-1]
			if row = fineOf(now.Sub(q.Period.From)); q.Step != page.SparkStep || q.Step != max(stepOf(page.Period, sparkSize), row) || len(page.Tenants[0].Spark["requests"]) > sparkSize+1 {
				t.Fatalf("%v ago to %v ago: got short series of %v in steps of %v, want rows of %v", now.Sub(p.From), now.Sub(p.To), page.Tenants[0].Spark, q.Step, row)
			}
		}
	})
}
