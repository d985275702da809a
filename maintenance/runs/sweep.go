package runs

import (
	"context"
	"errors"
	"log/slog"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// maxDeaths is how many instances may die while they work on a tenant before it has
// failed: it may be what they die of.
const maxDeaths = 5

// sweep does what every instance does now and then for all of them.
func (r *Runner) sweep(ctx context.Context) error {
	return errors.Join(r.takeOver(ctx), r.giveBackQueued(ctx), r.resumeInTime(ctx), r.trigger(ctx), r.endCancelled(ctx), r.forget(ctx))
}

// takeOver gives back what instances had in hand whose lease has ended.
func (r *Runner) takeOver(ctx context.Context) error {
	leases, err := r.leases.Expired(ctx, workerPrefix)
	for _, lease := range leases {
		tenants := 0
		e := sqlkit.Write(ctx, r.db, func(ctx context.Context, tx *sqlx.Tx) (err error) {
			tenants, err = r.takeOverFrom(ctx, tx, lease.Name)
			return err
		})
		if e == nil && tenants > 0 {
			r.opts.Logger.WarnContext(ctx, "runs: took over tenants from an instance that died or could not reach the database in time",
				slog.String("instance", lease.Holder), slog.Int("tenants", tenants))
		}
		err = errors.Join(err, e)
	}
	return err
}

// takeOverFrom returns how many tenants the holder of the lease had in hand.
func (r *Runner) takeOverFrom(ctx context.Context, tx *sqlx.Tx, name string) (int, error) {
	ours, err := r.leases.Remove(ctx, tx, name)
	if err != nil || !ours {
		return 0, err // somebody was faster, or the instance lives
	}
	var left []struct {
		Run    string `db:"run_id"`
		Seq    int64  `db:"seq"`
		Fence  int64  `db:"fence"`
		Deaths int    `db:"deaths"`
	}
	err = r.selects(ctx, tx, &left, `SELECT run_id, seq, fence, deaths FROM tenancy_run_tenants WHERE worker = ? AND state = ? ORDER BY run_id, seq`, name, TenantWorking)
	if err != nil || len(left) == 0 {
		return 0, err
	}
	byRun := map[string][]outcome{}
	for _, item := range left {
		o := outcome{claim: claim{itemRow: itemRow{Seq: item.Seq, Fence: item.Fence}, holder: name}, state: TenantPending}
		if item.Deaths+1 >= maxDeaths {
			o.state, o.note = TenantFailed, "the instance that worked on it died, five times"
		}
		byRun[item.Run] = append(byRun[item.Run], o)
	}
	if _, err := r.exec(ctx, tx, `UPDATE tenancy_run_tenants SET deaths = deaths + 1 WHERE worker = ? AND state = ?`, name, TenantWorking); err != nil {
		return 0, err
	}
	for i, item := range left {
		if i > 0 && left[i-1].Run == item.Run {
			continue
		}
		row, err := r.lockRun(ctx, tx, item.Run)
		if err == nil {
			err = r.record(ctx, tx, row, byRun[item.Run])
		}
		if err == nil {
			err = r.advance(ctx, tx, row)
		}
		if err != nil {
			return 0, err
		}
	}
	return len(left), nil
}

// resumeInTime lets runs go on whose pause between two waves is over.
func (r *Runner) resumeInTime(ctx context.Context) error {
	var ids []string
	err := r.selects(ctx, r.db, &ids, `SELECT id FROM tenancy_runs WHERE state = ? AND resume_at > 0 AND resume_at <= NOW()`, StatePaused)
	for _, id := range ids {
		err = errors.Join(err, r.endPause(ctx, id))
	}
	return err
}

// endPause lets a run go on, if its pause between two waves is over. Another instance may have
// done that before, and the run may be in its next pause.
func (r *Runner) endPause(ctx context.Context, id string) error {
	over := false
	err := sqlkit.Write(ctx, r.db, func(ctx context.Context, tx *sqlx.Tx) error {
		row, err := r.lockRun(ctx, tx, id)
		if err != nil {
			return err
		}
		err = r.get(ctx, tx, &over, `SELECT COUNT(*) > 0 FROM tenancy_runs WHERE id = ? AND state = ? AND resume_at > 0 AND resume_at <= NOW()`, id, StatePaused)
		if err != nil || !over {
			return err
		}
		if err := r.become(ctx, tx, row, StateRunning, ""); err != nil {
			return err
		}
		return r.advance(ctx, tx, row)
	})
	if err == nil && over {
		r.ring(ctx, id)
	}
	return err
}

// endCancelled cancels what is left of runs whose cancellation was cut off, or still goes on.
func (r *Runner) endCancelled(ctx context.Context) error {
	var ids []string
	err := r.selects(ctx, r.db, &ids, `SELECT id FROM tenancy_runs WHERE state = ? AND EXISTS (
		SELECT 1 FROM tenancy_run_tenants WHERE run_id = tenancy_runs.id AND tenancy_run_tenants.state = ? AND seq > 0) LIMIT 10`, StateCancelled, TenantPending)
	for _, id := range ids {
		err = errors.Join(err, r.cancelRest(ctx, id))
	}
	return err
}

// expired selects plans that nobody started, those that were given up, and what is left of runs
// whose removal was cut off.
const expired = `state IN ('planned', 'planning') AND expires_at <= NOW()`

// forget removes plans that nobody started, and runs that ended too long ago.
func (r *Runner) forget(ctx context.Context) error {
	// A plan that was given up stays for missedAfter: it shows that a schedule was not missed. Whoever
	// needs its key removes it earlier.
	old := expired + ` AND (state = 'planned' OR expires_at <= NOW() - ?)`
	args := []any{missedAfter.Microseconds()}
	if r.opts.Retention > 0 {
		old += ` OR state IN ('done', 'done_with_failures', 'cancelled', 'stopped') AND ended_at > 0 AND ended_at <= NOW() - ?`
		args = append(args, r.opts.Retention.Microseconds())
	}
	var ids []string
	err := r.selects(ctx, r.db, &ids, `SELECT id FROM tenancy_runs WHERE `+old+` LIMIT 10`, args...)
	for _, id := range ids {
		err = errors.Join(err, r.remove(ctx, id, old, args...)) // somebody may have resumed it
	}
	return err
}
