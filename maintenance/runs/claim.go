package runs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// claim is a tenant that this instance has taken.
type claim struct {
	itemRow
	holder string          // in whose hands the tenant is: a lease, or queued
	record *tenancy.Tenant // read with those of other claims, if the filter selects it
	readAt time.Time
}

// outcome is what became of a claim.
type outcome struct {
	claim
	state TenantState // pending: give it back; working: to the executor
	note  string
	busy  int64 // microseconds
	err   error // of a task that failed

	uncalled bool // the task was not called, so this is no attempt
}

// givenBack are the outcomes by which claims are given back. Of a claim that this instance
// does not have they change nothing.
func givenBack(claims []claim) []outcome {
	out := make([]outcome, len(claims))
	for i, c := range claims {
		out[i] = outcome{claim: c, state: TenantPending, uncalled: true}
	}
	return out
}

// exchange writes what became of claims and takes up to want more tenants, in one
// transaction of the lease's holder. Outcomes of claims that were taken over
// meanwhile change nothing. With an error, the claims are those that this instance may
// have, if the transaction was committed all the same: give them back.
func (r *Runner) exchange(ctx context.Context, lease *sqlkit.Lease, id string, outcomes []outcome, want int) (run runRow, claims []claim, err error) {
	// What was done must be written down even while the program ends.
	err = sqlkit.Write(context.WithoutCancel(ctx), r.db, func(ctx context.Context, tx *sqlx.Tx) error {
		claims = nil
		if err := lease.Lock(ctx, tx); err != nil {
			return err
		}
		row, err := r.lockRun(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := r.record(ctx, tx, row, outcomes); err != nil {
			return err
		}
		if len(outcomes) > 0 {
			if err := r.advance(ctx, tx, row); err != nil {
				return err
			}
		}
		if row.State == StateRunning && want > 0 {
			claims, err = r.claim(ctx, tx, row, lease, want)
		}
		run = *row
		return err
	})
	return run, claims, err
}

// record writes the outcomes and counts them. The transaction has locked the run.
func (r *Runner) record(ctx context.Context, tx *sqlx.Tx, row *runRow, outcomes []outcome) error {
	for batch := range slices.Chunk(outcomes, maxBatch) {
		if err := r.recordBatch(ctx, tx, row, batch); err != nil {
			return err
		}
	}
	return nil
}

// maxBatch is how many tenants a statement names at the most.
const maxBatch = 500

func (r *Runner) recordBatch(ctx context.Context, tx *sqlx.Tx, row *runRow, outcomes []outcome) error {
	valid, err := r.valid(ctx, tx, row.ID, outcomes)
	if err != nil || len(valid) == 0 {
		return err
	}
	waves, err := r.lockWaves(ctx, tx, row.ID)
	if err != nil {
		return err
	}
	type change struct {
		state    TenantState
		note     string
		attempts int // that do not count, of each
	}
	type counted struct {
		Counts
		busy int64
	}
	changes := map[change][]int64{}
	counts := map[int64]*counted{} // by the last number of the wave
	for _, o := range valid {
		if row.State == StateCancelled && (o.state == TenantPending || o.state == TenantWorking) {
			o.state = TenantCancelled
		}
		as := change{state: o.state, note: clip(o.note)}
		if o.uncalled {
			as.attempts = 1
		}
		changes[as] = append(changes[as], o.Seq)
		if o.state == TenantPending || o.state == TenantWorking {
			continue
		}
		last := waveOf(waves, o.Seq).LastSeq
		if counts[last] == nil {
			counts[last] = &counted{}
		}
		c := counts[last]
		c.busy += o.busy
		switch o.state {
		case TenantDone:
			c.Done++
		case TenantFailed:
			c.Failed++
		case TenantSkipped:
			c.Skipped++
		case TenantCancelled:
			c.Cancelled++
		}
	}
	for as, numbers := range changes {
		ended, holder := "ended_at = NOW()", ""
		switch as.state {
		case TenantPending:
			ended = "ended_at = 0"
		case TenantWorking: // with the executor, from now on
			ended, holder = "ended_at = 0, started_at = NOW()", queued
		}
		query, args, err := sqlx.In(`UPDATE tenancy_run_tenants SET state = ?, note = ?, worker = ?, attempt = attempt - ?, `+ended+` WHERE run_id = ? AND seq IN (?)`,
			as.state, as.note, holder, as.attempts, row.ID, numbers)
		if err == nil {
			_, err = r.exec(ctx, tx, query, args...)
		}
		if err != nil {
			return err
		}
	}
	for last, c := range counts {
		_, err := r.exec(ctx, tx, `UPDATE tenancy_run_waves SET done = done + ?, failed = failed + ?, skipped = skipped + ?, cancelled = cancelled + ?,
			busy = busy + ? WHERE run_id = ? AND last_seq = ?`, c.Done, c.Failed, c.Skipped, c.Cancelled, c.busy, row.ID, last)
		if err != nil {
			return err
		}
	}
	return nil
}

// valid returns the outcomes of claims that were not taken over, each once.
func (r *Runner) valid(ctx context.Context, tx *sqlx.Tx, id string, outcomes []outcome) (valid []outcome, err error) {
	numbers := make([]int64, len(outcomes))
	for i, o := range outcomes {
		numbers[i] = o.Seq
	}
	query, args, err := sqlx.In(`SELECT seq, fence, worker FROM tenancy_run_tenants WHERE run_id = ? AND state = ? AND seq IN (?)`+r.forUpdate(), id, TenantWorking, numbers)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Seq, Fence int64
		Worker     string
	}
	if err := r.selects(ctx, tx, &rows, query, args...); err != nil {
		return nil, err
	}
	type hand struct {
		fence  int64
		holder string // of a claim whose commit failed another instance may have the fence
	}
	hands := make(map[int64]hand, len(rows))
	for _, row := range rows {
		hands[row.Seq] = hand{row.Fence, row.Worker}
	}
	for _, o := range outcomes {
		if h, working := hands[o.Seq]; working && h == (hand{o.Fence, o.holder}) {
			valid = append(valid, o)
			delete(hands, o.Seq)
		}
	}
	return valid, nil
}

