package runs

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/logs"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// Catalog is what a [Runner] needs of the record of tenants. A *catalog.Catalog is
// one. Give it the catalog itself and not a cache: what is read decides whether a
// tenant is worked on.
type Catalog interface {
	tenancy.Finder
	// List returns a page of the tenants that the filter selects, in its order.
	List(ctx context.Context, f tenancy.Filter) ([]*tenancy.Tenant, error)
}

// Tasks are the tasks that a program can do, by name: 1 to 64 lower-case letters,
// digits and hyphens.
type Tasks map[string]tenancy.Task

// Options are the options of [New].
type Options struct {
	// Tasks are the tasks that this program can plan and do. Programs that only
	// follow and control runs need none. Default: none.
	Tasks Tasks
	// Schedules are the runs that are due again and again. Default: none.
	Schedules []Schedule
	// Selector evaluates filters, for conditions that the catalog does not know, such
	// as usage; Fields are those that it adds. What it chooses is read again from the
	// catalog, and the catalog's conditions are checked there; the Selector's are not
	// checked again when a tenant's turn comes. Default: the catalog.
	Selector tenancy.Selector
	Fields   []tenancy.Field
	// Workers is how many tenants this instance works on at a time, in all runs together.
	// Default: 16.
	Workers int
	// Context makes the context that tasks get, for example dbpool.LowPriority, so that
	// requests come first. Default: the context as it is.
	Context func(context.Context) context.Context
	// Executor hands the work on tenants to the application's own engine for jobs. All
	// instances that work on the same runs should have the same one. Default: each instance
	// works on the tenants that it has claimed, in goroutines of its own.
	Executor Executor
	// Queued is how long the executor may take to begin with a tenant, or to begin again.
	// Then the tenant gets a new ticket, unless the executor is a [Waiter], which is asked
	// instead. An instance without an executor gives back what other instances' executors,
	// or that of an earlier version of the program, have had for that time. Default: 1 hour.
	Queued time.Duration
	// Bell carries news of runs to other processes at once, for [Runner.Follow] and for
	// instances that wait for work; see maintenance/runredis. Default: none; then they
	// look every Poll.
	Bell Bell
	// Poll is how often an instance looks for work that it has not heard of, and
	// [Runner.Follow] for progress. Default: 1 second.
	Poll time.Duration
	// Lease is how long a tenant is kept from others after the instance that
	// works on it has died. Default: 15 seconds.
	Lease time.Duration
	// Grace is how long tasks go on after the context of [Runner.Run] has ended,
	// before theirs ends, too. Negative: not at all. Default: 30 seconds.
	Grace time.Duration
	// PlanTTL is how long a plan can be started. Default: 15 minutes.
	PlanTTL time.Duration
	// Retention is how long a run is kept after it ended. Negative: forever.
	// Default: 90 days.
	Retention time.Duration
	// Audit records plans, starts, pauses, resumes, cancellations and retries, in the
	// transactions that make them. It must write to the same database through the same
	// *sql.DB; see [tenancy.CheckAuditor]. Default: none.
	Audit tenancy.Auditor
	// Logger records failures. Default: [slog.Default], asked at each message.
	Logger *slog.Logger
}

func (o *Options) complete() error {
	for _, d := range []struct {
		what      string
		value     *time.Duration
		otherwise time.Duration
		off       bool // negative is allowed
	}{
		{"Poll", &o.Poll, time.Second, false}, {"Lease", &o.Lease, 15 * time.Second, false}, {"Queued", &o.Queued, time.Hour, false}, {"Grace", &o.Grace, 30 * time.Second, true},
		{"PlanTTL", &o.PlanTTL, 15 * time.Minute, false}, {"Retention", &o.Retention, 90 * 24 * time.Hour, true},
	} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
		if *d.value < 0 && !d.off {
			return fmt.Errorf("%w: %s %v", tenancy.ErrInvalid, d.what, *d.value)
		}
	}
	if o.Workers == 0 {
		o.Workers = 16
	}
	if o.Workers < 0 {
		return fmt.Errorf("%w: %d workers", tenancy.ErrInvalid, o.Workers)
	}
	if o.Context == nil {
		o.Context = func(ctx context.Context) context.Context { return ctx }
	}
	o.Logger = logs.Or(o.Logger)
	o.Tasks = maps.Clone(o.Tasks)
	for name, task := range o.Tasks {
		if err := validateTaskName(name); err != nil {
			return err
		}
		if task.Do == nil {
			return fmt.Errorf("%w: task %q has no function Do", tenancy.ErrInvalid, name)
		}
	}
	return nil
}

func validateTaskName(name string) error {
	ok := len(name) > 0 && len(name) <= 64
	for _, c := range []byte(name) {
		ok = ok && ('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-')
	}
	if !ok {
		return fmt.Errorf("%w: task %.80q, want a-z, 0-9 and -", tenancy.ErrInvalid, name)
	}
	return nil
}

// Runner plans runs, works on them, and reports their progress. Its methods may be
// called by many goroutines and by many processes at once.
type Runner struct {
	db      *sqlx.DB
	dialect sqlkit.Dialect
	catalog Catalog
	leases  *sqlkit.Leases
	opts    Options
	scope   tenancy.Scope

	instance   *instance
	timetables []*timetable // of the schedules, in order of their names

	wake  chan struct{} // tells Run that there is something to do
	slots chan struct{} // one for each tenant that is worked on
}

