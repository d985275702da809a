//go:build unix

package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy/internal/bench"
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
	s.p50, s.p99 = bench.Percentile(t.times, 50), bench.Percentile(t.times, 99)
	return s
}

// The figures of a sample.
func requests(s sample) float64 { return float64(s.requests) }
func rate(s sample) float64     { return s.rate }
func failed(s sample) float64   { return s.errors }
func p50(s sample) float64      { return float64(s.p50) }
func p99(s sample) float64      { return float64(s.p99) }

// middle returns the median of a figure over the rounds.
func middle(rounds []sample, figure func(sample) float64) float64 {
	return bench.Median(values(rounds, figure))
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

// ratio prints how a figure of some rounds compares with that of others.
func ratio(rounds, others []sample, figure func(sample) float64) string {
	return bench.Ratio(values(rounds, figure), values(others, figure))
}
