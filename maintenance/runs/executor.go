package runs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// Executor connects runs to an engine for jobs that the application already has; see
// maintenance/riverrun. The engine decides in which process a claimed tenant is worked on.
// tenancytest.TestExecutor shows whether an executor conforms.
type Executor interface {
	// Execute takes a batch of tickets and returns when it is certain that
	// [Runner.Do] will be called with each, in this process or another, soon or
	// later. It does not wait for the work. An error gives the whole batch back;
	// tickets of it that are used all the same do no harm, and neither does a ticket
	// that is used twice, or late. Execute is called by many goroutines at once.
	Execute(ctx context.Context, batch []Ticket) error
}

// Waiter is an optional ability of an [Executor]: it knows what waits for its turn. What
// does not wait, and is not worked on, is lost, for example with a process that died before
// it began. With it, tenants that do not wait get new tickets after [Options.Lease], and those
// that wait keep theirs; without, all get new ones after [Options.Queued].
type Waiter interface {
	// Waiting returns those of the tickets that still wait for [Runner.Do] to be called
	// in a process that lives. A ticket that has just been taken from the queue need not be
	// among them.
	Waiting(ctx context.Context, tickets []Ticket) ([]Ticket, error)
}

// Ticket is one tenant of a run that was claimed for an [Executor]. It is data, which an
// executor keeps as JSON.
type Ticket struct {
	Run string `json:"run"`
	// Number is that of [Result.Number].
	Number int64 `json:"number"`
	// Fence tells the ticket from others for the same tenant of the run.
	Fence int64 `json:"fence"`
	// Task and Tenant are for people who look at the executor's jobs.
	Task   string     `json:"task"`
	Tenant tenancy.ID `json:"tenant"`
}

const (
	// queued is the holder of tenants that an executor has.
	queued = "queue"
	// ticketBatch is how many tenants are claimed for an executor at a time.
	ticketBatch = 100
	// maxQueued is how many tenants that an executor has are looked at, of all runs.
	maxQueued = 10_000
)

// Do does the work of a ticket: it reads the tenant, calls the task, and writes down what
// became of it. [Runner.Run] must be running in this process; the tenant is this
// instance's until Do returns. The state is what the tenant has become:
//
//   - [TenantDone] and [TenantSkipped], without an error
//   - [TenantFailed], with the task's error
//   - [TenantWorking], with the task's error, if again is set: the executor will call Do
//     with this ticket once more, and until then the tenant stays with it
//   - [TenantPending], with an error, if ctx or the instance's lease ended before the task
//     did, or the instance ended before a worker was free: the tenant is nobody's failure,
//     and will get another ticket
//
// Without a state the ticket was not used. If the error then wraps [tenancy.ErrConflict],
// it is not valid any more, because somebody else has done its work or will do it, or the
// run does not go on: forget the ticket. Otherwise try again later.
func (r *Runner) Do(ctx context.Context, ticket Ticket, again bool) (TenantState, error) {
	const op = "runs.Runner.Do"
	w, done := r.instance.enter()
	if w == nil {
		return "", wrap(op, ticket.Tenant, fmt.Errorf("%w: this instance does not work on runs: Runner.Run does not run", tenancy.ErrUnavailable))
	}
	defer done()
	held, cancel := context.WithCancel(w.held)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	j, c, err := w.take(ctx, ticket)
	if err != nil {
		return "", wrap(op, ticket.Tenant, err)
	}
	o := outcome{claim: c, state: TenantPending, uncalled: true}
	select {
	case r.slots <- struct{}{}:
		if w.going.Err() == nil {
			o = j.do(held, c)
		}
		r.release(1)
	case <-w.going.Done(): // the instance ends, and begins nothing any more
	case <-held.Done():
	}
	if o.state == TenantFailed && again {
		o.state = TenantWorking
	}
	if err := w.finish(j, o); err != nil {
		return TenantPending, wrap(op, ticket.Tenant, err)
	}
	switch o.state {
	case TenantDone, TenantSkipped:
		return o.state, nil
	case TenantPending:
		return o.state, wrap(op, ticket.Tenant, fmt.Errorf("%w: the work was cut off, because the job, the instance or its lease ended; the tenant gets another ticket", tenancy.ErrUnavailable))
	}
	return o.state, tenancy.Wrap(op, ticket.Tenant, o.err)
}

