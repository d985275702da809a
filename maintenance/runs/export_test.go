package runs

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// PlanOfSchedule is Plan for a schedule, whose keys nobody else may use.
func (r *Runner) PlanOfSchedule(ctx context.Context, task string, spec Spec) (*Plan, error) {
	return r.plan(ctx, task, spec)
}

// EndPause is what an instance does with a run whose pause it has seen to be over.
func (r *Runner) EndPause(ctx context.Context, id string) error { return r.endPause(ctx, id) }

// GiveBack is what an instance does with a tenant whose claim it may have, when the answer to the commit was lost.
func (r *Runner) GiveBack(ctx context.Context, run string, seq, fence int64, lease string) error {
	return sqlkit.Write(ctx, r.db, func(ctx context.Context, tx *sqlx.Tx) error {
		row, err := r.lockRun(ctx, tx, run)
		if err != nil {
			return err
		}
		return r.record(ctx, tx, row, givenBack([]claim{{itemRow: itemRow{Seq: seq, Fence: fence}, holder: lease}}))
	})
}
