package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/listing"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// selection are the flags that select tenants, which are the same everywhere.
type selection struct {
	tenants, exclude []string
	all              bool
	where            string
}

func (s *selection) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&s.tenants, "tenant", nil, "tenant, by slug, ID or domain; may be repeated")
	f.BoolVar(&s.all, "all", false, "all tenants that can take part")
	f.StringVar(&s.where, "where", "", "tenants that the filter selects, such as \"status:active plan:pro\"")
	f.StringSliceVar(&s.exclude, "exclude", nil, "tenant to leave out; may be repeated")
}

// chosen reports whether a flag selects tenants.
func (s *selection) chosen() bool { return len(s.tenants) > 0 || s.all || s.where != "" }

// complete finds the tenants that are named, as arguments or by flags. If there are none,
// it asks on a terminal.
func (s *selection) complete(p *program, cmd *cobra.Command, names []string) (ids, exclude []tenancy.ID, err error) {
	if err := s.blank(cmd); err != nil {
		return nil, nil, err
	}
	if _, can := terminal(cmd.InOrStdin()); can && len(names) == 0 && !s.chosen() {
		answer, err := p.ask(cmd, "Which tenants? Their slugs, or \"--all\":")
		if err != nil {
			return nil, nil, err
		}
		if names = strings.Fields(answer); answer == "--all" {
			names, s.all = nil, true
		}
	}
	names = slices.Concat(names, s.tenants)
	chosen := 0
	for _, is := range []bool{len(names) > 0, s.all, s.where != ""} {
		if is {
			chosen++
		}
	}
	if chosen != 1 {
		return nil, nil, usage(errors.New("say which tenants: names, --tenant, --where or --all, and only one of these"))
	}
	find := func(names []string) (ids []tenancy.ID, err error) {
		for _, name := range names {
			t, err := p.find(cmd, strings.TrimSpace(name))
			if err != nil {
				return nil, err
			}
			ids = append(ids, t.ID)
		}
		slices.Sort(ids)
		return slices.Compact(ids), nil
	}
	if ids, err = find(names); err != nil {
		return nil, nil, err
	}
	exclude, err = find(s.exclude)
	return ids, exclude, err
}

// blank refuses a flag that was given and says nothing, as a variable of a script may that is not set: more tenants would be
// selected than were meant.
func (s *selection) blank(cmd *cobra.Command) error {
	for _, flag := range []struct {
		name  string
		blank bool
	}{{"tenant", len(s.tenants) == 0}, {"where", strings.TrimSpace(s.where) == ""}, {"exclude", len(s.exclude) == 0}} {
		if flag.blank && cmd.Flags().Changed(flag.name) {
			return usage(fmt.Errorf("--%s is blank: say which tenants, or leave it out", flag.name))
		}
	}
	return nil
}

// each yields the tenants that are selected.
func (s *selection) each(p *program, cmd *cobra.Command, names []string) iter.Seq2[*tenancy.Tenant, error] {
	return func(yield func(*tenancy.Tenant, error) bool) {
		ids, exclude, err := s.complete(p, cmd, names)
		if err != nil {
			yield(nil, err)
			return
		}
		s.these(p, cmd, ids, exclude)(yield)
	}
}

// these yields the tenants with these IDs, or without any those that the filter selects.
func (s *selection) these(p *program, cmd *cobra.Command, ids, exclude []tenancy.ID) iter.Seq2[*tenancy.Tenant, error] {
	return func(yield func(*tenancy.Tenant, error) bool) {
		f, err := tenancy.ParseFilter(s.where)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, id := range ids {
			if slices.Contains(exclude, id) {
				continue
			}
			if t, err := p.app.Catalog.Find(cmd.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(id)}); !yield(t, err) || err != nil {
				return
			}
		}
		if len(ids) > 0 {
			return
		}
		for t, err := range p.list(cmd, f) {
			if (err != nil || !slices.Contains(exclude, t.ID)) && !yield(t, err) || err != nil {
				return
			}
		}
	}
}

// count returns how many tenants these yields, or a few more.
func (s *selection) count(p *program, cmd *cobra.Command, ids, exclude []tenancy.ID) (int64, error) {
	if len(ids) > 0 {
		return int64(len(ids)), nil
	}
	f, err := tenancy.ParseFilter(s.where)
	if err != nil {
		return 0, err
	}
	n, err := p.app.Catalog.Count(cmd.Context(), f)
	return max(0, n-int64(len(exclude))), err
}

// list yields the tenants that the filter selects, page by page.
func (p *program) list(cmd *cobra.Command, f tenancy.Filter) iter.Seq2[*tenancy.Tenant, error] {
	f.Limit = 0
	return listing.All(cmd.Context(), p.app.Catalog.List, f, 1000)
}

// bulk is a command over many tenants, which is a run.
type bulk struct {
	selection
	p    *program
	task string
	// verb is what is done, for questions: "Suspend".
	verb string
	// destroys wants a word to be typed.
	destroys bool

	spec           runs.Spec
	dryRun, detach bool
	again          bool
}

