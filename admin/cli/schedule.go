package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy/maintenance/runs"
)

func (p *program) schedule() *cobra.Command {
	return group("schedule", "Runs that are due again and again", p.scheduleList(),
		p.scheduleChange("pause", "Let a schedule be due no more", func(ctx context.Context, name string) error { return p.app.Runner.PauseSchedule(ctx, name) }),
		p.scheduleChange("resume", "Let a schedule be due again", func(ctx context.Context, name string) error { return p.app.Runner.ResumeSchedule(ctx, name) }),
		p.scheduleTrigger())
}

func (p *program) scheduleList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List schedules, and when they are due",
		Example: "  tenantctl schedule list",
		Args:    args(cobra.NoArgs),
		RunE: p.with(func(cmd *cobra.Command, _ []string) error {
			if err := need(p.app.Runner != nil, "runner"); err != nil {
				return err
			}
			all, err := p.app.Runner.Schedules(cmd.Context())
			if err != nil {
				return err
			}
			rows := newTable(cmd.OutOrStdout(), "SCHEDULE", "TASK", "DUE", "WHEN", "LAST")
			for _, s := range all {
				if p.json {
					if err := p.writeJSON(cmd, s); err != nil {
						return err
					}
					continue
				}
				due, last := date(s.NextAt), s.LastRun
				if s.Paused {
					due = "paused"
				}
				if s.Note != "" {
					last = s.Note
				}
				rows.row(s.Name, s.Task, due, s.Cron+" "+s.Zone, last)
			}
			if p.json {
				return nil
			}
			if len(all) == 0 {
				return p.say(cmd, "This program has no schedules.")
			}
			return rows.flush()
		}),
	}
}

func (p *program) scheduleChange(name, short string, change func(context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " <schedule>", Short: short,
		Example: "  tenantctl schedule " + name + " nightly",
		Args:    args(cobra.ExactArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if err := need(p.app.Runner != nil, "runner"); err != nil {
				return err
			}
			if err := change(cmd.Context(), args[0]); err != nil || p.json {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "Schedule %s is %sd.\n", args[0], name)
			return err
		}),
	}
}

func (p *program) scheduleTrigger() *cobra.Command {
	return p.starting("trigger <schedule>", "Start the run of a schedule now", "  tenantctl schedule trigger nightly",
		func(ctx context.Context, id string) (*runs.Run, error) { return p.app.Runner.Trigger(ctx, id) })
}
