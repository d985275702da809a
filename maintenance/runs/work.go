package runs

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// workerPrefix is what the names of the instances' leases begin with.
const workerPrefix = "worker/"

// Run works on runs until ctx ends. Then it finishes the tenants in hand, for at most
// [Options.Grace]; a tenant that is not finished by then is given back, and has not failed.
// Run also takes over the tenants of instances that died, starts the runs of schedules that
// are due, continues runs whose pause between two waves is over, and removes runs that are
// too old. While the database does not answer, it tries again and logs that. It returns nil.
//
// Any number of instances may call Run, each any number of times.
func (r *Runner) Run(ctx context.Context) error {
	// What is in hand outlives ctx by the grace.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	stop := context.AfterFunc(ctx, func() {
		if r.opts.Grace > 0 {
			select {
			case <-time.After(r.opts.Grace):
			case <-life.Done():
			}
		}
		end()
	})
	defer stop()
	var beside sync.WaitGroup
	defer beside.Wait()
	telling, stopTelling := context.WithCancel(context.WithoutCancel(ctx))
	defer stopTelling()
	ringer := newRinger(r)
	if r.opts.Bell != nil {
		beside.Go(func() { ringer.run(telling) })
		beside.Go(func() { r.wakeOnNews(telling) })
	}
	for ctx.Err() == nil {
		err := r.leases.Do(life, workerPrefix+rand.Text(), r.opts.Lease, func(held context.Context, lease *sqlkit.Lease) error {
			(&worker{r: r, lease: lease, held: held, ringer: ringer, active: map[string]bool{}, unknown: map[string]bool{}, jobs: map[string]*job{}}).serve(ctx)
			return nil
		})
		if err != nil && ctx.Err() == nil {
			r.opts.Logger.WarnContext(ctx, "runs: this instance cannot work on runs; trying again", slog.Any("error", err), slog.Duration("in", r.opts.Poll))
			wait(ctx, r.opts.Poll)
		}
	}
	return nil
}

// wait waits until the time is over or ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// worker is this instance while it holds its lease.
type worker struct {
	r      *Runner
	lease  *sqlkit.Lease
	ringer *ringer
	held   context.Context // ends when the lease does, or the grace is over
	going  context.Context // ends before: nothing begins any more
	wg     sync.WaitGroup  // what is in hand

	mu     sync.Mutex // guards active and jobs
	active map[string]bool
	jobs   map[string]*job

	unknown map[string]bool // runs that this program cannot work on
}

// serve looks for runs and works on each, until ctx or the lease ends.
func (w *worker) serve(ctx context.Context) {
	defer w.wg.Wait()
	looking, stop := context.WithCancel(w.held)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	w.going = looking
	w.r.instance.begin(w)
	defer w.r.instance.end(w)
	for looking.Err() == nil {
		if err := w.look(ctx, looking); err != nil && looking.Err() == nil {
			w.r.opts.Logger.WarnContext(ctx, "runs: cannot look for work; trying again", slog.Any("error", err), slog.Duration("in", w.r.opts.Poll))
		}
		select {
		case <-looking.Done():
		case <-w.r.wake:
		case <-time.After(w.r.opts.Poll):
		}
	}
}

// look cleans up and begins to work on each run that this instance does not work on.
func (w *worker) look(ctx, looking context.Context) error {
	err := w.r.sweep(looking)
	var rows []runRow
	for after := ""; ; { // many may be of tasks that this program does not have
		var page []runRow
		e := w.r.selects(looking, w.r.db, &page, `SELECT `+runColumns+` FROM tenancy_runs WHERE state = ? AND id > ? ORDER BY id LIMIT ?`, StateRunning, after, maxJobs)
		rows, err = append(rows, page...), errors.Join(err, e)
		if e != nil || len(page) < maxJobs {
			break
		}
		after = page[len(page)-1].ID
	}
	for _, row := range rows {
		read := w.job
		if w.r.opts.Executor != nil {
			read = w.known
		}
		j, why := read(row)
		if why != nil {
			if !w.unknown[row.ID] {
				w.r.opts.Logger.WarnContext(ctx, "runs: this program cannot work on a run, and leaves it to other instances",
					slog.String("run", row.ID), slog.String("task", row.Task), slog.Any("error", why))
			}
			w.unknown[row.ID] = true
			continue
		}
		if w.begin(row.ID) {
			w.wg.Go(func() {
				defer w.end(row.ID)
				if w.r.opts.Executor != nil {
					w.dispatch(ctx, j)
					return
				}
				w.work(ctx, w.held, j)
			})
		}
	}
	return err
}

// maxJobs is how many runs a worker remembers, and reads at once.
const maxJobs = 100

