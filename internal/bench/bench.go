// Package bench has what the programs in its subfolders share: rounds, in which
// each side of a measurement has its turn, and figures over them.
package bench

import (
	"fmt"
	"slices"
	"time"
)

// Interleave calls run for each name, as often as there are rounds: what else the
// machine does hits all of them. It ends with the first error.
func Interleave(rounds int, names []string, run func(round int, name string) error) error {
	for round := range rounds {
		for _, name := range names {
			if err := run(round, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// Percentile returns the least time that p percent of the times do not exceed,
// or 0 if there are none. It sorts them.
func Percentile(times []time.Duration, p int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[(len(times)*p+99)/100-1]
}

// Median returns the median of a list that is not empty.
func Median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	half := len(list) / 2
	if len(list)%2 == 1 {
		return list[half]
	}
	return (list[half-1] + list[half]) / 2
}

// Ratio prints how a figure of some rounds compares with that of as many others,
// each with the one of the same round: "2.09x", or "2.09x (1.95 to 2.20)" when
// there are several.
func Ratio(rounds, others []float64) string {
	list := slices.Clone(rounds)
	for i, other := range others {
		list[i] /= other
	}
	text := fmt.Sprintf("%.2fx", Median(list))
	if len(list) > 1 {
		text += fmt.Sprintf(" (%.2f to %.2f)", slices.Min(list), slices.Max(list))
	}
	return text
}

// Spread prints the median, and the least and the greatest if they differ.
func Spread(list []float64) string {
	text := fmt.Sprintf("%.0f", Median(list))
	if lo, hi := slices.Min(list), slices.Max(list); lo != hi {
		text += fmt.Sprintf(" (%.0f to %.0f)", lo, hi)
	}
	return text
}