// take makes the tenant of a ticket this instance's.
func (w *worker) take(ctx context.Context, ticket Ticket) (j *job, c claim, err error) {
	r := w.r
	if !isID(ticket.Run) {
		return nil, c, fmt.Errorf("%w: run %.40q", tenancy.ErrConflict, ticket.Run)
	}
	err = sqlkit.Write(context.WithoutCancel(ctx), r.db, func(ctx context.Context, tx *sqlx.Tx) error {
		c = claim{}
		if err := w.lease.Lock(ctx, tx); errors.Is(err, tenancy.ErrConflict) {
			return fmt.Errorf("%w: this instance lost its lease", tenancy.ErrUnavailable)
		} else if err != nil {
			return err
		}
		row, err := r.lockRun(ctx, tx, ticket.Run)
		if errors.Is(err, tenancy.ErrNotFound) { // retention, or a restored database
			return fmt.Errorf("%w: the run is gone", tenancy.ErrConflict)
		}
		if err != nil {
			return err
		}
		var items []itemRow
		err = r.selects(ctx, tx, &items, `SELECT `+itemColumns+` FROM tenancy_run_tenants WHERE run_id = ? AND seq = ?
			AND state = ? AND ticket = ? AND (worker = ? OR fence = ticket)`, ticket.Run, ticket.Number, TenantWorking, ticket.Fence, queued)
		if err != nil {
			return err
		}
		if len(items) == 0 {
			return fmt.Errorf("%w: the ticket is not valid any more", tenancy.ErrConflict)
		}
		item := items[0]
		if j, err = w.known(*row); err != nil {
			return fmt.Errorf("%w: %w", tenancy.ErrUnavailable, err)
		}
		if item.Fence > item.Ticket { // it was done before, without success
			item.Attempt++
		}
		item.Fence++
		_, err = r.exec(ctx, tx, `UPDATE tenancy_run_tenants SET worker = ?, attempt = ?, fence = ?, started_at = NOW() WHERE run_id = ? AND seq = ?`,
			w.lease.Name(), item.Attempt, item.Fence, ticket.Run, ticket.Number)
		c = claim{itemRow: item, holder: w.lease.Name()}
		if err != nil || row.State == StateRunning {
			return err
		}
		j = nil // the tenant waits until the run goes on, or is cancelled with it
		return r.record(ctx, tx, row, givenBack([]claim{c}))
	})
	if err != nil && c.Fence > 0 && j != nil { // it may have been committed
		_, _ = w.swap(j, givenBack([]claim{c}), 0)
	}
	if err == nil && j == nil {
		err = fmt.Errorf("%w: the run is not running; the ticket is not valid any more", tenancy.ErrConflict)
	}
	return j, c, err
}

// finish writes down what became of a ticket and hands out the next ones.
func (w *worker) finish(j *job, o outcome) error {
	claims, err := w.swap(j, []outcome{o}, ticketBatch)
	if err == nil {
		w.hand(j, claims)
	}
	return err
}

// swap is exchange, tried again until the database has answered, or until others have the
// tenants because the lease or the run is gone.
func (w *worker) swap(j *job, outcomes []outcome, want int) ([]claim, error) {
	for {
		_, claims, err := w.r.exchange(w.held, w.lease, j.run.ID, outcomes, want)
		switch {
		case err == nil:
			if len(outcomes)+len(claims) > 0 {
				w.ringer.changed(j.run.ID)
			}
			return claims, nil
		case errors.Is(err, tenancy.ErrConflict), errors.Is(err, tenancy.ErrNotFound), w.held.Err() != nil:
			return nil, err
		}
		outcomes = append(outcomes, givenBack(claims)...)
		w.r.opts.Logger.WarnContext(w.held, "runs: cannot write the results of tenants; trying again",
			slog.String("run", j.run.ID), slog.Int("tenants", len(outcomes)), slog.Any("error", err))
		wait(w.held, w.r.opts.Poll)
	}
}

// dispatch claims tenants of a run and hands them to the executor, until there are none.
func (w *worker) dispatch(ctx context.Context, j *job) {
	for ctx.Err() == nil && w.held.Err() == nil {
		claims, err := w.swap(j, nil, ticketBatch)
		if err != nil || len(claims) == 0 || !w.hand(j, claims) {
			return
		}
	}
}

