package analytics

import (
	"log/slog"
	"time"
)

// maxOffset is how far a clock may differ from the store's without a word.
const maxOffset = 2 * time.Second

// setClock takes over the store's clock, which said now between asked and the
// present.
func (rec *Recorder) setClock(now, asked time.Time) {
	if now.IsZero() {
		return
	}
	middle := asked.Add(time.Since(asked) / 2)
	offset := now.Sub(middle.Round(0))
	for {
		old := rec.clock.Load()
		was := time.Duration(old.offset) * time.Microsecond
		if (offset - was).Abs() < 100*time.Millisecond {
			return // within what asking takes
		}
		if rec.clock.CompareAndSwap(old, &clock{offset.Microseconds(), old.at}) {
			break
		}
	}
	if offset.Abs() > maxOffset {
		rec.opts.Logger.Warn("analytics: this instance's clock differs from the usage store's; usage is counted by the store's", slog.Duration("ahead", -offset))
	}
}

// micros returns the time in microseconds since 1970, by the store's clock.
func (rec *Recorder) micros(t time.Time) int64 { return t.UnixMicro() + rec.clock.Load().offset }

// moment returns where a count of now belongs. Time does not go back within a
// source: a row that was written and forgotten must not be begun again. So the
// caller holds the lock of the cell that it counts in. A clock that goes back by minutes
// begins another source.
func (rec *Recorder) moment(now time.Time) moment {
	for {
		c := rec.clock.Load()
		m := (now.UnixMicro() + c.offset) / minute
		switch {
		case m == c.at.minute || m == c.at.minute-1: // or a request that was slow to get here
			return c.at
		case m > c.at.minute:
			if next := (moment{m, c.at.source}); rec.clock.CompareAndSwap(c, &clock{c.offset, next}) {
				return next
			}
		default:
			if next := (moment{m, newSource()}); rec.clock.CompareAndSwap(c, &clock{c.offset, next}) {
				return next
			}
		}
	}
}
