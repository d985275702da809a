package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// watch reports each run of the schedule when it has ended.
func watch(ctx context.Context, runner *runs.Runner) error {
	last := ""
	for {
		all, err := runner.Schedules(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			slog.Warn("the schedules cannot be read", "error", err)
		} else if all[0].LastRun != last {
			last = all[0].LastRun
			if err := report(ctx, runner, last); err != nil {
				slog.Warn("no report", "run", last, "error", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
		}
	}
}

// report follows a run and says what became of it. A run that did not do all that it should is an error.
func report(ctx context.Context, runner *runs.Runner, id string) error {
	var last runs.Progress
	for p, err := range runner.Follow(ctx, id) {
		if err != nil {
			return err
		}
		last = p
		fmt.Printf("%s: wave %d of %d, %d of %d tenants, %d failed\n", p.State, p.Wave, len(p.Waves), p.Finished(), p.Total, p.Failed)
	}
	q := runs.ResultQuery{States: []runs.TenantState{runs.TenantFailed}, Limit: 100}
	for {
		failed, err := runner.Results(ctx, id, q)
		if err != nil {
			return err
		}
		for _, each := range failed {
			fmt.Printf("%s failed: %s\n", each.Slug, each.Text)
			q.After = each.Number
		}
		if len(failed) < q.Limit {
			break
		}
	}
	if last.State != runs.StateDone {
		return fmt.Errorf("the run is %s: %d of %d tenants are done", last.State, last.Done, last.Total)
	}
	return nil
}
