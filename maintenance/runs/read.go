package runs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// maxPage is the largest page of runs or results.
const maxPage = 1000

// page checks the size of a page and fills in the default.
func page(limit int) (int, error) {
	if limit < 0 || limit > maxPage {
		return 0, fmt.Errorf("%w: page of %d, want 1 to %d", tenancy.ErrInvalid, limit, maxPage)
	}
	return cmp.Or(limit, 100), nil
}

// inScope returns the condition under which a row of tenancy_run_tenants is seen.
func (r *Runner) inScope() (condition string, args []any) {
	if r.scope.IsAll() {
		return "1 = 1", nil
	}
	var any []string
	for _, id := range r.scope.IDs() {
		any, args = append(any, "tenant_id = ?"), append(args, id)
	}
	for _, tag := range r.scope.Tags() {
		any, args = append(any, "tags LIKE ? ESCAPE '!'"), append(args, "% "+strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(tag)+" %")
	}
	if len(any) == 0 {
		return "1 = 0", nil
	}
	return "(" + strings.Join(any, " OR ") + ")", args
}

// sees returns the condition under which a row of tenancy_runs is seen.
func (r *Runner) sees() (condition string, args []any) {
	condition = "state <> '" + string(statePlanning) + "'"
	if r.scope.IsAll() {
		return condition, nil
	}
	in, args := r.inScope()
	return condition + ` AND EXISTS (SELECT 1 FROM tenancy_run_tenants WHERE run_id = tenancy_runs.id AND ` + in + `)`, args
}

// isID reports whether a text may be the ID of a run. Databases answer others with errors.
func isID(s string) bool { return tenancy.ID(s).Validate() == nil }

// Get returns a run, or an error that wraps [tenancy.ErrNotFound].
func (r *Runner) Get(ctx context.Context, id string) (*Run, error) {
	run, err := r.seen(ctx, id)
	return run, wrap("runs.Runner.Get", "", err)
}

// seen is read, by the present tags of the tenants.
func (r *Runner) seen(ctx context.Context, id string) (*Run, error) {
	if _, err := r.retag(ctx, id); err != nil {
		return nil, err
	}
	return r.read(ctx, r.db, id)
}

