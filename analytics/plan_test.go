package analytics

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
)

// asked is a source that notes which sums it is asked for.
type asked struct {
	*Memory
	sums []SumQuery
}

func (a *asked) Sum(ctx context.Context, q *SumQuery) ([]SumRow, error) {
	a.sums = append(a.sums, *q)
	return a.Memory.Sum(ctx, q)
}

func newAsked(t *testing.T) (*asked, *Reports) {
	t.Helper()
	store, err := NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	source := &asked{Memory: store}
	reports, err := NewReports(source, &ReportsOptions{Share: -1})
	if err != nil {
		t.Fatal(err)
	}
	acme := &tenancy.Tenant{ID: "acme", Slug: "acme", Name: "acme"}
	if _, err := store.Write(t.Context(), &Batch{Tenants: []*tenancy.Tenant{acme}, Instance: Instance{ID: 1, Recorded: Columns()}}); err != nil {
		t.Fatal(err)
	}
	return source, reports
}

// somePeriod returns a period that ends up to 150 days ago, many of them at a bound of what is kept.
func somePeriod(random *rand.Rand, now time.Time) Period {
	age := []time.Duration{48 * time.Hour, 49 * time.Hour, 100 * day, time.Duration(random.Int64N(int64(150 * day))), time.Duration(random.Int64N(int64(72 * time.Hour)))}[random.IntN(5)]
	length := time.Duration(random.Int64N(int64([]time.Duration{10 * time.Minute, 6 * time.Hour, 3 * day, 60 * day}[random.IntN(4)]))) + time.Minute
	from := now.Add(-age - time.Duration(random.Int64N(int64(2*time.Hour))) + time.Hour)
	if to := from.Add(length); to.Before(now) {
		return Period{from, to}
	}
	return Period{now.Add(-length), now}
}

// Months are read where they are whole and there are sums of them, and nothing is read twice or not at all.
func TestWithMonths(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	first := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 5000 {
		from := first.Add(time.Duration(random.IntN(800)) * day)
		to := from.Add(time.Duration(1+random.IntN(500)) * day)
		done := monthOf(first.Add(time.Duration(random.IntN(1300)) * day))
		before := piece{table: hoursTable, from: from.Add(-time.Hour), to: from}
		got := withMonths([]piece{before, {table: daysTable, from: from, to: to}}, done)
		if got[0] != before {
			t.Fatalf("got %+v, want hours as they were", got[0])
		}
		at, months := from, 0
		for _, p := range got[1:] {
			if !p.from.Equal(at) || !p.from.Before(p.to) {
				t.Fatalf("%v to %v, months up to %v: got %+v, want pieces one behind the other", from, to, done, got)
			}
			if p.span == spanMonth {
				months++
				if !monthOf(p.from).Equal(p.from) || !p.from.AddDate(0, 1, 0).Equal(p.to) || p.to.After(done) {
					t.Fatalf("months up to %v: got %+v, want a whole month", done, p)
				}
			}
			at = p.to
		}
		whole := 0
		for m := first; m.Before(to); m = m.AddDate(0, 1, 0) {
			if next := m.AddDate(0, 1, 0); !m.Before(from) && !next.After(to) && !next.After(done) {
				whole++
			}
		}
		if !at.Equal(to) || months != whole {
			t.Fatalf("%v to %v, months up to %v: got %+v, want %d months", from, to, done, got, whole)
		}
	}
}

// A period is read from one row to another, of tables that still have them, and nothing of it is left out.
func TestPlanOfOldPeriods(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	now := time.Date(2026, 3, 4, 12, 26, 21, 0, time.UTC)
	state := &State{Now: now, Minutes: now.Truncate(time.Minute), Hours: now.Truncate(time.Hour), Days: now.Truncate(day)}
	for range 5000 {
		p, step := somePeriod(random, now), time.Duration(0)
		if age := now.Sub(p.From); random.IntN(2) == 0 {
			step = fineOf(age + time.Hour)
		}
		pieces := plan(p, step, state)
		if first, last := pieces[0].from, pieces[len(pieces)-1].to; first.After(p.From) || last.Before(p.To) || p.From.Sub(first) >= fineOf(now.Sub(p.From.Truncate(time.Minute))) || last.Sub(p.To) >= fineOf(now.Sub(p.To)) {
			t.Fatalf("%v ago to %v ago: got %v ago to %v ago", now.Sub(p.From), now.Sub(p.To), now.Sub(first), now.Sub(last))
		}
		read := plan(state.read(p), step, state)
		if got := state.read(p); !read[0].from.Equal(got.From.Truncate(time.Minute)) || !read[len(read)-1].to.Equal(ceil(got.To, time.Minute)) {
			t.Fatalf("%+v: got %v to %v read, want %+v", p, read[0].from, read[len(read)-1].to, got)
		}
		for i, piece := range pieces {
			if i > 0 && !piece.from.Equal(pieces[i-1].to) || !piece.from.Before(piece.to) {
				t.Fatalf("%+v: got %+v, want pieces one behind the other", p, pieces)
			}
			if age := now.Sub(piece.from); piece.table == hoursTable && age >= hoursStay || piece.table.row < time.Hour && age >= minutesStay {
				t.Fatalf("%v ago to %v ago: got %s of %v ago, which has no rows of then", now.Sub(p.From), now.Sub(p.To), piece.table.name, now.Sub(piece.from))
			}
		}
	}
}
