package runs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// cleanupTime bounds what must be done after a context has ended.
const cleanupTime = 10 * time.Second

// Start starts a plan: instances begin to work on it within [Options.Poll], as the actor who
// planned it. A run that was started already is returned as it is, so Start may be repeated.
// A plan that has expired or was cancelled is an error that wraps [tenancy.ErrInvalid].
func (r *Runner) Start(ctx context.Context, id string) (*Run, error) {
	return r.change(ctx, "Start", id, r.start)
}

func (r *Runner) start(ctx context.Context, tx *sqlx.Tx, row *runRow) error {
	switch row.State {
	case StatePlanned:
	case StateCancelled:
		return fmt.Errorf("%w: the run was cancelled", tenancy.ErrInvalid)
	default:
		return nil
	}
	n, err := r.exec(ctx, tx, `UPDATE tenancy_runs SET started_at = NOW(), wave = 1 WHERE id = ? AND expires_at > NOW()`, row.ID)
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: the plan has expired; plan again", tenancy.ErrInvalid)
	}
	if err != nil {
		return err
	}
	row.Wave = 1
	return r.become(ctx, tx, row, StateRunning, "")
}

// Pause stops a run from taking further tenants; those that are worked on are
// finished. The reason is for people.
func (r *Runner) Pause(ctx context.Context, id, reason string) (*Run, error) {
	return r.change(ctx, "Pause", id, func(ctx context.Context, tx *sqlx.Tx, row *runRow) error {
		if row.State == StatePaused && row.ResumeAt == 0 {
			return nil
		}
		if row.State == StatePaused { // between two waves, and would go on by itself
			row.ResumeAt, row.Reason = 0, reason
			_, err := r.exec(ctx, tx, `UPDATE tenancy_runs SET resume_at = 0, reason = ? WHERE id = ?`, clip(reason), id)
			return err
		}
		return r.become(ctx, tx, row, StatePaused, reason)
	})
}

// Resume continues a run that is paused, waits for approval of its next wave, or was
// stopped. The failures until now no longer count towards its failure budget.
func (r *Runner) Resume(ctx context.Context, id string) (*Run, error) {
	return r.change(ctx, "Resume", id, func(ctx context.Context, tx *sqlx.Tx, row *runRow) error {
		if row.State == StateRunning {
			return nil
		}
		if row.State == StateStopped {
			if _, err := r.exec(ctx, tx, `UPDATE tenancy_run_waves SET forgiven = failed WHERE run_id = ?`, id); err != nil {
				return err
			}
		}
		if row.State != StatePaused && row.State != StateStopped {
			return fmt.Errorf("%w: a run that is %s cannot be resumed, only one that is %s or %s", tenancy.ErrInvalid, row.State, StatePaused, StateStopped)
		}
		if err := r.become(ctx, tx, row, StateRunning, ""); err != nil {
			return err
		}
		return r.advance(ctx, tx, row)
	})
}

// Cancel ends a run or a plan for good: tenants whose turn has not come are cancelled, and
// those that are worked on are finished. It takes nothing back that was done. Of a very large
// run the tenants are cancelled in several transactions; what is left if Cancel is cut off,
// another instance does. A plan that nobody has started gives its [Spec.Key] up,
// unless it is a schedule's.
func (r *Runner) Cancel(ctx context.Context, id, reason string) (*Run, error) {
	more := false
	run, err := r.change(ctx, "Cancel", id, func(ctx context.Context, tx *sqlx.Tx, row *runRow) (err error) {
		if row.State == StatePlanned && !strings.HasPrefix(row.Key.String, scheduleKeys) {
			if _, err := r.exec(ctx, tx, `UPDATE tenancy_runs SET idem_key = NULL WHERE id = ?`, id); err != nil {
				return err
			}
		}
		if row.State != StateCancelled {
			if err := r.become(ctx, tx, row, StateCancelled, reason); err != nil {
				return err
			}
		}
		more, err = r.cancelSome(ctx, tx, id)
		return err
	})
	if err != nil || !more {
		return run, err
	}
	if err = r.cancelRest(ctx, id); err == nil {
		r.ring(ctx, id)
		run, err = r.read(ctx, r.db, id)
	}
	return run, wrap("runs.Runner.Cancel", "", err)
}

