package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// maxFailures is how many failures are shown at the end of a run.
const maxFailures = 20

// watch follows a run until it has ended or waits for somebody, working on it in this
// process as well if work is set, and shows the failures. If detach is set it returns
// at once.
func (p *program) watch(cmd *cobra.Command, run *runs.Run, work, detach bool) error {
	if run.Task == TaskMigrate || run.Task == TaskRollback {
		defer p.keep.forget(cmd, "db-status")
	}
	id := run.ID
	if detach {
		return p.detached(cmd, id)
	}
	ctx, stop := context.WithCancel(cmd.Context())
	done := make(chan error, 1)
	if work {
		go func() { done <- p.app.Runner.Run(ctx) }()
	} else {
		done <- nil
	}
	finished := run.Finished()
	if finished == run.Total {
		finished = 0 // it has ended: all of it is shown
	}
	last, err := p.follow(cmd, id, finished)
	if err != nil && cmd.Context().Err() != nil && work {
		fmt.Fprintln(cmd.ErrOrStderr(), "Finishing the tenants in hand …")
	}
	stop()
	err = errors.Join(err, <-done)
	if cmd.Context().Err() != nil {
		if e := p.detached(cmd, id); e != nil {
			return e
		}
		return &quietError{cmd.Context().Err()}
	}
	if err != nil {
		return err
	}
	run = &last.Run
	if work { // tenants in hand were finished after the run had stopped
		if run, err = p.app.Runner.Get(cmd.Context(), id); err != nil {
			return err
		}
		if p.json && run.Counts != last.Counts {
			if err := p.writeJSON(cmd, runs.Progress{Run: *run}); err != nil {
				return err
			}
		}
	}
	return p.ended(cmd, *run, finished == 0)
}

// detached says how to follow a run.
func (p *program) detached(cmd *cobra.Command, id string) error {
	if p.json {
		return p.writeJSON(cmd, map[string]string{"run": id, "detached": "true"})
	}
	_, err := fmt.Fprintf(cmd.ErrOrStderr(), "Detached. Instances of the application go on with the run.\nFollow it: %s run watch %s\n",
		again(cmd), id)
	return err
}

// follow shows the progress of a run, of which so many tenants were finished before, and returns the last of it.
func (p *program) follow(cmd *cobra.Command, id string, before int) (last runs.Progress, err error) {
	view := p.view(cmd, before)
	defer view.end()
	for progress, err := range p.app.Runner.Follow(cmd.Context(), id) {
		switch {
		case errors.Is(err, tenancy.ErrUnavailable):
			view.trouble(err)
			continue
		case err != nil:
			return last, err
		}
		last = progress
		view.show(progress)
		if progress.State == runs.StatePaused && progress.ResumeAt.IsZero() {
			break
		}
	}
	return last, nil
}

// view shows progress.
type view interface {
	show(runs.Progress)
	trouble(error)
	end()
}

func (p *program) view(cmd *cobra.Command, before int) view {
	if p.json {
		return &jsonView{p, cmd}
	}
	if w, ok := terminal(cmd.ErrOrStderr()); ok {
		return &barView{w: w, before: before}
	}
	return &lineView{w: cmd.ErrOrStderr()}
}

// jsonView writes each progress as a line.
type jsonView struct {
	p   *program
	cmd *cobra.Command
}

func (v *jsonView) show(p runs.Progress) { _ = v.p.writeJSON(v.cmd, p) }
func (v *jsonView) trouble(err error)    { fmt.Fprintln(v.cmd.ErrOrStderr(), err) }
func (v *jsonView) end()                 {}

// barView draws a bar of the tenants that were not finished before: its rate is that of what is done now.
type barView struct {
	w      io.Writer
	before int
	bar    *progressbar.ProgressBar
}

func (v *barView) show(p runs.Progress) {
	text := p.Task
	if len(p.Waves) > 1 {
		text += fmt.Sprintf(" %d/%d", p.Wave, len(p.Waves))
	}
	if p.Failed > 0 {
		text += fmt.Sprintf(", %d failed", p.Failed)
	}
	if v.bar == nil {
		v.bar = newBar(v.w, int64(p.Total-v.before), "tenants", text)
	}
	v.bar.Describe(text)
	_ = v.bar.Set(max(0, p.Finished()-v.before))
}

func (v *barView) trouble(err error) { fmt.Fprintln(v.w, "\n", err) }