// New returns a runner that keeps runs in db, in tables that [Runner.Migrate] makes;
// the database of the catalog is the right place. Missing arguments and malformed
// options are errors that wrap [tenancy.ErrInvalid]. The caller keeps db, and closes
// it. Tasks are done while [Runner.Run] runs, in this process or another.
func New(db *sqlx.DB, c Catalog, opts *Options) (*Runner, error) {
	const op = "runs.New"
	r := &Runner{db: db, catalog: c, scope: tenancy.AllTenants(), wake: make(chan struct{}, 1), instance: new(instance)}
	if opts != nil {
		r.opts = *opts
	}
	if db == nil || c == nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: want a database and a catalog", tenancy.ErrInvalid))
	}
	err := r.opts.complete()
	if err == nil {
		r.leases, err = sqlkit.NewLeases(db, leaseTable)
	}
	if err == nil {
		r.dialect, err = sqlkit.FromDriver(db.DriverName())
	}
	if err == nil && r.opts.Audit != nil {
		err = tenancy.CheckAuditor(r.opts.Audit, db.DB)
	}
	if err == nil {
		err = r.readSchedules()
	}
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	r.slots = make(chan struct{}, r.opts.Workers)
	return r, nil
}

func (r *Runner) readSchedules() error {
	for _, s := range r.opts.Schedules {
		t, err := newTimetable(s, r.opts.Tasks)
		if err != nil {
			return err
		}
		if _, err := r.parseFilter(t.Spec.Filter); err != nil {
			return fmt.Errorf("schedule %s: %w", s.Name, err)
		}
		if _, err := r.timetable(s.Name); err == nil {
			return fmt.Errorf("%w: two schedules are called %q", tenancy.ErrInvalid, s.Name)
		}
		r.timetables = append(r.timetables, t)
	}
	slices.SortFunc(r.timetables, func(a, b *timetable) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

// Within returns a runner for somebody who may see only the tenants of the scope. To them
// a run without such a tenant does not exist. Of a run that has other tenants too, they see
// and count only their own, and not its filter, its IDs and its reason, which may name the
// others. They can start, pause, resume, cancel and retry only runs whose tenants are all
// in the scope. A tenant of a run is in a scope of tags if it had one when the run was
// planned and has one now; a tenant that does not exist any more has those that were last seen.
// The tags of a run's tenants are those of the last look by somebody with a scope of tags; a
// tenant that was outside at such a look stays outside, also when it comes back.
//
// A run that such a runner plans keeps the scope: a tenant that is outside of it when its turn
// comes, at the first attempt or a later one, is skipped.
func (r *Runner) Within(scope tenancy.Scope) *Runner {
	c := *r
	c.scope = scope
	return &c
}

// Audited reports whether there is an [Options.Audit], which records what is done to runs.
func (r *Runner) Audited() bool { return r.opts.Audit != nil }

// Check returns an error that wraps [tenancy.ErrUnavailable] if the database of the runs does not answer. Work in
// hand then goes on, and nothing new begins.
func (r *Runner) Check(ctx context.Context) error {
	var some []string
	return wrap("runs.Runner.Check", "", r.selects(ctx, r.db, &some, `SELECT id FROM tenancy_runs LIMIT 1`))
}

// Tasks returns the names of the tasks that this program can do, in order.
func (r *Runner) Tasks() []string { return slices.Sorted(maps.Keys(r.opts.Tasks)) }

// task returns a task that this program knows.
func (r *Runner) task(name string) (tenancy.Task, error) {
	task, ok := r.opts.Tasks[name]
	if !ok {
		return task, fmt.Errorf("%w: task %.80q is unknown here, want one of %q", tenancy.ErrInvalid, name, r.Tasks())
	}
	return task, nil
}

// eligible returns why the task cannot take the tenant, or "". A panic of the task is an error.
func (r *Runner) eligible(ctx context.Context, task tenancy.Task, t *tenancy.Tenant) (reason string, err error) {
	if task.Eligible == nil {
		return "", nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = r.panicked(ctx, p, slog.String("tenant", string(t.ID)))
		}
	}()
	if why := task.Eligible(t); why != nil {
		return cmp.Or(clip(why.Error()), "the task cannot take it"), nil
	}
	return "", nil
}

// Complete returns the parameters as a run of the task keeps them: with those that were left out
// and whose default depends on the program, such as the version to migrate to. A task that is unknown
// here, and parameters with which this program cannot do it, are errors that wrap
// [tenancy.ErrInvalid].
func (r *Runner) Complete(ctx context.Context, task string, params tenancy.Params) (tenancy.Params, error) {
	t, err := r.task(task)
	if err == nil {
		params, err = r.checked(ctx, task, t, params)
	}
	return params, wrap("runs.Runner.Complete", "", err)
}

// checked returns the parameters as a run keeps them, if they are those of the task.
func (r *Runner) checked(ctx context.Context, name string, task tenancy.Task, params tenancy.Params) (tenancy.Params, error) {
	var err error
	switch {
	case task.Validate != nil:
		err = task.Validate(params)
	case len(params) > 0:
		err = fmt.Errorf("%w: task %q takes no parameters", tenancy.ErrInvalid, name)
	}
	if err != nil {
		return nil, err
	}
	return r.completed(ctx, task, params)
}

// completed returns the parameters as a run keeps them, or why this program cannot do the task
// with them. A panic of the task is an error.
func (r *Runner) completed(ctx context.Context, task tenancy.Task, params tenancy.Params) (out tenancy.Params, err error) {
	if task.Complete == nil {
		return params, nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = r.panicked(ctx, p)
		}
	}()
	return task.Complete(maps.Clone(params))
}

// panicked logs a panic of what the application gave and makes it an error.
func (r *Runner) panicked(ctx context.Context, p any, about ...any) error {
	r.opts.Logger.ErrorContext(ctx, "runs: a task panicked", append(about, slog.Any("panic", p), slog.String("stack", string(debug.Stack())))...)
	return fmt.Errorf("panic: %v", p)
}
