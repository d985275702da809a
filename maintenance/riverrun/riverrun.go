// Package riverrun has runs over many tenants worked on by River, the queue of jobs in
// PostgreSQL, for applications that use it already. It is a module of its own.
//
//	executor, err := riverrun.New(nil)
//	runner, err := runs.New(db, cat, &runs.Options{Tasks: tasks, Executor: executor}) // go runner.Run(ctx)
//	workers := river.NewWorkers()
//	river.AddWorker(workers, executor.Worker(runner))
//	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
//		Workers: workers, Queues: map[string]river.QueueConfig{executor.Queue(): {MaxWorkers: 16}},
//	})
//	executor.Use(client)                                            // client.Start(ctx)
//
// Plans, waves, limits, budgets, progress and results stay those of the package runs, and
// so does its promise: at least once, and never two at a time while leases hold. Each
// tenant whose turn has come is a job of River, with its queue, priority, retries, hooks
// and its page in River's UI. Runs need not be in River's database.
//
// # Failures
//
// With [Options.MaxAttempts] above 1, River tries a task that fails again, after its own
// times, up to that number of attempts; until then the tenant counts as one that is worked
// on. After the last attempt the tenant has failed, and River discards the job. The default
// is one attempt.
//
// # Shutdown and crashes
//
// Stop River's client first, which waits for jobs in hand, and then end the context of
// [runs.Runner.Run]. When a process dies, the others take over its tenants after
// [runs.Options.Lease], each in a new job. River rescues the old jobs later; they find that
// their work is somebody else's, and end. The same holds for jobs that somebody cancels,
// retries or deletes in River's UI: to stop a run, cancel the run.
package riverrun

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// Options are the options of [New].
type Options struct {
	// Queue is River's queue for the jobs. Default: "tenancy".
	Queue string
	// Priority is that of the jobs, from 1, the highest, to 4. Default: 4, so that the
	// application's own jobs come first.
	Priority int
	// MaxAttempts is how often River tries a tenant before it has failed. Default: 1.
	MaxAttempts int
	// Snooze is how long a job waits that came to a process which does not work on its
	// run. Default: 1 second.
	Snooze time.Duration
}

func (o *Options) complete() error {
	if o.Queue == "" {
		o.Queue = "tenancy"
	}
	for _, d := range []struct {
		what      string
		value     *int
		otherwise int
		most      int
	}{{"Priority", &o.Priority, 4, 4}, {"MaxAttempts", &o.MaxAttempts, 1, 1000}} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
		if *d.value < 0 || *d.value > d.most {
			return fmt.Errorf("%w: %s %d, want 1 to %d", tenancy.ErrInvalid, d.what, *d.value, d.most)
		}
	}
	if o.Snooze == 0 {
		o.Snooze = time.Second
	}
	if o.Snooze < 0 {
		return fmt.Errorf("%w: Snooze %v", tenancy.ErrInvalid, o.Snooze)
	}
	return nil
}

// Job is what a job's arguments are: one tenant of a run.
type Job struct {
	runs.Ticket
}

// Kind implements [river.JobArgs].
func (Job) Kind() string { return "tenancy_run" }

// Client inserts and lists jobs: a *river.Client of any driver.
type Client interface {
	InsertMany(ctx context.Context, params []river.InsertManyParams) ([]*rivertype.JobInsertResult, error)
	JobList(ctx context.Context, params *river.JobListParams) (*river.JobListResult, error)
}

// Executor is a [runs.Executor] whose jobs are River's. Its methods may be called by many
// goroutines at once.
type Executor struct {
	opts   Options
	client atomic.Pointer[Client]
}

// New returns an executor. Malformed options are an error that wraps [tenancy.ErrInvalid].
func New(opts *Options) (*Executor, error) {
	e := &Executor{}
	if opts != nil {
		e.opts = *opts
	}
	if err := e.opts.complete(); err != nil {
		return nil, tenancy.Wrap("riverrun.New", "", err)
	}
	return e, nil
}

// Queue returns the name of River's queue for the jobs. At least one client must work on
// it.
func (e *Executor) Queue() string { return e.opts.Queue }

