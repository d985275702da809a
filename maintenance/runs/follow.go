package runs

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"time"

	"github.com/artflow-studio/tenancy"
)

// retagEvery is how often whoever follows a run in a scope of tags reads the tags of its tenants.
const retagEvery = 10 * time.Second

// Follow yields the progress of a run: at once, then whenever it changes, and last when
// the run has ended (see [State.Ended]). Any process may follow any run. It sees changes at
// once with [Options.Bell], and otherwise within [Options.Poll]. In a scope of tags, it sees
// within ten seconds that a tenant's tags change. While the database does not answer, Follow
// yields the error and tries again until the caller leaves the loop. When the run does not
// exist or ctx ends, it yields that error and ends.
func (r *Runner) Follow(ctx context.Context, id string) iter.Seq2[Progress, error] {
	return func(yield func(Progress, error) bool) {
		heard, leave := r.instance.ears.join(r, id)
		defer leave()
		var meter meter
		var last *Run
		latest := int64(0)
		var told *news
		var retagged time.Time
		for {
			retag := time.Since(retagged) >= retagEvery
			run, at, asked, err := r.look(ctx, id, last, told, retag)
			if retag && err == nil {
				retagged = time.Now()
			}
			switch {
			case ctx.Err() != nil:
				yield(Progress{}, ctx.Err())
				return
			case errors.Is(err, tenancy.ErrNotFound):
				yield(Progress{}, wrap("runs.Runner.Follow", "", err))
				return
			case err != nil:
				if !yield(Progress{}, wrap("runs.Runner.Follow", "", err)) {
					return
				}
			case !asked && at < latest: // a message that was overtaken
			default:
				changed := last == nil || run.State != last.State || run.Reason != last.Reason || run.Wave != last.Wave || run.Counts != last.Counts
				last, latest = run, cmp.Or(at, latest)
				if changed && !yield(meter.progress(run, time.Now()), nil) || run.State.Ended() {
					return
				}
			}
			told = r.hear(ctx, heard)
		}
	}
}

// look returns how a run stands and when that was so, by the database's clock, or 0. It takes
// that from the message, if there is one, and otherwise asks the database. A runner whose
// scope is a part of the tenants always asks: messages count all tenants. With retag it goes by
// the present tags of the tenants, and otherwise by those that were seen last.
func (r *Runner) look(ctx context.Context, id string, last *Run, told *news, retag bool) (run *Run, at int64, asked bool, err error) {
	if last == nil || !r.scope.IsAll() {
		if retag {
			run, err = r.seen(ctx, id)
		} else {
			run, err = r.read(ctx, r.db, id)
		}
		return run, 0, true, err
	}
	if asked = told == nil || told.Run == ""; asked {
		if told, err = r.newsOf(ctx, id); err != nil {
			return nil, 0, true, err
		}
		if told == nil {
			return nil, 0, true, tenancy.ErrNotFound
		}
	}
	return told.apply(last), told.At, asked, nil
}

// hear waits for news, or until it is time to ask the database.
func (r *Runner) hear(ctx context.Context, heard chan *news) *news {
	every := r.opts.Poll
	if heard != nil && r.instance.ears.hears() {
		every *= quietPolls
	}
	t := time.NewTimer(every)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-t.C:
		return nil
	case n := <-heard:
		return n
	}
}

// meter says how fast a run goes, by what it sees of it.
type meter struct {
	at       time.Time
	finished int
	rate     float64
}

// window is the time over which the rate is smoothed.
const window = 10 * time.Second

func (m *meter) progress(run *Run, now time.Time) Progress {
	n := run.Finished()
	passed := now.Sub(m.at).Seconds()
	switch {
	case m.at.IsZero() || run.State != StateRunning || n < m.finished:
		m.at, m.finished = now, n
	case passed > 0:
		rate := float64(n-m.finished) / passed
		weight := min(1, passed/window.Seconds())
		if m.rate == 0 {
			weight = 1
		}
		m.rate += weight * (rate - m.rate)
		m.at, m.finished = now, n
	}
	p := Progress{Run: *run, Rate: m.rate}
	if rest := run.Total - n; m.rate > 0 && rest > 0 {
		p.Left = time.Duration(float64(rest) / m.rate * float64(time.Second))
	}
	return p
}