// flags adds the flags that select tenants and say how the work is done.
func (b *bulk) flags(cmd *cobra.Command) {
	b.selection.flags(cmd)
	f := cmd.Flags()
	f.IntVar(&b.spec.Parallel, "parallel", 4, "tenants at a time, over all instances")
	f.IntVar(&b.spec.PerServer, "per-server", 0, "tenants at a time on one database server (default: no limit)")
	f.IntVar(&b.spec.Waves.Canary, "canary", 0, "tenants in a first wave that must all succeed")
	f.StringVar(&b.spec.Waves.Then, "waves", "", "sizes of the waves, such as \"25%\" or \"10,25%,50%\" (default: one wave)")
	f.DurationVar(&b.spec.Waves.Pause, "pause", 0, "time between two waves")
	f.BoolVar(&b.spec.Waves.Approval, "approve", false, "wait for \"run resume\" between two waves")
	f.StringVar(&b.spec.Budget.InAll, "budget", "", "stop when more tenants failed, such as \"5\" or \"2%\" (default: no limit)")
	f.DurationVar(&b.spec.Timeout, "timeout", 10*time.Minute, "time limit for each tenant")
	f.StringVar(&b.spec.Key, "key", "", "idempotency key: the same key is the same run")
	f.BoolVar(&b.dryRun, "dry-run", false, "show the plan and do nothing")
	f.BoolVar(&b.detach, "detach", false, "start the run and leave it to the application's instances")
	f.BoolVar(&b.again, "new", false, "plan a new run even if one like it is not finished")
}

// complete makes the spec out of the flags and the names of tenants.
func (b *bulk) complete(cmd *cobra.Command, names []string) (err error) {
	b.spec.Filter = b.where
	b.spec.IDs, b.spec.Exclude, err = b.selection.complete(b.p, cmd, names)
	return err
}

// run plans, asks, starts and follows.
func (b *bulk) run(cmd *cobra.Command, names []string) error {
	if err := need(b.p.app.Runner != nil, "runner"); err != nil {
		return err
	}
	if err := b.complete(cmd, names); err != nil {
		return err
	}
	r := b.p.app.Runner
	if !b.again && !b.dryRun {
		before, err := b.unfinished(cmd)
		if err != nil {
			return err
		}
		if before != nil {
			return b.goOn(cmd, before)
		}
	}
	if b.dryRun {
		b.spec.Key = "" // it is for the run that may follow
	}
	plan, err := r.Plan(cmd.Context(), b.task, b.spec)
	if empty := (*runs.EmptyPlanError)(nil); errors.As(err, &empty) {
		if b.dryRun {
			return b.p.showEmpty(cmd, b.task, empty)
		}
		return usage(empty)
	}
	if err != nil {
		return err
	}
	if b.dryRun {
		return errors.Join(b.p.showPlan(cmd, plan, true), b.giveUp(cmd, plan, "dry run"))
	}
	if err := b.ask(cmd, plan); err != nil {
		return errors.Join(err, b.giveUp(cmd, plan, "not confirmed"))
	}
	run, err := r.Start(cmd.Context(), plan.ID)
	if err != nil {
		return err
	}
	return b.p.watch(cmd, run, !b.detach, b.detach)
}

// cleanupTime bounds what must be done after the command was interrupted.
const cleanupTime = 10 * time.Second

// giveUp cancels a plan that is not to be started, also after an interrupt.
func (b *bulk) giveUp(cmd *cobra.Command, plan *runs.Plan, reason string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), cleanupTime)
	defer cancel()
	_, err := b.p.app.Runner.Cancel(ctx, plan.ID, reason)
	return err
}

// ask wants a confirmation of what destroys, and of what concerns more than the one
// tenant that was named.
func (b *bulk) ask(cmd *cobra.Command, plan *runs.Plan) error {
	if plan.State != runs.StatePlanned {
		return nil // it was started before, with the same key
	}
	if b.destroys {
		word := plan.Sample[0].Slug
		if plan.Eligible > 1 {
			word = fmt.Sprint(plan.Eligible)
		}
		return b.p.confirm(cmd, fmt.Sprintf("%s %s?", b.verb, tenants(plan.Eligible)), word)
	}
	if _, ok := terminal(cmd.InOrStdin()); !ok || plan.Eligible == 1 || b.p.json {
		return nil
	}
	return b.p.confirm(cmd, fmt.Sprintf("%s %s?", b.verb, tenants(plan.Eligible)), "")
}

// unfinished returns a run like this one that has not ended.
func (b *bulk) unfinished(cmd *cobra.Command) (*runs.Run, error) {
	page, err := b.p.app.Runner.List(cmd.Context(), runs.Query{
		Task: b.task, States: []runs.State{runs.StateRunning, runs.StatePaused, runs.StateStopped}, Limit: 100,
	})
	if err != nil {
		return nil, err
	}
	spec := b.spec // as a run keeps it
	if spec.Params, err = b.p.app.Runner.Complete(cmd.Context(), b.task, spec.Params); err != nil {
		return nil, err
	}
	want, err := json.Marshal(what(spec))
	if err != nil {
		return nil, err
	}
	for _, run := range page {
		if got, err := json.Marshal(what(run.Spec)); err == nil && string(got) == string(want) {
			return run, nil
		}
	}
	return nil, nil
}

// what returns which tenants and what, and not how.
func what(s runs.Spec) runs.Spec {
	slices.Sort(s.IDs)
	return runs.Spec{Params: s.Params, Filter: s.Filter, IDs: s.IDs, Exclude: s.Exclude}
}

// goOn follows a run that was found, and says how to go on if it waits for somebody.
func (b *bulk) goOn(cmd *cobra.Command, run *runs.Run) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "Going on with run %s, %s, in which %d of %s are finished.\n",
		run.ID, run.State, run.Finished(), tenants(run.Total))
	if run.State != runs.StateRunning && run.ResumeAt.IsZero() {
		waysOn(cmd, cmd.ErrOrStderr(), *run)
		fmt.Fprintf(cmd.ErrOrStderr(), "Give it up: %s run cancel %s\nBegin another one: the same command with --new\n", again(cmd), run.ID)
		return fmt.Errorf("the run is %s: %s", run.State, harmless(run.Reason))
	}
	return b.p.watch(cmd, run, !b.detach, b.detach)
}
