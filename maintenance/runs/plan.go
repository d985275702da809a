package runs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

const (
	// planBatch is how many tenants are written to a plan at a time, and planPause after how long
	// fewer are, if they come slowly.
	planBatch = 500
	planPause = 30 * time.Second
	// planLife is how long a plan in the making is kept after tenants were written to it. Then
	// whoever makes it is dead, or as good as that.
	planLife = 2 * time.Minute
	// planSample is how many of them a plan shows.
	planSample = 10
)

// Plan finds the tenants that the spec selects and keeps them as a run that can be
// started until [Options.PlanTTL] is over: [Runner.Start] works on exactly these. It
// reads the catalog once, page by page, and may be called for any number of tenants.
//
// A task that is unknown here, a malformed spec and a plan without a tenant that the
// task can work on are errors that wrap [tenancy.ErrInvalid]; the last of these is an
// [EmptyPlanError]. With a [Spec.Key] that an earlier plan or run of the task has, Plan
// returns that one; a key of another task is an error that wraps [tenancy.ErrConflict].
func (r *Runner) Plan(ctx context.Context, task string, spec Spec) (*Plan, error) {
	if strings.HasPrefix(spec.Key, scheduleKeys) {
		return nil, wrap("runs.Runner.Plan", "", fmt.Errorf("%w: key %.40q: keys that begin with %s are those of schedules", tenancy.ErrInvalid, spec.Key, scheduleKeys))
	}
	p, err := r.plan(ctx, task, spec)
	return p, wrap("runs.Runner.Plan", "", err)
}

func (r *Runner) plan(ctx context.Context, name string, spec Spec) (*Plan, error) {
	task, err := r.task(name)
	if err != nil {
		return nil, err
	}
	if err := spec.complete(); err != nil {
		return nil, err
	}
	if spec.Params, err = r.checked(ctx, name, task, spec.Params); err != nil {
		return nil, err
	}
	filter, err := r.parseFilter(spec.Filter)
	if err != nil {
		return nil, err
	}
	if !r.scope.IsAll() {
		filter.Scope = &r.scope
	}
	if spec.Key != "" {
		if p, err := r.planned(ctx, name, spec.Key); p != nil || err != nil {
			return p, err
		}
	}
	w := &planWriter{r: r, id: string(tenancy.NewID()), name: name, task: task, spec: spec, filter: filter}
	err = w.write(ctx)
	if errors.Is(err, tenancy.ErrExists) { // somebody else was faster with the key
		p, err := r.planned(ctx, name, spec.Key)
		if p == nil && err == nil {
			err = fmt.Errorf("%w: %q", errPlanning, spec.Key)
		}
		return p, err
	}
	if err != nil {
		if w.begun {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
			defer cancel()
			err = errors.Join(err, r.remove(ctx, w.id, `state IN ('planned', 'planning')`)) // or the sweeper does it later
		}
		return nil, err
	}
	return r.shownPlan(ctx, w.id)
}

// EmptyPlanError is the error of a plan without a tenant that the task can work on. It wraps [tenancy.ErrInvalid]. Its
// text may be shown to whoever asked for the plan.
type EmptyPlanError struct {
	filter  bool
	leftOut int64
	reasons []string // the first few
}

// Error says whether no tenant was selected, or why none can take part.
func (e *EmptyPlanError) Error() string {
	switch {
	case e.leftOut == 1:
		return "the one tenant that is selected cannot take part: " + e.reasons[0]
	case e.leftOut > 0:
		more := ""
		if int(e.leftOut) > len(e.reasons) {
			more = "; …"
		}
		return fmt.Sprintf("none of the %d tenants that are selected can take part: %s%s", e.leftOut, strings.Join(e.reasons, "; "), more)
	case e.filter:
		return "no tenant matches the filter"
	}
	return "there is no tenant"
}

// Unwrap returns [tenancy.ErrInvalid].
func (e *EmptyPlanError) Unwrap() error { return tenancy.ErrInvalid }