// known is job, which it asks once for each run: what it knows of a run does not change.
func (w *worker) known(row runRow) (*job, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if j := w.jobs[row.ID]; j != nil {
		return j, nil
	}
	j, err := w.job(row)
	if err != nil {
		return nil, err
	}
	if len(w.jobs) >= maxJobs {
		clear(w.jobs)
	}
	w.jobs[row.ID] = j
	return j, nil
}

// job returns what this program needs to know to work on a run, or why it cannot.
func (w *worker) job(row runRow) (*job, error) {
	run, err := row.run()
	if err != nil {
		return nil, err
	}
	j := &job{r: w.r, lease: w.lease, run: run}
	if j.scope, err = row.planner(); err != nil {
		return nil, err
	}
	if j.task, err = w.r.task(row.Task); err != nil {
		return nil, err
	}
	if _, err = w.r.completed(w.held, j.task, run.Spec.Params); err != nil {
		return nil, err
	}
	j.filter, err = w.r.parseFilter(run.Spec.Filter)
	return j, err
}

// begin reports whether nobody in this instance works on the run yet.
func (w *worker) begin(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.active[id] {
		return false
	}
	w.active[id] = true
	return true
}

func (w *worker) end(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.active, id)
}

// work takes tenants of one run and works on them, until there are none to take, the
// run does not go on, or ctx or the lease ends; and then until those in hand are
// finished. It takes a tenant only when a worker of this instance is free for it: the
// others are for other instances.
func (w *worker) work(ctx, held context.Context, job *job) {
	run := job.run
	most := min(run.Spec.Parallel, w.r.opts.Workers)
	results := make(chan outcome, most)
	var finished []outcome
	inHand, free := 0, 0 // tenants, and workers that wait for one
	more := true         // there may be more to take
	defer func() { job.summary(ctx) }()
	for {
		ending := ctx.Err() != nil || held.Err() != nil
		if more && !ending {
			free += w.r.reserve(most - inHand - free)
		}
		if ending {
			w.r.release(free)
			free = 0
		}
		asked := free
		var err error
		if asked > 0 || len(finished) > 0 {
			var claims []claim
			_, claims, err = w.r.exchange(held, w.lease, run.ID, finished, asked)
			switch {
			case err == nil:
				if len(finished)+len(claims) > 0 {
					w.ringer.changed(run.ID)
				}
				finished = finished[:0]
				if len(claims) > 0 && ctx.Err() != nil { // nothing begins any more
					finished, claims = givenBack(claims), nil
				}
			case held.Err() != nil || errors.Is(err, tenancy.ErrConflict) || errors.Is(err, tenancy.ErrNotFound):
				finished, claims = finished[:0], nil // others have the tenants, or the run is gone
			default:
				finished, claims = append(finished, givenBack(claims)...), nil
				w.r.release(free)
				free = 0
				w.r.opts.Logger.WarnContext(ctx, "runs: cannot write the results of tenants; trying again",
					slog.String("run", run.ID), slog.Int("tenants", len(finished)), slog.Any("error", err))
				wait(held, w.r.opts.Poll)
			}
			more = len(claims) == asked
			w.r.release(free - len(claims))
			free = 0
			job.readAll(held, claims)
			for _, c := range claims {
				inHand++
				go func() {
					o := job.do(held, c)
					w.r.release(1)
					results <- o
				}()
			}
			if inHand == 0 && len(finished) > 0 && held.Err() == nil {
				continue
			}
		}
		if inHand == 0 && (asked > 0 || err != nil || ending) {
			return
		}
		var line chan<- struct{} // of runs that wait for a worker
		var end, lost <-chan struct{}
		var poll <-chan time.Time
		if more && !ending && inHand < most {
			line, end = w.r.slots, ctx.Done()
			if inHand == 0 {
				lost = held.Done()
			}
		} else {
			poll = time.After(w.r.opts.Poll)
		}
		select {
		case o := <-results:
			inHand--
			finished = append(finished, o)
		case line <- struct{}{}:
			free++
			continue
		case <-end:
			continue
		case <-lost:
			continue
		case <-poll: // others may have finished some
			more = true
			continue
		}
		more = true
		for waiting := true; waiting; { // what came meanwhile goes along
			select {
			case o := <-results:
				inHand--
				finished = append(finished, o)
			default:
				waiting = false
			}
		}
	}
}

// reserve takes up to n of the workers that are free, and returns how many it took.
func (r *Runner) reserve(n int) (taken int) {
	for ; taken < n; taken++ {
		select {
		case r.slots <- struct{}{}:
		default:
			return taken
		}
	}
	return taken
}

func (r *Runner) release(n int) {
	for range n {
		<-r.slots
	}
}
