//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// errWrongTenant says that a tenant got the answer of another.
var errWrongTenant = errors.New("wrong tenant")

// window is the time in which a run counts.
type window struct{ from, to time.Time }

// window returns that of a run that begins now.
func (c *config) window() window {
	from := time.Now().Add(c.warm)
	return window{from, from.Add(c.length)}
}

func (w window) holds(t time.Time) bool { return !t.Before(w.from) && t.Before(w.to) }

// tally collects what became of the requests of a run.
type tally struct {
	window window

	mu       sync.Mutex // guards what follows
	answered int        // within the window
	times    []time.Duration
	failed   int
	wrong    error // errWrongTenant, if that happened
}

// add counts a request. Its time is of interest if it began in the window, and
// its answer counts for the rate if it came within the window.
func (t *tally) add(began, ended time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if errors.Is(err, errWrongTenant) {
		t.wrong = err
	}
	if err == nil && t.window.holds(ended) {
		t.answered++
	}
	switch {
	case !t.window.holds(began):
	case err != nil:
		t.failed++
	default:
		t.times = append(t.times, ended.Sub(began))
	}
}

// sample is what one run measured.
type sample struct {
	requests int           // that began in the window
	rate     float64       // answers per second
	errors   float64       // share of the requests
	p50, p99 time.Duration // of those that were answered
	note     string
}

// end returns why what was measured is worth nothing, if so.
func (t *tally) end(ctx context.Context) error {
	if t.wrong != nil {
		return t.wrong
	}
	return ctx.Err()
}

// sample sums up, when all requests have ended.
func (t *tally) sample() sample {
	s := sample{rate: float64(t.answered) / t.window.to.Sub(t.window.from).Seconds()}
	if s.requests = len(t.times) + t.failed; s.requests > 0 {
		s.errors = float64(t.failed) / float64(s.requests)
	}
	s.p50, s.p99 = percentile(t.times, 50), percentile(t.times, 99)
	return s
}

// percentile returns the least time that p percent of the times do not exceed,
// or 0 if there are none. It sorts them.
func percentile(times []time.Duration, p int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[(len(times)*p+99)/100-1]
}

// The figures of a sample.
func requests(s sample) float64 { return float64(s.requests) }
func rate(s sample) float64     { return s.rate }
func failed(s sample) float64   { return s.errors }
func p50(s sample) float64      { return float64(s.p50) }
func p99(s sample) float64      { return float64(s.p99) }

// middle returns the median of a figure over the rounds.
func middle(rounds []sample, figure func(sample) float64) float64 {
	return median(values(rounds, figure))
}

// middleTime is middle for a time, to be printed.
func middleTime(rounds []sample, figure func(sample) float64) time.Duration {
	return time.Duration(middle(rounds, figure)).Round(100 * time.Microsecond)
}

func values(rounds []sample, figure func(sample) float64) []float64 {
	list := make([]float64, len(rounds))
	for i, s := range rounds {
		list[i] = figure(s)
	}
	return list
}

// median of a list that is not empty.
func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	half := len(list) / 2
	if len(list)%2 == 1 {
		return list[half]
	}
	return (list[half-1] + list[half]) / 2
}

// ratio prints how a figure of some rounds compares with that of as many others,
// each with the one of the same round: "2.09x", or "2.09x (1.95 to 2.20)" when
// there are several.
func ratio(rounds, others []sample, figure func(sample) float64) string {
	list := values(rounds, figure)
	for i, s := range others {
		list[i] /= figure(s)
	}
	text := fmt.Sprintf("%.2fx", median(list))
	if len(list) > 1 {
		text += fmt.Sprintf(" (%.2f to %.2f)", slices.Min(list), slices.Max(list))
	}
	return text
}
