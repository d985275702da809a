package analytics

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
)

func comparePulses(a, b *Pulse) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Instance, b.Instance))
}

// epoch is what was counted since somebody began to watch.
type epoch struct {
	number   int64
	began    time.Time
	sequence int64

	mu   sync.Mutex // guards sums
	sums map[tenancy.ID]PulseCounts
}

// add adds to the sums of a tenant.
func (e *epoch) add(id tenancy.ID, c PulseCounts) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.sums[id]
	old.Requests += c.Requests
	old.Errors += c.Errors
	old.LatencyTime = add(old.LatencyTime, c.LatencyTime)
	old.BytesOut = add(old.BytesOut, c.BytesOut)
	e.sums[id] = old
}

// pulses puts a pulse into the feed twice a second, while somebody watches.
func (rec *Recorder) pulses(ctx context.Context) {
	tick := time.NewTicker(pulseTime)
	defer tick.Stop()
	failing := false
	for {
		err := rec.Pulse(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			rec.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "analytics: the feed of live usage does not answer; reports that are watched miss this instance until it does", slog.Any("error", err))
		}
		failing = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Pulse puts what is counted now into [Options.Feed], if somebody watches. Run calls it.
func (rec *Recorder) Pulse(ctx context.Context) error {
	if rec.opts.Feed == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, silentTime)
	defer cancel()
	if err := rec.pulsing.take(ctx); err != nil {
		return err
	}
	defer rec.pulsing.give()
	watched, err := rec.opts.Feed.Watched(ctx)
	if err != nil {
		return tenancy.Wrap("analytics.Recorder.Pulse", "", err) // what is counted goes on
	}
	if !watched {
		rec.epoch.Store(nil)
		return nil
	}
	e := rec.epoch.Load()
	if e == nil {
		rec.epochs++
		e = &epoch{number: rec.epochs, began: time.Now(), sums: map[tenancy.ID]PulseCounts{}}
		rec.epoch.Store(e)
	}
	err = rec.opts.Feed.Put(ctx, rec.pulse(e))
	return tenancy.Wrap("analytics.Recorder.Pulse", "", err)
}

// pulse returns the pulse of now.
func (rec *Recorder) pulse(e *epoch) *Pulse {
	e.sequence++
	p := &Pulse{Instance: rec.id, Name: rec.opts.Instance, Epoch: e.number, Sequence: e.sequence}
	e.mu.Lock()
	p.Tenants = maps.Clone(e.sums)
	p.Uptime = time.Since(e.began)
	e.mu.Unlock()
	rec.cells.Range(func(key, value any) bool {
		c := value.(*cell)
		c.mu.Lock()
		n := c.inFlight
		c.mu.Unlock()
		if n > 0 {
			counts := p.Tenants[key.(tenancy.ID)]
			counts.InFlight = n
			p.Tenants[key.(tenancy.ID)] = counts
		}
		return true
	})
	now := ownProcess()
	p.CPU, p.RSS = now.cpu, now.rss
	return p
}
