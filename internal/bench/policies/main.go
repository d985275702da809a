// Policies compares ways to choose the idle connection that gives up its place, which
// package dbpool does by internal/nextuse, on nine ways in which requests spread over
// tenants:
//
//	go run ./internal/bench/policies
//
// It prints the dials for a hundred queries, of a quiet server and of a busy one. A query
// takes no time here, so a tenant has one connection at most.
package main

import (
	"fmt"
	"os"
	"text/tabwriter"
	"time"
)

func main() {
	all := append(candidates(), candidate{"optimum", func() policy { return belady{map[*tenant]time.Time{}} }})
	for _, rate := range []float64{50, 1000} {
		s := scale{tenants: 1000, budget: 90, requests: 40_000, rate: rate}
		fmt.Printf("\n%.0f queries a second, %d tenants, %d connections\n", rate, s.tenants, s.budget)
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprint(w, "\t")
		for _, c := range all {
			fmt.Fprint(w, c.name, "\t")
		}
		fmt.Fprintln(w)
		for _, l := range loads() {
			fmt.Fprint(w, l.name, "\t")
			for _, c := range all {
				fmt.Fprintf(w, "%.1f\t", 100*l.simulate(s, c.make()))
			}
			fmt.Fprintln(w)
		}
		_ = w.Flush()
	}
}
