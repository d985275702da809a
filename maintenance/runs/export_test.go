package runs

import "context"

// EndPause is what an instance does with a run whose pause it has seen to be over.
func (r *Runner) EndPause(ctx context.Context, id string) error { return r.endPause(ctx, id) }