// errPlanning says that a plan is being made, by another call, with the key that follows.
var errPlanning = fmt.Errorf("%w: another plan is being made with the key", tenancy.ErrConflict)

// planned returns the plan or run with that key, or nil. A plan whose time is over
// is removed.
func (r *Runner) planned(ctx context.Context, task, key string) (*Plan, error) {
	var row struct {
		ID, Task string
		State    State
		Expired  bool
	}
	err := r.get(ctx, r.db, &row, `SELECT id, task, state, expires_at <= NOW() AS expired FROM tenancy_runs WHERE idem_key = ?`, key)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	case row.Expired && (row.State == StatePlanned || row.State == statePlanning):
		return nil, r.remove(ctx, row.ID, expired)
	case row.Task != task:
		return nil, fmt.Errorf("%w: a run of task %q has the key %q", tenancy.ErrConflict, row.Task, key)
	case row.State == statePlanning:
		return nil, fmt.Errorf("%w: %q", errPlanning, key)
	}
	return r.shownPlan(ctx, row.ID)
}

// shownPlan returns a run as a plan.
func (r *Runner) shownPlan(ctx context.Context, id string) (*Plan, error) {
	run, err := r.seen(ctx, id)
	if err != nil {
		return nil, err
	}
	p := &Plan{Run: *run}
	for _, w := range run.Waves {
		p.Eligible += w.Total
	}
	sample := func(condition, order string) (out []Result, err error) {
		in, args := r.inScope()
		var rows []itemRow
		err = r.selects(ctx, r.db, &rows, `SELECT `+itemColumns+` FROM tenancy_run_tenants WHERE run_id = ? AND `+condition+` AND `+in+` ORDER BY `+order+` LIMIT ?`,
			append(append([]any{id}, args...), planSample)...)
		for i := range rows {
			out = append(out, rows[i].result())
		}
		return out, err
	}
	if p.Sample, err = sample(`seq > 0`, `seq`); err != nil {
		return nil, err
	}
	if p.LeftOut, err = sample(`seq < 0`, `seq DESC`); err != nil {
		return nil, err
	}
	p.Estimate, err = r.estimate(ctx, run, p.Eligible)
	return p, err
}

// estimate returns how long a run over n tenants takes if each takes what those of the
// last run of the task took. Only tenants of the scope count.
func (r *Runner) estimate(ctx context.Context, run *Run, n int) (time.Duration, error) {
	var last struct {
		Busy sql.NullInt64 `db:"busy"`
		N    sql.NullInt64 `db:"n"`
	}
	sees, args := r.sees()
	latest := `(SELECT MAX(id) FROM tenancy_runs WHERE task = ? AND id < ? AND state IN ('done', 'done_with_failures') AND ` + sees + `)`
	args = append([]any{run.Task, run.ID}, args...)
	query := `SELECT SUM(busy) AS busy, SUM(done + failed) AS n FROM tenancy_run_waves WHERE run_id = ` + latest
	if !r.scope.IsAll() {
		in, more := r.inScope()
		query = `SELECT SUM(ended_at - started_at) AS busy, COUNT(*) AS n FROM tenancy_run_tenants WHERE state IN ('done', 'failed') AND run_id = ` + latest + ` AND ` + in
		args = append(args, more...)
	}
	err := r.get(ctx, r.db, &last, query, args...)
	if err != nil || last.N.Int64 == 0 {
		return 0, err
	}
	each := time.Duration(last.Busy.Int64/last.N.Int64) * time.Microsecond
	rounds := (n + run.Spec.Parallel - 1) / run.Spec.Parallel
	return each * time.Duration(rounds), nil
}

// planWriter writes one plan.
type planWriter struct {
	r      *Runner
	id     string
	name   string
	task   tenancy.Task
	spec   Spec
	filter tenancy.Filter

	begun    bool      // the run's row is there
	written  time.Time // when it was written to last
	batch    []planItem
	eligible int64
	leftOut  int64
	canaries int
	reasons  []string // the first few of those that were left out
}

type planItem struct {
	seq    int64
	tenant *tenancy.Tenant
	reason string
}

