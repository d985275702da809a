package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// maxCompletions is how many words a shell is offered.
const maxCompletions = 200

// complete gives a command what shells complete: slugs, IDs of runs, names of tasks and
// schedules, IDs of keys.
func (p *program) complete(cmd *cobra.Command, all []placeholder) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		i := len(args)
		if n := len(all); n > 0 && all[n-1].repeat {
			i = min(i, n-1)
		}
		if i >= len(all) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		if all[i].name == "file" {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return p.words(cmd, all[i].name, args, prefix)
	}
	for _, name := range []string{"tenant", "exclude"} {
		if cmd.Flags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
				return p.words(cmd, "tenant", args, prefix)
			})
		}
	}
}

// words returns the words of a kind that begin with the prefix. Without the application
// there are none: a shell shows no errors.
func (p *program) words(cmd *cobra.Command, kind string, args []string, prefix string) (out []string, _ cobra.ShellCompDirective) {
	none := cobra.ShellCompDirectiveNoFileComp
	if kind == "state" { // of tenant homepage
		return []string{"on", "off"}, none
	}
	find, ok := map[string]func(*cobra.Command) []string{
		"tenant":   func(cmd *cobra.Command) []string { return p.slugs(cmd, prefix) },
		"run":      p.runIDs,
		"task":     p.tasks,
		"schedule": p.scheduleNames,
		"key":      func(cmd *cobra.Command) []string { return p.keyIDs(cmd, args) },
	}[kind]
	if !ok { // the word is a new one
		return nil, none
	}
	fill := p.with(func(cmd *cobra.Command, _ []string) error { out = find(cmd); return nil })
	if err := fill(cmd, nil); err != nil {
		return nil, none
	}
	out = slices.DeleteFunc(out, func(word string) bool {
		name, _, _ := strings.Cut(word, "\t")
		return !strings.HasPrefix(word, prefix) || slices.Contains(args, name)
	})
	return out[:min(len(out), maxCompletions)], none
}

// tasks returns the names of tasks. There is one way for each thing: beside "update" those that do a part of it, for runs of before, are not
// offered.
func (p *program) tasks(*cobra.Command) []string {
	if p.app.Runner == nil {
		return nil
	}
	all := p.app.Runner.Tasks()
	if !slices.Contains(all, TaskUpdate) {
		return all
	}
	return slices.DeleteFunc(all, func(name string) bool { return name == "plan" || name == "limit" })
}

// slugs returns slugs that begin with the prefix. A text that stands elsewhere in a
// record selects more of them than are wanted, so that several pages may be read.
func (p *program) slugs(cmd *cobra.Command, prefix string) (out []string) {
	f := tenancy.Filter{Text: prefix, Sort: tenancy.SortSlug}
	for t, err := range p.list(cmd, f) {
		if err != nil || len(out) == maxCompletions || prefix != "" && t.Slug > prefix && !strings.HasPrefix(t.Slug, prefix) {
			break
		}
		if strings.HasPrefix(t.Slug, prefix) {
			out = append(out, t.Slug+"\t"+harmless(string(t.Status)+" "+t.Name))
		}
	}
	return out
}

func (p *program) runIDs(cmd *cobra.Command) (out []string) {
	if p.app.Runner == nil {
		return nil
	}
	page, err := p.app.Runner.List(cmd.Context(), runs.Query{Limit: 50})
	if err != nil {
		return nil
	}
	for _, run := range page {
		if fits(cmd.Name(), run.State) {
			out = append(out, run.ID+"\t"+run.Task+" "+string(run.State)+" "+date(run.CreatedAt))
		}
	}
	return out
}

// fits reports whether a command about one run takes those in that state.
func fits(command string, s runs.State) bool {
	switch command {
	case "start":
		return s == runs.StatePlanned
	case "pause":
		return s == runs.StateRunning
	case "resume":
		return s == runs.StatePaused || s == runs.StateStopped
	case "cancel":
		return s.CanBecome(runs.StateCancelled)
	case "retry":
		return s == runs.StateFailed || s == runs.StateStopped
	}
	return true
}

func (p *program) scheduleNames(cmd *cobra.Command) (out []string) {
	if p.app.Runner == nil {
		return nil
	}
	all, err := p.app.Runner.Schedules(cmd.Context())
	if err != nil {
		return nil
	}
	for _, s := range all {
		out = append(out, s.Name+"\t"+s.Task+" "+s.Cron)
	}
	return out
}

func (p *program) keyIDs(cmd *cobra.Command, args []string) (out []string) {
	if p.app.Keys == nil || len(args) == 0 {
		return nil
	}
	t, err := p.find(cmd, args[0])
	if err != nil {
		return nil
	}
	all, err := p.app.Keys.List(cmd.Context(), t.ID)
	if err != nil {
		return nil
	}
	for _, key := range all {
		out = append(out, key.ID+"\t"+harmless(key.Name))
	}
	return out
}