// waveOf returns the wave that the tenant of that number is in.
func waveOf(waves []waveRow, seq int64) waveRow {
	i := slices.IndexFunc(waves, func(w waveRow) bool { return seq <= w.LastSeq })
	if i < 0 {
		return waveRow{}
	}
	return waves[i]
}

// claim takes up to want tenants of a run that the transaction has locked.
func (r *Runner) claim(ctx context.Context, tx *sqlx.Tx, row *runRow, lease *sqlkit.Lease, want int) ([]claim, error) {
	run, err := row.run()
	if err != nil {
		return nil, err
	}
	var working []struct {
		Server string `db:"server"`
		N      int    `db:"n"`
	}
	err = r.selects(ctx, tx, &working, `SELECT server, COUNT(*) AS n FROM tenancy_run_tenants WHERE run_id = ? AND state = ? GROUP BY server`, row.ID, TenantWorking)
	if err != nil {
		return nil, err
	}
	on, total := map[string]int{}, 0
	for _, w := range working {
		on[w.Server] = w.N
		total += w.N
	}
	// What the waves count says how many are left, without a look at all of them.
	var open int
	err = r.get(ctx, tx, &open, `SELECT COALESCE(SUM(total - done - failed - skipped - cancelled), 0) FROM tenancy_run_waves WHERE run_id = ? AND wave BETWEEN 1 AND ?`,
		row.ID, row.Wave)
	if err != nil {
		return nil, err
	}
	want = min(want, run.Spec.Parallel-total, open-total)
	var out []claim
	for want > 0 {
		found, err := r.candidates(ctx, tx, row, run.Spec.PerServer, on, want)
		if err != nil || len(found) == 0 {
			return out, err
		}
		var numbers []int64
		for _, item := range found {
			if limit := run.Spec.PerServer; limit > 0 && on[item.Server] >= limit {
				continue
			}
			numbers = append(numbers, item.Seq)
			item.Attempt++
			item.Fence++
			if r.opts.Executor != nil {
				item.Ticket = item.Fence
			}
			on[item.Server]++
			want--
			out = append(out, claim{itemRow: item, holder: lease.Name()})
		}
		if len(numbers) == 0 {
			return out, nil
		}
		if err := r.mark(ctx, tx, row.ID, lease, numbers); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// mark makes tenants those of the lease.
func (r *Runner) mark(ctx context.Context, tx *sqlx.Tx, id string, lease *sqlkit.Lease, numbers []int64) error {
	tickets := 0
	if r.opts.Executor != nil {
		tickets = 1
	}
	// MySQL evaluates from left to right: the ticket is made of the fence before.
	query, args, err := sqlx.In(`UPDATE tenancy_run_tenants SET state = ?, attempt = attempt + 1, ticket = (fence + 1) * ?, fence = fence + 1, worker = ?, note = '',
		started_at = NOW(), ended_at = 0 WHERE run_id = ? AND state = ? AND seq IN (?)`, TenantWorking, tickets, lease.Name(), id, TenantPending, numbers)
	if err != nil {
		return err
	}
	n, err := r.exec(ctx, tx, query, args...)
	if err == nil && int(n) != len(numbers) {
		err = fmt.Errorf("%w: %d of %d tenants of run %s", tenancy.ErrConflict, n, len(numbers), id)
	}
	return err
}

// candidates returns tenants whose turn has come, none of them on a server where
// enough are worked on.
func (r *Runner) candidates(ctx context.Context, tx *sqlx.Tx, row *runRow, perServer int, on map[string]int, want int) (found []itemRow, err error) {
	query := `SELECT ` + itemColumns + ` FROM tenancy_run_tenants WHERE run_id = ? AND state = ?
		AND seq <= (SELECT last_seq FROM tenancy_run_waves WHERE run_id = ? AND wave = ?)`
	args := []any{row.ID, TenantPending, row.ID, row.Wave}
	for server, n := range on {
		if perServer > 0 && n >= perServer {
			query, args = query+` AND server <> ?`, append(args, server)
		}
	}
	err = r.selects(ctx, tx, &found, query+` ORDER BY seq LIMIT ?`+r.skipLocked(), append(args, want)...)
	return found, err
}
