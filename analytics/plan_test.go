package analytics

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Months are read where they are whole and there are sums of them, and nothing is read twice or not at all.
func TestWithMonths(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
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
