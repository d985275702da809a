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

// report follows a run and says what became of it.
func report(ctx context.Context, runner *runs.Runner, id string) error {
	for p, err := range runner.Follow(ctx, id) {
		if err != nil {
			return err
		}
		fmt.Printf("%s: wave %d of %d, %d of %d tenants, %d failed\n", p.State, p.Wave, len(p.Waves), p.Finished(), p.Total, p.Failed)
	}
	failed, err := runner.Results(ctx, id, runs.ResultQuery{States: []runs.TenantState{runs.TenantFailed}})
	for _, each := range failed {
		fmt.Printf("%s failed: %s\n", each.Slug, each.Text)
	}
	return err
}
