package runs

import (
	"context"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// claim is a tenant that this instance has taken.
type claim struct {
	itemRow
}

// outcome is what became of a claim.
type outcome struct {
	claim
	state TenantState // pending: give it back; working: to the executor
	note  string
	busy  int64 // microseconds
	err   error // of a task that failed
}

// givenBack are the outcomes by which claims are given back. Of a claim that this instance
// does not have they change nothing.
func givenBack(claims []claim) []outcome {
	out := make([]outcome, len(claims))
	for i, c := range claims {
		out[i] = outcome{claim: c, state: TenantPending}
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

// record writes the outcomes and counts them.
func (r *Runner) record(ctx context.Context, tx *sqlx.Tx, row *runRow, outcomes []outcome) error {
	type counted struct {
		Counts
		busy int64
	}
	changed := map[int64]*counted{} // by the last number of the wave
	var waves []waveRow
	for _, o := range outcomes {
		state, ended, holder := o.state, "NOW()", ""
		if state == TenantWorking {
			ended, holder = "0, started_at = NOW()", queued
			if row.State == StateCancelled {
				state = TenantPending // and so cancelled
			}
		}
		if state == TenantPending {
			ended, holder = "0", ""
			if row.State == StateCancelled {
				state = TenantCancelled
			}
		}
		n, err := r.exec(ctx, tx, `UPDATE tenancy_run_tenants SET state = ?, note = ?, worker = ?, ended_at = `+ended+`
			WHERE run_id = ? AND seq = ? AND fence = ? AND state = ?`, state, clip(o.note), holder, row.ID, o.Seq, o.Fence, TenantWorking)
		if err != nil {
			return err
		}
		if n == 0 || state == TenantPending || state == TenantWorking {
			continue
		}
		if waves == nil {
			if waves, err = r.lockWaves(ctx, tx, row.ID); err != nil {
				return err
			}
		}
		w := waveOf(waves, o.Seq)
		c := changed[w.LastSeq]
		if c == nil {
			c = &counted{}
			changed[w.LastSeq] = c
		}
		c.busy += o.busy
		switch state {
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
	for last, c := range changed {
		_, err := r.exec(ctx, tx, `UPDATE tenancy_run_waves SET done = done + ?, failed = failed + ?, skipped = skipped + ?, cancelled = cancelled + ?,
			busy = busy + ? WHERE run_id = ? AND last_seq = ?`, c.Done, c.Failed, c.Skipped, c.Cancelled, c.busy, row.ID, last)
		if err != nil {
			return err
		}
	}
	return nil
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
	want = min(want, run.Spec.Parallel-total)
	var out []claim
	for want > 0 {
		found, err := r.candidates(ctx, tx, row, run.Spec.PerServer, on, want)
		if err != nil || len(found) == 0 {
			return out, err
		}
		for _, item := range found {
			if limit := run.Spec.PerServer; limit > 0 && on[item.Server] >= limit {
				continue
			}
			ticket := int64(0)
			if r.opts.Executor != nil {
				ticket = item.Fence + 1
			}
			n, err := r.exec(ctx, tx, `UPDATE tenancy_run_tenants SET state = ?, attempt = ?, fence = ?, ticket = ?, worker = ?, note = '', started_at = NOW(), ended_at = 0
				WHERE run_id = ? AND seq = ?`, TenantWorking, item.Attempt+1, item.Fence+1, ticket, lease.Name(), row.ID, item.Seq)
			if err == nil && n != 1 {
				err = fmt.Errorf("%w: tenant %d of run %s", tenancy.ErrConflict, item.Seq, row.ID)
			}
			if err != nil {
				return nil, err
			}
			item.Attempt++
			item.Fence++
			item.Ticket = ticket
			on[item.Server]++
			want--
			out = append(out, claim{item})
		}
	}
	return out, nil
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
