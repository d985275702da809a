package main

import (
	"slices"
	"testing"
)

// The policy of dbpool dials at most a tenth more than the best of all on every load.
// Each of the others is far from the best on some.
func TestNextUseIsNearTheBestOnEveryLoad(t *testing.T) {
	t.Parallel()
	s := scale{tenants: 150, budget: 15, requests: 5000, rate: 500}
	for _, l := range loads() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			var dials []float64
			for _, c := range candidates() {
				dials = append(dials, l.simulate(s, c.make()))
			}
			if best := slices.Min(dials); dials[0] > 1.1*best {
				t.Errorf("got %.3f dials for each query, want at most a tenth more than %.3f", dials[0], best)
			}
		})
	}
}