// write selects the tenants and keeps them.
func (w *planWriter) write(ctx context.Context) error {
	seen := map[tenancy.ID]bool{} // the canaries
	for _, id := range w.spec.Waves.CanaryIDs {
		t, is, err := w.r.selected(ctx, w.filter, id)
		if errors.Is(err, tenancy.ErrNotFound) || err == nil && !is {
			err = fmt.Errorf("%w: the filter does not select the canary %q", tenancy.ErrInvalid, string(id))
		}
		if err == nil && !seen[id] {
			err = w.add(ctx, t)
		}
		if err != nil {
			return err
		}
		seen[id] = true
	}
	w.canaries = int(w.eligible) + w.spec.Waves.Canary
	if w.spec.Waves.hasCanary() && w.canaries == 0 { // everybody would be in the first wave
		return fmt.Errorf("%w: no canary can take part: %s", tenancy.ErrInvalid, strings.Join(w.reasons, "; "))
	}
	for t, err := range w.tenants(ctx) {
		if err == nil && !seen[t.ID] && w.r.scope.Includes(t) {
			err = w.add(ctx, t)
		}
		if err != nil {
			return err
		}
	}
	if w.eligible == 0 {
		return &EmptyPlanError{filter: w.spec.Filter != "", leftOut: w.leftOut, reasons: w.reasons}
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	return w.finish(ctx)
}

// find returns a tenant by its ID; one that is unknown is not tenancy.ErrNotFound,
// which would speak of the run. One outside of the scope is as unknown.
func (w *planWriter) find(ctx context.Context, id tenancy.ID) (*tenancy.Tenant, error) {
	t, err := w.r.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(id)})
	if errors.Is(err, tenancy.ErrNotFound) || err == nil && !w.r.scope.Includes(t) {
		return nil, fmt.Errorf("%w: there is no tenant %q", tenancy.ErrInvalid, string(id))
	}
	return t, err
}

// tenants yields the tenants that the spec selects, in ascending order of ID.
func (w *planWriter) tenants(ctx context.Context) iter.Seq2[*tenancy.Tenant, error] {
	return func(yield func(*tenancy.Tenant, error) bool) {
		for _, id := range w.spec.IDs {
			if t, err := w.find(ctx, id); !yield(t, err) || err != nil {
				return
			}
		}
		if len(w.spec.IDs) > 0 {
			return
		}
		w.r.records(ctx, w.filter)(yield)
	}
}

// add puts a tenant into the plan, among those that are left out if the task cannot
// take it.
func (w *planWriter) add(ctx context.Context, t *tenancy.Tenant) error {
	reason := ""
	if slices.Contains(w.spec.Exclude, t.ID) {
		reason = "excluded"
	} else {
		var err error
		if reason, err = w.r.eligible(ctx, w.task, t); err != nil {
			return fmt.Errorf("tenant %s: %w", t.ID, err)
		}
	}
	item := planItem{tenant: t, reason: reason}
	if reason == "" {
		w.eligible++
		item.seq = w.eligible
	} else {
		w.leftOut++
		item.seq = -w.leftOut
		if len(w.reasons) < 3 {
			w.reasons = append(w.reasons, t.Slug+": "+reason)
		}
	}
	w.batch = append(w.batch, item)
	if len(w.batch) < planBatch && (!w.begun || time.Since(w.written) < planPause) {
		return nil
	}
	return w.flush(ctx)
}

// flush writes the batch, and before the first one the run.
func (w *planWriter) flush(ctx context.Context) error {
	err := sqlkit.Write(ctx, w.r.db, func(ctx context.Context, tx *sqlx.Tx) error {
		put := w.insertRun
		if w.begun {
			put = func(ctx context.Context, tx *sqlx.Tx) error { return w.renew(ctx, tx, statePlanning, planLife) }
		}
		if err := put(ctx, tx); err != nil {
			return err
		}
		return w.insertItems(ctx, tx)
	})
	if err == nil {
		w.begun, w.written, w.batch = true, time.Now(), w.batch[:0]
	}
	return err
}