// someTenants is how many tenants of a run a transaction changes at the most. Who works on the
// run waits for it, and must renew a lease meanwhile.
const someTenants = 10_000

// cancelSome cancels pending tenants of a run that was cancelled, and reports whether there may
// be more. The transaction has locked the run.
func (r *Runner) cancelSome(ctx context.Context, tx *sqlx.Tx, id string) (more bool, err error) {
	waves, err := r.lockWaves(ctx, tx, id)
	if err != nil {
		return false, err
	}
	first, left := int64(1), someTenants
	for _, w := range waves {
		from := first
		first = max(first, w.LastSeq+1)
		if w.Wave == 0 || w.Finished() == w.Total {
			continue
		}
		if left <= 0 {
			return true, nil
		}
		var last []int64
		err := r.selects(ctx, tx, &last, `SELECT seq FROM tenancy_run_tenants WHERE run_id = ? AND state = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT 1 OFFSET ?`,
			id, TenantPending, from, w.LastSeq, left-1)
		if err != nil {
			return false, err
		}
		if len(last) == 0 {
			last = []int64{w.LastSeq}
		}
		n, err := r.exec(ctx, tx, `UPDATE tenancy_run_tenants SET state = ? WHERE run_id = ? AND state = ? AND seq BETWEEN ? AND ?`,
			TenantCancelled, id, TenantPending, from, last[0])
		if err != nil {
			return false, err
		}
		if _, err := r.exec(ctx, tx, `UPDATE tenancy_run_waves SET cancelled = cancelled + ? WHERE run_id = ? AND wave = ?`, n, id, w.Wave); err != nil {
			return false, err
		}
		left -= int(n)
	}
	return left <= 0, nil
}