func (r *Runner) read(ctx context.Context, db sqlx.QueryerContext, id string) (*Run, error) {
	if !isID(id) {
		return nil, fmt.Errorf("%w: run %.40q", tenancy.ErrNotFound, id)
	}
	sees, args := r.sees()
	var row runRow
	err := r.get(ctx, db, &row, `SELECT `+runColumns+` FROM tenancy_runs WHERE id = ? AND `+sees, append([]any{id}, args...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: run %.40q", tenancy.ErrNotFound, id)
	}
	if err != nil {
		return nil, err
	}
	run, err := row.run()
	if err != nil {
		return nil, err
	}
	waves, err := r.waves(ctx, db, id)
	if err != nil {
		return nil, err
	}
	run.setWaves(waves)
	return run, r.hide(ctx, db, run)
}

// others returns how many tenants of a run are outside of the scope.
func (r *Runner) others(ctx context.Context, db sqlx.QueryerContext, id string) (n int, err error) {
	if r.scope.IsAll() {
		return 0, nil
	}
	in, args := r.inScope()
	err = r.get(ctx, db, &n, `SELECT COUNT(*) FROM tenancy_run_tenants WHERE run_id = ? AND NOT `+in, append([]any{id}, args...)...)
	return n, err
}

// hide removes what speaks of tenants outside of the scope from a run that has some.
func (r *Runner) hide(ctx context.Context, db sqlx.QueryerContext, run *Run) error {
	n, err := r.others(ctx, db, run.ID)
	if err == nil && n > 0 {
		run.Reason, run.Spec.Filter, run.Spec.IDs, run.Spec.Exclude, run.Spec.Waves.CanaryIDs, run.Spec.Key = "", "", nil, nil, nil, ""
	}
	return err
}

// setWaves fills in what is counted.
func (run *Run) setWaves(waves []waveRow) {
	run.Counts, run.Waves = Counts{}, nil
	for _, w := range waves {
		run.add(w.Counts)
		if w.Wave > 0 {
			run.Waves = append(run.Waves, Wave{w.Wave, w.Counts})
		}
	}
}

// waves returns the waves of a run in order, with the tenants of the scope counted.
func (r *Runner) waves(ctx context.Context, db sqlx.QueryerContext, id string) (waves []waveRow, err error) {
	if r.scope.IsAll() {
		err = r.selects(ctx, db, &waves, `SELECT `+waveColumns+` FROM tenancy_run_waves WHERE run_id = ? ORDER BY wave`, id)
		return waves, err
	}
	in, args := r.inScope()
	var groups []struct {
		Wave  int         `db:"wave"`
		State TenantState `db:"state"`
		N     int         `db:"n"`
	}
	err = r.selects(ctx, db, &groups, `SELECT wave, state, COUNT(*) AS n FROM (
			SELECT state, (SELECT MIN(w.wave) FROM tenancy_run_waves w WHERE w.run_id = tenancy_run_tenants.run_id AND seq <= w.last_seq) AS wave
			FROM tenancy_run_tenants WHERE run_id = ? AND `+in+`) each_one
		GROUP BY wave, state ORDER BY wave`, append([]any{id}, args...)...)
	for _, g := range groups {
		if n := len(waves); n == 0 || waves[n-1].Wave != g.Wave {
			waves = append(waves, waveRow{Wave: g.Wave})
		}
		w := &waves[len(waves)-1]
		w.Total += g.N
		switch g.State {
		case TenantDone:
			w.Done += g.N
		case TenantFailed:
			w.Failed += g.N
		case TenantSkipped:
			w.Skipped += g.N
		case TenantCancelled:
			w.Cancelled += g.N
		}
	}
	return waves, err
}

// Query selects runs from a listing, which begins with the latest. A zero field does
// not restrict.
type Query struct {
	// States lists the states to include.
	States []State
	Task   string
	// Before continues a listing behind this run: the last of the page before.
	Before string
	// Limit is the size of a page: at most 1,000; default 100.
	Limit int
}

// List returns a page of runs, the latest first. A page shorter than the limit is
// the last.
func (r *Runner) List(ctx context.Context, q Query) ([]*Run, error) {
	out, err := r.list(ctx, q)
	return out, wrap("runs.Runner.List", "", err)
}

func (r *Runner) list(ctx context.Context, q Query) ([]*Run, error) {
	limit, err := page(q.Limit)
	if err != nil {
		return nil, err
	}
	if q.Before != "" && !isID(q.Before) {
		return nil, fmt.Errorf("%w: runs before %.40q", tenancy.ErrInvalid, q.Before)
	}
	where, args := r.sees()
	if q.Task != "" {
		if err := validateTaskName(q.Task); err != nil {
			return nil, err
		}
		where, args = where+` AND task = ?`, append(args, q.Task)
	}
	if q.Before != "" {
		where, args = where+` AND id < ?`, append(args, q.Before)
	}
	if len(q.States) > 0 {
		for _, s := range q.States {
			if err := s.validate(); err != nil {
				return nil, err
			}
		}
		in, values, err := sqlx.In(` AND state IN (?)`, q.States)
		if err != nil {
			return nil, err
		}
		where, args = where+in, append(args, values...)
	}
	var rows []runRow
	for again := true; again; { // without the runs that are not seen any more, a page has others
		rows = nil
		err = r.selects(ctx, r.db, &rows, `SELECT `+runColumns+` FROM tenancy_runs WHERE `+where+` ORDER BY id DESC LIMIT ?`, append(args, limit)...)
		if err != nil {
			return nil, err
		}
		ids := make([]string, len(rows))
		for i := range rows {
			ids[i] = rows[i].ID
		}
		if again, err = r.retag(ctx, ids...); err != nil {
			return nil, err
		}
	}
	out := make([]*Run, len(rows))
	for i := range rows {
		if out[i], err = rows[i].run(); err != nil {
			return nil, err
		}
		waves, err := r.waves(ctx, r.db, rows[i].ID)
		if err != nil {
			return nil, err
		}
		out[i].setWaves(waves)
		if err := r.hide(ctx, r.db, out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ResultQuery selects from the tenants of a run, in order of [Result.Number]. A zero
// field does not restrict.
type ResultQuery struct {
	// States lists the states to include.
	States []TenantState
	// After continues a listing behind this number: the last of the page before.
	After int64
	// Limit is the size of a page: at most 1,000; default 100.
	Limit int
}

// Results returns a page of what a run has done. Tenants that the plan left out come
// first, and only if the state skipped is asked for, or every state. A page shorter
// than the limit is the last.
func (r *Runner) Results(ctx context.Context, id string, q ResultQuery) ([]Result, error) {
	out, err := r.results(ctx, id, q)
	return out, wrap("runs.Runner.Results", "", err)
}

func (r *Runner) results(ctx context.Context, id string, q ResultQuery) ([]Result, error) {
	limit, err := page(q.Limit)
	if err != nil {
		return nil, err
	}
	if _, err := r.seen(ctx, id); err != nil {
		return nil, err
	}
	in, args := r.inScope()
	where, args := `run_id = ? AND `+in, append([]any{id}, args...)
	if q.After != 0 {
		where, args = where+` AND seq > ?`, append(args, q.After)
	}
	if len(q.States) > 0 {
		for _, s := range q.States {
			if !slices.Contains(TenantStates(), s) {
				return nil, fmt.Errorf("%w: state %.40q of a tenant in a run", tenancy.ErrInvalid, string(s))
			}
		}
		states, values, err := sqlx.In(` AND state IN (?)`, q.States)
		if err != nil {
			return nil, err
		}
		where, args = where+states, append(args, values...)
	}
	var rows []itemRow
	err = r.selects(ctx, r.db, &rows, `SELECT `+itemColumns+` FROM tenancy_run_tenants WHERE `+where+` ORDER BY seq LIMIT ?`, append(args, limit)...)
	out := make([]Result, len(rows))
	for i := range rows {
		out[i] = rows[i].result()
	}
	return out, err
}
