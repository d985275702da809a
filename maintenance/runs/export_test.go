package runs

import "context"

// PlanOfSchedule is Plan for a schedule, whose keys nobody else may use.
func (r *Runner) PlanOfSchedule(ctx context.Context, task string, spec Spec) (*Plan, error) {
	return r.plan(ctx, task, spec)
}

// EndPause is what an instance does with a run whose pause it has seen to be over.
func (r *Runner) EndPause(ctx context.Context, id string) error { return r.endPause(ctx, id) }