// hand gives claims to the executor, or back if it does not take them.
func (w *worker) hand(j *job, claims []claim) bool {
	if len(claims) == 0 {
		return true
	}
	tickets := make([]Ticket, len(claims))
	for i, c := range claims {
		tickets[i] = Ticket{Run: j.run.ID, Number: c.Seq, Fence: c.Ticket, Task: j.run.Task, Tenant: c.Tenant}
	}
	err := w.r.opts.Executor.Execute(w.held, tickets)
	outcomes := givenBack(claims)
	if err == nil {
		for i := range outcomes {
			outcomes[i].state, outcomes[i].uncalled = TenantWorking, false // Do counts on from here
		}
	} else if w.held.Err() == nil {
		w.r.opts.Logger.WarnContext(w.held, "runs: the executor did not take tenants; trying again",
			slog.String("run", j.run.ID), slog.Int("tenants", len(claims)), slog.Any("error", err), slog.Duration("in", w.r.opts.Poll))
	}
	_, lost := w.swap(j, outcomes, 0)
	return err == nil && lost == nil
}

// giveBackQueued gives tenants back that an executor has lost: those that do not wait with it,
// or, if it does not say what waits, those that it has had for too long. Without an executor
// they are those of an earlier version of the program, or of other instances. Their tickets
// are not valid any more.
func (r *Runner) giveBackQueued(ctx context.Context) error {
	waiter, asks := r.opts.Executor.(Waiter)
	after := r.opts.Queued
	if asks {
		after = min(after, r.opts.Lease)
	}
	late := `worker = ? AND state = ? AND started_at <= NOW() - ?`
	args := []any{queued, TenantWorking, after.Microseconds()}
	var rows []struct {
		Run  string     `db:"run_id"`
		Task string     `db:"task"`
		Seq  int64      `db:"seq"`
		ID   tenancy.ID `db:"tenant_id"`
		No   int64      `db:"ticket"`
	}
	err := r.selects(ctx, r.db, &rows, `SELECT run_id, task, seq, tenant_id, ticket FROM tenancy_run_tenants JOIN tenancy_runs ON id = run_id
		WHERE worker = ? AND tenancy_run_tenants.state = ? AND tenancy_run_tenants.started_at <= NOW() - ? ORDER BY run_id, seq LIMIT ?`, append(args, maxQueued)...)
	if err != nil || len(rows) == 0 {
		return err
	}
	lost := map[string]map[int64]bool{} // by run and fence
	var ask []Ticket
	for _, row := range rows {
		if lost[row.Run] == nil {
			lost[row.Run] = map[int64]bool{}
		}
		lost[row.Run][row.Seq] = true
		if asks {
			ask = append(ask, Ticket{Run: row.Run, Number: row.Seq, Fence: row.No, Task: row.Task, Tenant: row.ID})
		}
	}
	if len(ask) > 0 {
		waiting, err := waiter.Waiting(ctx, ask)
		if err != nil {
			return fmt.Errorf("asking the executor: %w", err)
		}
		for _, ticket := range waiting {
			delete(lost[ticket.Run], ticket.Number)
		}
	}
	for id, numbers := range lost {
		if len(numbers) == 0 {
			continue
		}
		err = errors.Join(err, sqlkit.Write(ctx, r.db, func(ctx context.Context, tx *sqlx.Tx) error {
			row, err := r.lockRun(ctx, tx, id)
			if err != nil {
				return err
			}
			var items []itemRow
			err = r.selects(ctx, tx, &items, `SELECT `+itemColumns+` FROM tenancy_run_tenants WHERE run_id = ? AND `+late, append([]any{id}, args...)...)
			if err != nil {
				return err
			}
			var outcomes []outcome
			for _, item := range items {
				if numbers[item.Seq] {
					outcomes = append(outcomes, outcome{claim: claim{itemRow: item, holder: queued}, state: TenantPending, uncalled: item.Fence == item.Ticket})
				}
			}
			if len(outcomes) > 0 {
				r.opts.Logger.WarnContext(ctx, "runs: the executor lost tenants, or did not begin with them; they get new tickets",
					slog.String("run", id), slog.Int("tenants", len(outcomes)))
			}
			return r.record(ctx, tx, row, outcomes)
		}))
	}
	return err
}