func (w *planWriter) insertRun(ctx context.Context, tx *sqlx.Tx) error {
	spec, err := json.Marshal(w.spec)
	if err != nil {
		return fmt.Errorf("%w: %w", tenancy.ErrInvalid, err)
	}
	actor, err := json.Marshal(tenancy.ActorFrom(ctx))
	if err != nil {
		return fmt.Errorf("%w: %w", tenancy.ErrInvalid, err)
	}
	scope, err := json.Marshal(w.r.scope)
	if err != nil {
		return fmt.Errorf("%w: %w", tenancy.ErrInvalid, err)
	}
	_, err = w.r.exec(ctx, tx, `INSERT INTO tenancy_runs (`+runColumns+`) VALUES (?, ?, ?, '', ?, ?, ?, 0, NOW(), NOW() + ?, 0, 0, 0, ?)`,
		w.id, w.name, statePlanning, string(spec), string(actor), sql.NullString{String: w.spec.Key, Valid: w.spec.Key != ""}, planLife.Microseconds(),
		sql.NullString{String: string(scope), Valid: !w.r.scope.IsAll()})
	if sqlkit.IsUnique(err) {
		return fmt.Errorf("%w: key %q", tenancy.ErrExists, w.spec.Key)
	}
	return err
}

// renew gives the plan a state and the time until it ends, unless it was given up.
func (w *planWriter) renew(ctx context.Context, tx *sqlx.Tx, state State, life time.Duration) error {
	n, err := w.r.exec(ctx, tx, `UPDATE tenancy_runs SET state = ?, expires_at = NOW() + ? WHERE id = ? AND state = ? AND expires_at > 0`,
		state, life.Microseconds(), w.id, statePlanning)
	if err == nil && n != 1 {
		err = fmt.Errorf("%w: the plan was given up, because nothing was written to it for %v", tenancy.ErrUnavailable, planLife)
	}
	return err
}

func (w *planWriter) insertItems(ctx context.Context, tx *sqlx.Tx) error {
	if len(w.batch) == 0 {
		return nil
	}
	args := make([]any, 0, 8*len(w.batch))
	for _, item := range w.batch {
		state, t := TenantPending, item.tenant
		if item.seq < 0 {
			state = TenantSkipped
		}
		args = append(args, w.id, item.seq, t.ID, t.Slug, t.Placement.Server, tagsText(t), state, item.reason)
	}
	values := strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, '', '', 0, 0), ", len(w.batch)), ", ")
	_, err := w.r.exec(ctx, tx, `INSERT INTO tenancy_run_tenants
		(run_id, seq, tenant_id, slug, server, tags, state, note, attempt, fence, deaths, worker, checkpoint, started_at, ended_at) VALUES `+values, args...)
	return err
}

// finish divides the tenants into waves and makes the plan one that is seen.
func (w *planWriter) finish(ctx context.Context) error {
	sizes, err := w.spec.Waves.sizes(int(w.eligible), w.canaries)
	if err != nil {
		return err
	}
	return sqlkit.Write(ctx, w.r.db, func(ctx context.Context, tx *sqlx.Tx) error {
		insert := func(wave int, last int64, total, skipped int) error {
			_, err := w.r.exec(ctx, tx, `INSERT INTO tenancy_run_waves (run_id, `+waveColumns+`) VALUES (?, ?, ?, ?, 0, 0, ?, 0, 0, 0)`,
				w.id, wave, last, total, skipped)
			return err
		}
		if w.leftOut > 0 {
			if err := insert(0, -1, int(w.leftOut), int(w.leftOut)); err != nil {
				return err
			}
		}
		last := int64(0)
		for i, n := range sizes {
			last += int64(n)
			if err := insert(i+1, last, n, 0); err != nil {
				return err
			}
		}
		if err := w.renew(ctx, tx, StatePlanned, w.r.opts.PlanTTL); err != nil {
			return err
		}
		return w.r.audit(ctx, tx, "run.plan", w.id, w.name)
	})
}
