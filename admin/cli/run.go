package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

func (p *program) run() *cobra.Command {
	return group("run", "Work over many tenants: plan, start, follow, control",
		p.runPlan(), p.runStart(), p.runList(), p.runShow(), p.runWatch(),
		p.runChange("pause <run>", "Take no further tenants; those in hand are finished", false, func(ctx context.Context, id, reason string) (*runs.Run, error) {
			return p.app.Runner.Pause(ctx, id, reason)
		}),
		p.runChange("resume <run>", "Go on with a run that is paused, stopped, or waits for approval", true, func(ctx context.Context, id, _ string) (*runs.Run, error) {
			return p.app.Runner.Resume(ctx, id)
		}),
		p.runChange("cancel <run>", "Give a run up; what was done stays done", false, func(ctx context.Context, id, reason string) (*runs.Run, error) {
			return p.app.Runner.Cancel(ctx, id, reason)
		}),
		p.runChange("retry <run>", "Work once more on the tenants that failed", true, func(ctx context.Context, id, _ string) (*runs.Run, error) {
			return p.app.Runner.Retry(ctx, id)
		}),
	)
}

func (p *program) runPlan() *cobra.Command {
	b := &bulk{p: p}
	var params map[string]string
	cmd := &cobra.Command{
		Use:   "plan <task> [tenant]...",
		Short: "Show which tenants a run would work on, and keep that for \"run start\"",
		Example: `  tenantctl run plan suspend --where "status:active plan:trial"
  tenantctl run plan tag --param add=eu --all
  tenantctl run plan revoke-keys --param name=importer --param before=2026-01-31 --all`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if err := need(p.app.Runner != nil, "runner"); err != nil {
				return err
			}
			if err := b.complete(cmd, args[1:]); err != nil {
				return err
			}
			b.spec.Params = tenancy.Params(params)
			plan, err := p.app.Runner.Plan(cmd.Context(), args[0], b.spec)
			if err != nil {
				return err
			}
			return p.showPlan(cmd, plan, false)
		}),
	}
	b.flags(cmd)
	cmd.Flags().StringToStringVar(&params, "param", nil, "parameter of the task, such as add=eu; may be repeated")
	return cmd
}

// showPlan shows what a plan found, and how long it can be started unless it is a dry run.
func (p *program) showPlan(cmd *cobra.Command, plan *runs.Plan, dry bool) error {
	if p.json {
		return p.writeJSON(cmd, plan)
	}
	w := cmd.OutOrStdout()
	waves := ""
	if len(plan.Waves) > 1 {
		for i, wave := range plan.Waves {
			if i > 0 {
				waves += " + "
			}
			if i == 12 {
				waves += "…"
				break
			}
			waves += fmt.Sprint(wave.Total)
		}
	}
	estimate := ""
	switch {
	case plan.Estimate > 0 && plan.Estimate < time.Second:
		estimate = "less than a second"
	case plan.Estimate > 0:
		estimate = "about " + plan.Estimate.Round(time.Second).String()
	}
	id, state, expires := plan.ID, string(plan.State), date(plan.ExpiresAt)
	if dry {
		id, state, expires = "", "", ""
	}
	if err := pairs(w, "Run", id, "Task", plan.Task, "State", state, "Tenants", fmt.Sprint(plan.Eligible),
		"Left out", fmt.Sprint(plan.Total-plan.Eligible), "Waves", waves, "Time", estimate, "Start by", expires); err != nil {
		return err
	}
	if len(plan.LeftOut) > 0 {
		fmt.Fprintln(w)
		rows := newTable(w, "LEFT OUT", "REASON")
		for _, each := range plan.LeftOut {
			rows.row(each.Slug, each.Text)
		}
		if err := rows.flush(); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	rows := newTable(w, "FIRST TENANTS", "ID")
	for _, each := range plan.Sample {
		rows.row(each.Slug, string(each.Tenant))
	}
	return rows.flush()
}

// showEmpty shows what a dry run found that selects nobody.
func (p *program) showEmpty(cmd *cobra.Command, task string, why *runs.EmptyPlanError) error {
	if p.json {
		return p.writeJSON(cmd, map[string]any{"task": task, "eligible": 0, "why": why.Error()})
	}
	return p.say(cmd, "Nothing to do: %s.", why)
}

func (p *program) runStart() *cobra.Command {
	return p.starting("start <run>", "Start a plan, and follow and help it", "  tenantctl run start 01kb2q8s7d9v3n0c4x5y6z7a8b",
		func(ctx context.Context, id string) (*runs.Run, error) { return p.app.Runner.Start(ctx, id) })
}

// starting returns a command that begins a run by its argument, and follows it.
func (p *program) starting(use, short, example string, begin func(ctx context.Context, of string) (*runs.Run, error)) *cobra.Command {
	var detach bool
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example, Args: args(cobra.ExactArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if err := need(p.app.Runner != nil, "runner"); err != nil {
				return err
			}
			run, err := begin(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return p.watch(cmd, run, !detach, detach)
		}),
	}
	cmd.Flags().BoolVar(&detach, "detach", false, "leave the run to the application's instances")
	return cmd
}

