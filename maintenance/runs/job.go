package runs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

const (
	// maxLogged is how many failures of a run an instance logs one by one.
	maxLogged = 10
	// hangTime is how long a task may take to return after its context ended.
	hangTime = 10 * time.Second
)

// job is one run, as this instance works on it.
type job struct {
	r      *Runner
	lease  *sqlkit.Lease
	run    *Run
	task   tenancy.Task
	filter tenancy.Filter
	scope  tenancy.Scope // of who planned the run
	failed atomic.Int64
}

// do works on one tenant. The caller has a worker for it.
func (j *job) do(held context.Context, c claim) outcome {
	began := time.Now()
	called, err := j.attempt(held, c)
	out := outcome{claim: c, state: TenantDone, busy: time.Since(began).Microseconds(), uncalled: !called}
	j.judge(held, &out, err)
	return out
}

// judge says in out what an attempt came to. An error that panics when it is looked at, such as a nil one of a type, is a failure.
func (j *job) judge(held context.Context, out *outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			err := j.r.panicked(held, p, slog.String("run", j.run.ID), slog.String("tenant", string(out.Tenant)))
			out.state, out.note, out.err = TenantFailed, err.Error(), err
		}
	}()
	var skip *tenancy.SkipError
	switch {
	case err == nil:
	case errors.As(err, &skip):
		out.state, out.note = TenantSkipped, skip.Reason
	case held.Err() != nil: // nobody's failure: the program ends, or the lease was lost
		out.state = TenantPending
	default:
		out.state, out.note, out.err = TenantFailed, text(err), err
		j.log(held, out.claim, err)
	}
}

// text returns an error's text without what the run says anyway: which tenant it was.
func text(err error) string {
	var e *tenancy.Error
	if errors.As(err, &e) && err.Error() == e.Error() {
		return e.Err.Error()
	}
	return err.Error()
}

// attempt reads the tenant and calls the task, unless the tenant cannot take part any
// more. It reports whether it called the task. A panic of what the application gave, such as
// [Options.Context], is an error.
func (j *job) attempt(held context.Context, c claim) (called bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = j.r.panicked(held, p, slog.String("run", j.run.ID), slog.String("tenant", string(c.Tenant)))
		}
	}()
	ctx := tenancy.WithActor(j.r.opts.Context(held), j.run.Actor)
	limit := j.run.Spec.Timeout
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	called, err = j.attemptWithin(ctx, c)
	var skip *tenancy.SkipError
	if err != nil && held.Err() == nil && ctx.Err() != nil && !errors.As(err, &skip) {
		err = fmt.Errorf("not finished within the time limit of %v: %w", limit, err)
	}
	return called, err
}

// attemptWithin is attempt, within the time that the context has.
func (j *job) attemptWithin(ctx context.Context, c claim) (called bool, err error) {
	t, selected, err := j.read(ctx, c)
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		return false, tenancy.Skip("the tenant is gone")
	case err != nil:
		return false, err
	case !j.scope.Includes(t):
		return false, tenancy.Skip("the tenant is outside of the scope of who planned the run")
	case c.Attempt == 1 && !selected: // later attempts may see what the first one did
		return false, tenancy.Skip(fmt.Sprintf("the filter does not select the tenant any more, which is %s", t.Status))
	}
	if reason, err := j.r.eligible(ctx, j.task, t); err != nil || reason != "" {
		return false, cmp.Or(err, tenancy.Skip(reason))
	}
	attempt := tenancy.Attempt{
		Run: j.run.ID, Number: c.Attempt, Fence: c.Fence, Params: maps.Clone(j.run.Spec.Params), Checkpoint: c.Checkpoint,
		Save: func(task context.Context, checkpoint string) error {
			if err := task.Err(); err != nil {
				return err
			}
			return j.save(ctx, c, checkpoint) // the database of runs is not the tenant's
		},
	}
	done := make(chan error, 1)
	go func() { done <- j.call(tenancy.NewContext(ctx, t), t, attempt) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		select {
		case err = <-done:
		case <-time.After(hangTime):
			err = fmt.Errorf("%w: the task did not return within %v after its context had ended, and may still be working", tenancy.ErrUnavailable, hangTime)
		}
	}
	return true, err
}