func (v *barView) end() {
	if v.bar != nil {
		_ = v.bar.Exit()
		fmt.Fprintln(v.w)
	}
}

// lineView writes a line every few seconds, and when a wave begins.
type lineView struct {
	w    io.Writer
	last time.Time
	wave int
}

func (v *lineView) show(p runs.Progress) {
	if v.last.IsZero() {
		v.last, v.wave = time.Now(), p.Wave
	}
	if p.State.Ended() || p.Wave == v.wave && time.Since(v.last) < 5*time.Second {
		return
	}
	v.last, v.wave = time.Now(), p.Wave
	line := fmt.Sprintf("%s: %s, %d of %d, %d failed", p.Task, p.State, p.Finished(), p.Total, p.Failed)
	if len(p.Waves) > 1 {
		line += fmt.Sprintf(", wave %d of %d", p.Wave, len(p.Waves))
	}
	if p.Rate > 0 {
		line += fmt.Sprintf(", %.1f/s, %v left", p.Rate, p.Left.Round(time.Second))
	}
	fmt.Fprintln(v.w, line)
}

func (v *lineView) trouble(err error) { fmt.Fprintln(v.w, err) }
func (v *lineView) end()              {}

// ended says what became of a run, shows its failures, and returns an error if it is not
// done. How long it took is said of one that was followed whole: others have waited for somebody.
func (p *program) ended(cmd *cobra.Command, run runs.Run, whole bool) error {
	failed := &quietError{fmt.Errorf("the run is %s", run.State)}
	if p.json {
		if run.State == runs.StateDone {
			return nil
		}
		return failed
	}
	w := cmd.OutOrStdout()
	took := ""
	if whole && !run.EndedAt.IsZero() {
		took = fmt.Sprintf(" (%v)", run.EndedAt.Sub(run.StartedAt).Round(10*time.Millisecond))
	}
	fmt.Fprintf(w, "%s: %s%s\n", run.Task, summary(run), took)
	if run.Failed > 0 {
		fmt.Fprintln(w)
		if err := p.failures(cmd, run); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	if run.State == runs.StateDone {
		return nil
	}
	if run.State == runs.StateCancelled {
		fmt.Fprintf(w, "Cancelled: %s.\n", harmless(run.Reason))
	}
	waysOn(cmd, w, run)
	return failed
}

// waysOn says why a run waits, and by which commands it goes on.
func waysOn(cmd *cobra.Command, w io.Writer, run runs.Run) {
	name := again(cmd)
	switch run.State {
	case runs.StatePaused:
		fmt.Fprintf(w, "Paused: %s.\nGo on:\n  %s run resume %s\n", harmless(run.Reason), name, run.ID)
	case runs.StateStopped:
		fmt.Fprintf(w, "Stopped: %s.\nTry the failed ones again:\n  %s run retry %s\n", harmless(run.Reason), name, run.ID)
		if run.Finished() < run.Total {
			fmt.Fprintf(w, "Go on without them:\n  %s run resume %s\n", name, run.ID)
		}
	case runs.StateFailed:
		fmt.Fprintf(w, "Try the failed ones again:\n  %s run retry %s\n", name, run.ID)
	}
}

// summary says how many tenants are what.
func summary(run runs.Run) string {
	out := fmt.Sprintf("%d of %s done", run.Done, tenants(run.Total))
	for _, n := range []struct {
		n    int
		what string
	}{{run.Failed, "failed"}, {run.Skipped, "skipped"}, {run.Cancelled, "cancelled"}, {run.Total - run.Finished(), "to do"}} {
		if n.n > 0 {
			out += fmt.Sprintf(", %d %s", n.n, n.what)
		}
	}
	return out
}

// failures shows the tenants that failed.
func (p *program) failures(cmd *cobra.Command, run runs.Run) error {
	page, err := p.app.Runner.Results(cmd.Context(), run.ID, runs.ResultQuery{States: []runs.TenantState{runs.TenantFailed}, Limit: maxFailures})
	if err != nil {
		return err
	}
	rows := newTable(cmd.OutOrStdout(), "FAILED", "ERROR")
	rows.lines = 4
	for _, each := range page {
		rows.row(each.Slug, each.Text)
	}
	if err := rows.flush(); err != nil {
		return err
	}
	if more := run.Failed - len(page); more > 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "and %d more: %s run show %s --failed\n", more, again(cmd), run.ID)
	}
	return nil
}