func (p *program) runList() *cobra.Command {
	var task string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List runs, the latest first",
		Example: "  tenantctl run list --task migrate",
		Args:    args(cobra.NoArgs),
		RunE: p.with(func(cmd *cobra.Command, _ []string) error {
			if err := need(p.app.Runner != nil, "runner"); err != nil {
				return err
			}
			page, err := p.app.Runner.List(cmd.Context(), runs.Query{Task: task, Limit: limit})
			if err != nil {
				return err
			}
			rows := newTable(cmd.OutOrStdout(), "RUN", "TASK", "CREATED", "STATE")
			for _, run := range page {
				if !p.json {
					rows.row(run.ID, run.Task, minute(run.CreatedAt), progress(*run))
				} else if err := p.writeJSON(cmd, run); err != nil {
					return err
				}
			}
			if p.json {
				return nil
			}
			if len(page) == 0 {
				return p.say(cmd, "No runs.")
			}
			return rows.flush()
		}),
	}
	cmd.Flags().StringVar(&task, "task", "", "only runs of this task")
	cmd.Flags().IntVar(&limit, "limit", 20, "at most this many")
	return cmd
}

// progress says in a few words how far a run is; of a run that is done, on how many tenants it worked.
func progress(run runs.Run) string {
	if run.State == runs.StateDone || run.State == runs.StateFailed {
		return fmt.Sprintf("%s, %d", run.State, run.Total)
	}
	return fmt.Sprintf("%s, %d/%d", run.State, run.Finished(), run.Total)
}

func (p *program) runShow() *cobra.Command {
	var results, failed bool
	cmd := &cobra.Command{
		Use: "show <run>", Short: "Show a run, and with --results or --failed its tenants",
		Example: "  tenantctl run show 01kb2q8s7d9v3n0c4x5y6z7a8b --failed",
		Args:    args(cobra.ExactArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if err := need(p.app.Runner != nil, "runner"); err != nil {
				return err
			}
			run, err := p.app.Runner.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			switch {
			case p.json && !results && !failed:
				return p.writeJSON(cmd, run)
			case p.json:
			default:
				state := string(run.State)
				if run.Reason != "" {
					state += ": " + run.Reason
				}
				wave := ""
				if len(run.Waves) > 1 {
					wave = fmt.Sprintf("%d of %d", run.Wave, len(run.Waves))
				}
				if err := pairs(cmd.OutOrStdout(), "Run", run.ID, "Task", run.Task, "State", state, "Tenants", summary(*run), "Wave", wave, "Filter", run.Spec.Filter,
					"Planned by", run.Actor.String(), "Planned", date(run.CreatedAt), "Started", date(run.StartedAt), "Ended", date(run.EndedAt),
					"Goes on", date(run.ResumeAt)); err != nil {
					return err
				}
			}
			q := runs.ResultQuery{Limit: 1000}
			if failed {
				q.States = []runs.TenantState{runs.TenantFailed}
			}
			if !results && !failed {
				if run.Failed > 0 && !p.json {
					fmt.Fprintf(cmd.OutOrStdout(), "\nThose that failed, and why:\n  %s run show %s --failed\n", again(cmd), run.ID)
				}
				return nil
			}
			return p.results(cmd, run.ID, q)
		}),
	}
	cmd.Flags().BoolVar(&results, "results", false, "list all tenants")
	cmd.Flags().BoolVar(&failed, "failed", false, "list the tenants that failed")
	return cmd
}

// results lists the tenants of a run, page by page.
func (p *program) results(cmd *cobra.Command, id string, q runs.ResultQuery) error {
	if !p.json {
		fmt.Fprintln(cmd.OutOrStdout())
	}
	for {
		page, err := p.app.Runner.Results(cmd.Context(), id, q)
		if err != nil {
			return err
		}
		rows := newTable(cmd.OutOrStdout(), "TENANT", "STATE", "TRIES", "TIME", "TEXT")
		for _, each := range page {
			q.After = each.Number
			took := ""
			if !each.EndedAt.IsZero() {
				took = each.EndedAt.Sub(each.StartedAt).Round(time.Millisecond).String()
			}
			if !p.json {
				rows.row(each.Slug, string(each.State), fmt.Sprint(each.Attempt), took, each.Text)
			} else if err := p.writeJSON(cmd, each); err != nil {
				return err
			}
		}
		if !p.json && len(page) > 0 {
			if err := rows.flush(); err != nil {
				return err
			}
		}
		if len(page) < q.Limit {
			return nil
		}
	}
}

func (p *program) runWatch() *cobra.Command {
	var work bool
	cmd := &cobra.Command{
		Use: "watch <run>", Short: "Follow a run until it has ended",
		Example: "  tenantctl run watch 01kb2q8s7d9v3n0c4x5y6z7a8b",
		Args:    args(cobra.ExactArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if err := need(p.app.Runner != nil, "runner"); err != nil {
				return err
			}
			run, err := p.app.Runner.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return p.watch(cmd, run, work, false)
		}),
	}
	cmd.Flags().BoolVar(&work, "work", false, "work on it in this process, too")
	return cmd
}

// runChange is a command that changes the state of a run. Those that let it go on follow
// and help it.
func (p *program) runChange(use, short string, goesOn bool, change func(ctx context.Context, id, reason string) (*runs.Run, error)) *cobra.Command {
	var detach bool
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: args(cobra.ExactArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if err := need(p.app.Runner != nil, "runner"); err != nil {
				return err
			}
			run, err := change(cmd.Context(), args[0], p.reason)
			if err != nil {
				return err
			}
			if goesOn {
				return p.watch(cmd, run, !detach, detach)
			}
			if p.json {
				return p.writeJSON(cmd, run)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Run %s is %s: %s.\n", run.ID, run.State, summary(*run))
			return err
		}),
	}
	if goesOn {
		cmd.Flags().BoolVar(&detach, "detach", false, "leave the run to the application's instances")
	}
	cmd.Example = "  tenantctl run " + cmd.Name() + " 01kb2q8s7d9v3n0c4x5y6z7a8b"
	return cmd
}