// recordLife is for how long a record counts that was read with others.
const recordLife = 500 * time.Millisecond

// read reads the record of a tenant whose turn has come, and reports whether the filter
// selects it.
func (j *job) read(ctx context.Context, c claim) (t *tenancy.Tenant, selected bool, err error) {
	if c.record != nil && time.Since(c.readAt) < recordLife {
		return c.record, true, nil
	}
	return j.r.selected(ctx, j.filter, c.Tenant)
}

// readAll reads the records of claims at once. Those that it does not find are read, and
// looked at, one by one.
func (j *job) readAll(ctx context.Context, claims []claim) {
	if len(claims) < 2 || len(claims) > maxPage {
		return
	}
	ids := make([]tenancy.ID, len(claims))
	for i, c := range claims {
		ids[i] = c.Tenant
	}
	conditions, some := inCatalog(j.filter, ids...)
	if !some {
		return
	}
	at := time.Now()
	page, err := j.r.catalog.List(ctx, conditions)
	if err != nil {
		return
	}
	found := make(map[tenancy.ID]*tenancy.Tenant, len(page))
	for _, t := range page {
		found[t.ID] = t
	}
	for i := range claims {
		claims[i].record, claims[i].readAt = found[claims[i].Tenant], at
	}
}

// call calls the task and makes a panic an error.
func (j *job) call(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = j.r.panicked(ctx, p, slog.String("run", j.run.ID), slog.String("tenant", string(t.ID)))
		}
	}()
	return j.task.Do(ctx, t, a)
}

// save keeps a checkpoint while the tenant is this instance's.
func (j *job) save(ctx context.Context, c claim, checkpoint string) error {
	err := sqlkit.Write(ctx, j.r.db, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := j.lease.Lock(ctx, tx); err != nil {
			return err
		}
		_, err := j.r.exec(ctx, tx, `UPDATE tenancy_run_tenants SET checkpoint = ? WHERE run_id = ? AND seq = ? AND fence = ? AND state = ?`,
			checkpoint, j.run.ID, c.Seq, c.Fence, TenantWorking)
		if err != nil {
			return err
		}
		var mine int
		err = j.r.get(ctx, tx, &mine, `SELECT COUNT(*) FROM tenancy_run_tenants WHERE run_id = ? AND seq = ? AND fence = ? AND state = ?`,
			j.run.ID, c.Seq, c.Fence, TenantWorking)
		if err == nil && mine == 0 {
			err = fmt.Errorf("%w: tenant %q of run %s is not this instance's any more", tenancy.ErrConflict, string(c.Tenant), j.run.ID)
		}
		return err
	})
	if lost := context.Cause(ctx); err != nil && errors.Is(lost, tenancy.ErrConflict) { // the lease, and not the end of the program
		err = fmt.Errorf("%w: %w", lost, err)
	}
	return wrap("tenancy.Attempt.SaveCheckpoint", c.Tenant, err)
}

// log logs the first failures of a run. The others are in its results.
func (j *job) log(ctx context.Context, c claim, err error) {
	if n := j.failed.Add(1); n > maxLogged {
		return
	}
	j.r.opts.Logger.WarnContext(ctx, "runs: a tenant failed", slog.String("run", j.run.ID), slog.String("task", j.run.Task),
		slog.String("tenant", string(c.Tenant)), slog.Int("attempt", c.Attempt), slog.Any("error", clip(err.Error())))
}

// summary logs how many failures were not logged.
func (j *job) summary(ctx context.Context) {
	if n := j.failed.Load(); n > maxLogged {
		j.r.opts.Logger.WarnContext(ctx, "runs: more tenants failed; the results of the run have their errors",
			slog.String("run", j.run.ID), slog.Int64("failed", n), slog.Int64("not_logged", n-maxLogged))
	}
}