// cancelRest cancels all that are still pending of a run that was cancelled.
func (r *Runner) cancelRest(ctx context.Context, id string) error {
	for more := true; more; {
		err := sqlkit.Write(ctx, r.db, func(ctx context.Context, tx *sqlx.Tx) error {
			more = false
			row, err := r.lockRun(ctx, tx, id)
			if errors.Is(err, tenancy.ErrNotFound) { // removed meanwhile
				return nil
			}
			if err == nil && row.State == StateCancelled {
				more, err = r.cancelSome(ctx, tx, id)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Retry runs the task again for the tenants that failed, and for no others that were
// finished. A run without failures is an error that wraps [tenancy.ErrInvalid].
func (r *Runner) Retry(ctx context.Context, id string) (*Run, error) {
	return r.change(ctx, "Retry", id, func(ctx context.Context, tx *sqlx.Tx, row *runRow) error {
		if row.State != StateStopped && row.State != StateFailed {
			return fmt.Errorf("%w: a run that is %s cannot be retried, only one that is %s or %s", tenancy.ErrInvalid, row.State, StateStopped, StateFailed)
		}
		n, err := r.exec(ctx, tx, `UPDATE tenancy_run_tenants SET state = ?, deaths = 0 WHERE run_id = ? AND state = ?`, TenantPending, id, TenantFailed)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: no tenant has failed", tenancy.ErrInvalid)
		}
		if err != nil {
			return err
		}
		if _, err := r.exec(ctx, tx, `UPDATE tenancy_run_waves SET failed = 0, forgiven = 0 WHERE run_id = ?`, id); err != nil {
			return err
		}
		return r.become(ctx, tx, row, StateRunning, "")
	})
}

// change runs fn in a transaction that has locked the run, and returns what became
// of it. Only runs whose tenants are all in the scope can be changed.
func (r *Runner) change(ctx context.Context, method, id string, fn func(context.Context, *sqlx.Tx, *runRow) error) (*Run, error) {
	var run *Run
	if _, err := r.retag(ctx, id); err != nil {
		return nil, wrap("runs.Runner."+method, "", err)
	}
	err := sqlkit.Write(ctx, r.db, func(ctx context.Context, tx *sqlx.Tx) error {
		row, err := r.lockRun(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := r.mayChange(ctx, tx, id); err != nil {
			return err
		}
		before := *row
		if err := fn(ctx, tx, row); err != nil {
			return err
		}
		if *row != before {
			if err := r.audit(ctx, tx, "run."+strings.ToLower(method), row.ID, row.Task); err != nil {
				return err
			}
		}
		run, err = r.read(ctx, tx, id)
		return err
	})
	if err != nil {
		return nil, wrap("runs.Runner."+method, "", err)
	}
	r.wakeUp()
	r.ring(ctx, id)
	return run, nil
}

// audit writes an entry about a run within a transaction.
func (r *Runner) audit(ctx context.Context, tx *sqlx.Tx, action, id, task string) error {
	if r.opts.Audit == nil {
		return nil
	}
	e := tenancy.NewEntry(ctx, action, "")
	e.Object = id
	e.Changes = []tenancy.FieldChange{{Field: "task", After: json.RawMessage(strconv.Quote(task))}}
	return r.opts.Audit.Audit(ctx, tx.Tx, e)
}

// lockRun returns a run that nobody else changes before the transaction ends.
func (r *Runner) lockRun(ctx context.Context, tx *sqlx.Tx, id string) (*runRow, error) {
	if !isID(id) {
		return nil, fmt.Errorf("%w: run %.40q", tenancy.ErrNotFound, id)
	}
	if r.dialect == sqlkit.SQLite { // a transaction that begins with a read may not be able to write
		if _, err := r.exec(ctx, tx, `UPDATE tenancy_runs SET wave = wave WHERE id = ?`, id); err != nil {
			return nil, err
		}
	}
	var row runRow
	err := r.get(ctx, tx, &row, `SELECT `+runColumns+` FROM tenancy_runs WHERE id = ? AND state <> ?`+r.forUpdate(), id, statePlanning)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: run %.40q", tenancy.ErrNotFound, id)
	}
	return &row, err
}

func (r *Runner) lockWaves(ctx context.Context, tx *sqlx.Tx, id string) (waves []waveRow, err error) {
	err = r.selects(ctx, tx, &waves, `SELECT `+waveColumns+` FROM tenancy_run_waves WHERE run_id = ? ORDER BY wave`+r.forUpdate(), id)
	return waves, err
}

// mayChange returns tenancy.ErrNotFound for a run without a tenant of the scope, and
// tenancy.ErrForbidden for one that has others as well.
func (r *Runner) mayChange(ctx context.Context, tx *sqlx.Tx, id string) error {
	if r.scope.IsAll() {
		return nil
	}
	if _, err := r.read(ctx, tx, id); err != nil {
		return err
	}
	others, err := r.others(ctx, tx, id)
	if err == nil && others > 0 {
		err = fmt.Errorf("%w: the run has %d tenants outside of the scope", tenancy.ErrForbidden, others)
	}
	return err
}

// become changes the state, if that is legal.
func (r *Runner) become(ctx context.Context, tx *sqlx.Tx, row *runRow, next State, reason string) error {
	if !row.State.CanBecome(next) {
		return fmt.Errorf("%w: a run that is %s cannot become %s", tenancy.ErrInvalid, row.State, next)
	}
	ended := "0"
	if next.Ended() {
		ended = "NOW()"
	}
	_, err := r.exec(ctx, tx, `UPDATE tenancy_runs SET state = ?, reason = ?, resume_at = 0, ended_at = `+ended+` WHERE id = ?`, next, clip(reason), row.ID)
	if err == nil {
		row.State, row.Reason = next, reason
	}
	return err
}

// advance does what follows from what the tenants of a running run have become: it
// stops the run, begins its next wave, or ends it. The transaction has locked the run.
func (r *Runner) advance(ctx context.Context, tx *sqlx.Tx, row *runRow) error {
	if row.State != StateRunning {
		return nil
	}
	var spec Spec
	if err := json.Unmarshal([]byte(row.Spec), &spec); err != nil {
		return fmt.Errorf("%w: spec of run %s: %w", tenancy.ErrInvalid, row.ID, err)
	}
	waves, err := r.lockWaves(ctx, tx, row.ID)
	if err != nil {
		return err
	}
	next := decide(row.Wave, spec, waves)
	if next.wave != row.Wave {
		if _, err := r.exec(ctx, tx, `UPDATE tenancy_runs SET wave = ? WHERE id = ?`, next.wave, row.ID); err != nil {
			return err
		}
		row.Wave = next.wave
	}
	if next.state == StateRunning {
		return nil
	}
	if err := r.become(ctx, tx, row, next.state, next.reason); err != nil {
		return err
	}
	if next.pause > 0 {
		_, err = r.exec(ctx, tx, `UPDATE tenancy_runs SET resume_at = NOW() + ? WHERE id = ?`, next.pause.Microseconds(), row.ID)
	}
	return err
}

// decision is what becomes of a running run.
type decision struct {
	state  State
	wave   int
	reason string
	pause  time.Duration
}

// decide looks at the waves of a running run that is in that wave.
func decide(wave int, spec Spec, waves []waveRow) decision {
	var total, failed, all int
	last := 0
	for _, w := range waves {
		if w.Wave > 0 {
			total, failed, all, last = total+w.Total, failed+w.Failed-w.Forgiven, all+w.Failed, w.Wave
		}
	}
	perWave, _ := parseAmount(spec.Budget.PerWave)
	inAll, _ := parseAmount(spec.Budget.InAll)
	for _, w := range waves {
		fresh := w.Failed - w.Forgiven
		switch {
		case w.Wave == 0:
		case w.Wave == 1 && spec.Waves.hasCanary() && fresh > 0:
			return decision{StateStopped, wave, fmt.Sprintf("%d of the %d tenants in the canary failed", fresh, w.Total), 0}
		case perWave.set && fresh > perWave.of(w.Total):
			return decision{StateStopped, wave, fmt.Sprintf("%d of the %d tenants in wave %d failed; the budget is %s", fresh, w.Total, w.Wave, spec.Budget.PerWave), 0}
		}
	}
	if inAll.set && failed > inAll.of(total) {
		return decision{StateStopped, wave, fmt.Sprintf("%d of %d tenants failed; the budget is %s", failed, total, spec.Budget.InAll), 0}
	}
	// An earlier wave may have tenants that are tried once more.
	for _, w := range waves {
		if w.Wave > 0 && w.Wave <= wave && w.Finished() < w.Total {
			return decision{state: StateRunning, wave: wave}
		}
	}
	switch {
	case wave >= last && all > 0:
		return decision{state: StateFailed, wave: wave}
	case wave >= last:
		return decision{state: StateDone, wave: wave}
	case spec.Waves.Approval:
		return decision{StatePaused, wave + 1, fmt.Sprintf("wave %d of %d waits for approval", wave+1, last), 0}
	case spec.Waves.Pause > 0:
		return decision{StatePaused, wave + 1, fmt.Sprintf("wave %d of %d begins after a pause of %v", wave+1, last, spec.Waves.Pause), spec.Waves.Pause}
	}
	return decision{state: StateRunning, wave: wave + 1}
}

// remove deletes all of a run, if the condition still selects it. Nobody sees the run from
// then on; what is left when this is cut off, the sweeper removes later.
func (r *Runner) remove(ctx context.Context, id, condition string, args ...any) error {
	err := sqlkit.Write(ctx, r.db, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := r.exec(ctx, tx, `UPDATE tenancy_runs SET state = ?, idem_key = NULL, expires_at = 0 WHERE id = ? AND (`+condition+`)`,
			append([]any{statePlanning, id}, args...)...)
		return err
	})
	var stays int
	if err == nil {
		err = r.get(ctx, r.db, &stays, `SELECT COUNT(*) FROM tenancy_runs WHERE id = ? AND (state <> ? OR expires_at > 0)`, id, statePlanning)
	}
	if err != nil || stays > 0 {
		return err
	}
	for more := true; more; {
		var last []int64
		err := r.selects(ctx, r.db, &last, `SELECT seq FROM tenancy_run_tenants WHERE run_id = ? ORDER BY seq LIMIT 1 OFFSET ?`, id, someTenants-1)
		if err != nil {
			return err
		}
		where, args := `run_id = ?`, []any{id}
		if more = len(last) > 0; more {
			where, args = where+` AND seq <= ?`, append(args, last[0])
		}
		err = sqlkit.Write(ctx, r.db, func(ctx context.Context, tx *sqlx.Tx) error {
			if _, err := r.exec(ctx, tx, `DELETE FROM tenancy_run_tenants WHERE `+where, args...); err != nil || more {
				return err
			}
			if _, err := r.exec(ctx, tx, `DELETE FROM tenancy_run_waves WHERE run_id = ?`, id); err != nil {
				return err
			}
			_, err := r.exec(ctx, tx, `DELETE FROM tenancy_runs WHERE id = ?`, id)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