// Use names the client by which jobs are inserted. Before, and with nil, runs wait.
func (e *Executor) Use(client Client) {
	if client == nil {
		e.client.Store(nil)
		return
	}
	e.client.Store(&client)
}

// Execute implements [runs.Executor].
func (e *Executor) Execute(ctx context.Context, batch []runs.Ticket) error {
	const op = "riverrun.Executor.Execute"
	client := e.client.Load()
	if client == nil {
		return tenancy.Wrap(op, "", errNoClient())
	}
	params := make([]river.InsertManyParams, len(batch))
	for i, ticket := range batch {
		params[i] = river.InsertManyParams{Args: Job{ticket}, InsertOpts: &river.InsertOpts{
			Queue: e.opts.Queue, Priority: e.opts.Priority, MaxAttempts: e.opts.MaxAttempts,
		}}
	}
	_, err := (*client).InsertMany(ctx, params)
	return tenancy.Wrap(op, "", unavailable(err))
}

// Check returns an error that wraps [tenancy.ErrUnavailable] if River's database does not answer, or [Executor.Use]
// was not called: tenants of runs then wait. It asks for one job.
func (e *Executor) Check(ctx context.Context) error {
	const op = "riverrun.Executor.Check"
	client := e.client.Load()
	if client == nil {
		return tenancy.Wrap(op, "", errNoClient())
	}
	_, err := (*client).JobList(ctx, river.NewJobListParams().Kinds(Job{}.Kind()).Queues(e.opts.Queue).First(1))
	return tenancy.Wrap(op, "", unavailable(err))
}

func errNoClient() error {
	return fmt.Errorf("%w: no client of River; call Use", tenancy.ErrUnavailable)
}

// unavailable names an error of River's.
func unavailable(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: River: %w", tenancy.ErrUnavailable, err)
}

// waiting are the states of jobs that no process works on.
var waiting = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateScheduled, rivertype.JobStateRetryable,
}

// jobPage is how many jobs are listed at a time.
const jobPage = 1000

// Waiting implements [runs.Waiter]. Jobs that a process has taken from the queue and not
// begun with are not among those that wait: River finds only after a long time that the
// process has died.
func (e *Executor) Waiting(ctx context.Context, tickets []runs.Ticket) (out []runs.Ticket, err error) {
	const op = "riverrun.Executor.Waiting"
	client := e.client.Load()
	if client == nil {
		return nil, tenancy.Wrap(op, "", errNoClient())
	}
	asked := make(map[runs.Ticket]bool, len(tickets))
	for _, ticket := range tickets {
		asked[ticket] = true
	}
	params := river.NewJobListParams().Kinds(Job{}.Kind()).Queues(e.opts.Queue).States(waiting...).First(jobPage)
	for {
		page, err := (*client).JobList(ctx, params)
		if err != nil {
			return nil, tenancy.Wrap(op, "", unavailable(err))
		}
		for _, row := range page.Jobs {
			var job Job
			if json.Unmarshal(row.EncodedArgs, &job) == nil && asked[job.Ticket] {
				out = append(out, job.Ticket)
			}
		}
		if len(page.Jobs) < jobPage {
			return out, nil
		}
		params = params.After(page.LastCursor)
	}
}

// Worker returns what works on the jobs, for [river.AddWorker]. The runner must have this
// executor, and its Run must be running.
func (e *Executor) Worker(r *runs.Runner) river.Worker[Job] {
	return &worker{runner: r, snooze: e.opts.Snooze}
}

type worker struct {
	river.WorkerDefaults[Job]
	runner *runs.Runner
	snooze time.Duration
}

// Timeout implements [river.Worker]: the run has a time limit of its own.
func (w *worker) Timeout(*river.Job[Job]) time.Duration { return -1 }

// Work implements [river.Worker].
func (w *worker) Work(ctx context.Context, job *river.Job[Job]) error {
	state, err := w.runner.Do(ctx, job.Args.Ticket, job.Attempt < job.MaxAttempts)
	switch {
	case state == runs.TenantFailed, state == runs.TenantWorking:
		return err // River keeps it, and tries again or discards the job
	case state == "" && !errors.Is(err, tenancy.ErrConflict):
		return river.JobSnooze(w.snooze) // another process may work on the run, or this one later
	}
	return nil
}
