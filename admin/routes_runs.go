package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/internal/problem"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

func (a *Admin) runRoutes() []route {
	rows := []route{
		{method: "GET", pattern: "runs", permission: auth.RunsRead, reach: within, query: "limit cursor task state", part: partRuns, handle: a.listRuns},
		{method: "GET", pattern: "runs/{run}", permission: auth.RunsRead, reach: within, part: partRuns, handle: a.readRun},
		{method: "GET", pattern: "runs/{run}/tenants", permission: auth.RunsRead, reach: within, query: "limit cursor state", part: partRuns, handle: a.runTenants},
	}
	for verb, control := range runVerbs {
		rows = append(rows, route{method: "POST", pattern: "runs/{run}/" + verb, permission: auth.RunsControl, reach: within, idempotent: true,
			action: "run." + verb, part: partRuns, handle: func(c *call) error { return a.controlRun(c, verb == "resume" || verb == "retry", control) }})
	}
	for _, b := range bulkVerbs {
		rows = append(rows, route{method: "POST", pattern: "actions/bulk-" + b.verb, permission: b.permission, reach: within, body: true, idempotent: true,
			action: "run.start", part: partRuns, handle: func(c *call) error { return a.bulk(c, b) }})
	}
	return rows
}

// bulkVerb is an action for many tenants.
type bulkVerb struct {
	verb, task string
	permission auth.Permission
	allScope   bool // in the scope of all tenants only
	stepUp     bool // with fresh credentials, however few the tenants: the same for one tenant asks for them
}

// bulkVerbs are the actions, with the tasks of the runner that do them.
var bulkVerbs = []bulkVerb{
	{"migrate", "migrate", auth.TenantsMigrate, false, false},
	{"seed", "seed", auth.TenantsMigrate, false, false},
	{"activate", "activate", auth.TenantsStatus, false, false},
	{"suspend", "suspend", auth.TenantsStatus, false, false},
	{"block", "block", auth.TenantsStatus, false, false},
	{"deactivate", "deactivate", auth.TenantsStatus, false, false},
	{"archive", "archive", auth.TenantsArchive, false, false},
	{"tag", "tag", auth.TenantsTag, true, false},
	{"limits", "limit", auth.TenantsLimits, false, false},
	{"update", "update", auth.TenantsWrite, false, false},
	{"revoke-keys", "revoke-keys", auth.TenantsKeys, false, true},
	{"maintenance", "maintenance-on", auth.TenantsMaintenance, false, false},
	{"maintenance-end", "maintenance-off", auth.TenantsMaintenance, false, false},
}

// otherVerbs are tasks of the library that have no bulk action: programs begin them, and operators retry, resume and trigger them.
var otherVerbs = []bulkVerb{
	{"plan", "plan", auth.TenantsWrite, false, false},
	{"rollback", "rollback", auth.TenantsMigrate, false, false},
}

// runVerbs are what operators do to runs.
var runVerbs = map[string]func(*runs.Runner, *call, string) (*runs.Run, error){
	"pause":  func(r *runs.Runner, c *call, id string) (*runs.Run, error) { return r.Pause(c.ctx(), id, reason(c.r)) },
	"resume": func(r *runs.Runner, c *call, id string) (*runs.Run, error) { return r.Resume(c.ctx(), id) },
	"cancel": func(r *runs.Runner, c *call, id string) (*runs.Run, error) { return r.Cancel(c.ctx(), id, reason(c.r)) },
	"retry":  func(r *runs.Runner, c *call, id string) (*runs.Run, error) { return r.Retry(c.ctx(), id) },
}

// runShown is a run as the API shows it.
type runShown struct {
	ID        string         `json:"id"`
	Task      string         `json:"task"`
	State     runs.State     `json:"state"`
	Filter    string         `json:"filter"`
	Params    tenancy.Params `json:"params"`
	Actor     entryActor     `json:"actor"`
	Reason    string         `json:"reason"`
	Wave      int            `json:"wave"`
	Total     int            `json:"total"`
	Done      int            `json:"done"`
	Failed    int            `json:"failed"`
	Skipped   int            `json:"skipped"`
	Cancelled int            `json:"cancelled"`
	Waves     []runs.Wave    `json:"waves"`
	CreatedAt time.Time      `json:"created_at"`
	ExpiresAt time.Time      `json:"expires_at,omitzero"`
	StartedAt time.Time      `json:"started_at,omitzero"`
	EndedAt   time.Time      `json:"ended_at,omitzero"`
}

func (a *Admin) showRun(ctx context.Context, r *runs.Run) runShown {
	out := a.runOf(r)
	out.Actor.Name = a.nameOf(ctx, r.Actor)
	return out
}

// runOf is a run without the name of who made it.
func (a *Admin) runOf(r *runs.Run) runShown {
	out := runShown{
		ID: r.ID, Task: r.Task, State: r.State, Filter: r.Spec.Filter, Params: tenancy.Params{}, Reason: r.Reason, Wave: r.Wave,
		Total: r.Total, Done: r.Done, Failed: r.Failed, Skipped: r.Skipped, Cancelled: r.Cancelled,
		Waves: append([]runs.Wave{}, r.Waves...), CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, StartedAt: r.StartedAt, EndedAt: r.EndedAt,
		Actor: entryActor{Kind: cmp.Or(r.Actor.Kind, tenancy.ActorUnknown), ID: r.Actor.ID},
	}
	for name, value := range r.Spec.Params {
		if setting, is := strings.CutPrefix(name, "setting."); is && !a.showsSetting(setting) {
			value = redacted
		}
		out.Params[name] = value
	}
	return out
}

// runner returns the runs as the operator may see them.
func (a *Admin) runner(c *call) *runs.Runner { return a.opts.Runs.Within(c.id.Scope) }

func (a *Admin) listRuns(c *call) error {
	q := runs.Query{Task: c.r.URL.Query().Get("task")}
	query := "runs?" + q.Task + "&" + c.r.URL.Query().Get("state")
	states, err1 := c.list("state")
	limit, err2 := c.limit()
	last, err3 := c.after(query, 1)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return err
	}
	for _, s := range states {
		q.States = append(q.States, runs.State(s))
	}
	if last != nil {
		q.Before = last[0]
	}
	q.Limit = limit + 1
	found, err := a.runner(c).List(c.ctx(), q)
	if err != nil {
		return err
	}
	return a.replyRuns(c, query, found, limit)
}

// replyRuns answers with a page of runs, of which one more was read than it has.
func (a *Admin) replyRuns(c *call, query string, found []*runs.Run, limit int) error {
	next := tenancy.Cursor("")
	if len(found) > limit {
		found = found[:limit]
		next = tenancy.NewCursor(query, found[limit-1].ID)
	}
	out, names := make([]runShown, len(found)), map[string]string{}
	for i, r := range found {
		out[i] = a.runOf(r)
		out[i].Actor.Name = a.nameIn(c.ctx(), r.Actor, names)
	}
	return c.reply(http.StatusOK, map[string]any{"runs": out, "next": next})
}

func (a *Admin) readRun(c *call) error {
	r, err := a.runner(c).Get(c.ctx(), c.r.PathValue("run"))
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, a.showRun(c.ctx(), r))
}

// runTenant is a tenant's part of a run. The error of a task is in the log and not here: it may hold what no answer may.
type runTenant struct {
	Number    int64            `json:"number"`
	Tenant    tenancy.ID       `json:"tenant"`
	Slug      string           `json:"slug"`
	State     runs.TenantState `json:"state"`
	Attempt   int              `json:"attempt"`
	Text      string           `json:"text"`
	StartedAt time.Time        `json:"started_at,omitzero"`
	EndedAt   time.Time        `json:"ended_at,omitzero"`
}

func showResults(found []runs.Result) []runTenant {
	out := make([]runTenant, len(found))
	for i, r := range found {
		out[i] = runTenant{r.Number, r.Tenant, r.Slug, r.State, r.Attempt, "", r.StartedAt, r.EndedAt}
		switch r.State {
		case runs.TenantSkipped:
			out[i].Text = r.Text
		case runs.TenantFailed:
			out[i].Text = "The task failed. On the command line, run show with --failed has its error."
		}
	}
	return out
}

func (a *Admin) runTenants(c *call) error {
	id := c.r.PathValue("run")
	var q runs.ResultQuery
	query := "runs/" + id + "?" + c.r.URL.Query().Get("state")
	states, err1 := c.list("state")
	limit, err2 := c.limit()
	last, err3 := c.after(query, 1)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return err
	}
	for _, s := range states {
		q.States = append(q.States, runs.TenantState(s))
	}
	if last != nil {
		n, err := strconv.ParseInt(last[0], 10, 64)
		if err != nil {
			return fmt.Errorf("%w: cursor", tenancy.ErrInvalid)
		}
		q.After = n
	}
	q.Limit = limit + 1
	found, err := a.runner(c).Results(c.ctx(), id, q)
	if err != nil {
		return err
	}
	next := tenancy.Cursor("")
	if len(found) > limit {
		found = found[:limit]
		next = tenancy.NewCursor(query, strconv.FormatInt(found[limit-1].Number, 10))
	}
	return c.reply(http.StatusOK, map[string]any{"tenants": showResults(found), "next": next})
}

// verbOf returns the action whose task that is. Tasks of the application's own need the permission for bulk actions.
func verbOf(task string) bulkVerb {
	for _, b := range slices.Concat(bulkVerbs, otherVerbs) {
		if b.task == task {
			return b
		}
	}
	return bulkVerb{task, task, auth.BulkStart, false, false}
}

// mayTask reports whether the operator may do what a run does.
func mayTask(id *auth.Identity, task string) error {
	b := verbOf(task)
	if !id.Permissions.Has(b.permission) || !id.Permissions.Has(auth.BulkStart) || b.allScope && !id.Scope.IsAll() {
		return fmt.Errorf("%w: task %.80q", tenancy.ErrForbidden, task)
	}
	return nil
}

// needsStepUp reports whether an action for so many tenants asks for fresh credentials.
func (a *Admin) needsStepUp(c *call, b bulkVerb, eligible int) bool {
	return b.stepUp || eligible > a.threshold(c)
}

// recordedRun does something to a run, with one entry: that of the runner, in the transaction of the change, if it writes some.
func (a *Admin) recordedRun(c *call, id string, do func() error) error {
	if a.opts.Runs.Audited() {
		return do()
	}
	return a.recorded(c, id, do)
}

// mayRun reports whether the operator may do what runs of the task do, with fresh credentials if works says that tenants are worked on and
// the task asks for them.
func (a *Admin) mayRun(c *call, task string, works bool) error {
	if err := mayTask(c.id, task); err != nil {
		return err
	}
	if b := verbOf(task); works && b.stepUp && !c.id.FreshFor(b.permission) {
		return problem.New(problem.StepUp, fmt.Errorf("%w: task %.80q", tenancy.ErrForbidden, task))
	}
	return nil
}

// controlRun does something to a run. goesOn says that more tenants are worked on after it.
func (a *Admin) controlRun(c *call, goesOn bool, control func(*runs.Runner, *call, string) (*runs.Run, error)) error {
	id := c.r.PathValue("run")
	r, err := a.runner(c).Get(c.ctx(), id)
	if err != nil {
		return err
	}
	if err := a.mayRun(c, r.Task, goesOn); err != nil {
		return err
	}
	err = a.recordedRun(c, id, func() error {
		changed, err := control(a.runner(c), c, id)
		if err == nil {
			r = changed
		}
		return err
	})
	if err != nil {
		return conflict(err, fmt.Sprintf("The run is %s, or no tenant is left for that.", r.State))
	}
	return c.reply(http.StatusOK, a.showRun(c.ctx(), r))
}

// planShown is what a bulk action would do.
type planShown struct {
	Plan      string      `json:"plan"`
	Confirm   string      `json:"confirm"` // what to send with the plan
	Eligible  int         `json:"eligible"`
	Skipped   int         `json:"skipped"`
	Sample    []runTenant `json:"sample"`
	LeftOut   []runTenant `json:"left_out"`
	Seconds   float64     `json:"expected_seconds,omitzero"` // none while the task has no earlier run
	ExpiresAt time.Time   `json:"expires_at"`
	StepUp    bool        `json:"step_up"`
}

// bulk plans an action for many tenants, or starts a plan. A plan is a set of tenants that does not change any more.
func (a *Admin) bulk(c *call, b bulkVerb) error {
	var in struct {
		DryRun bool           `json:"dry_run"`
		Filter string         `json:"filter"`
		IDs    []tenancy.ID   `json:"ids"`
		Params tenancy.Params `json:"params"`
		runOptions
		Plan    string `json:"plan"`
		Confirm string `json:"confirm"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := mayTask(c.id, b.task); err != nil {
		return err
	}
	if err := a.hasTask(b.task); err != nil {
		return err
	}
	switch {
	case in.Plan != "" && !in.DryRun && in.Filter == "" && in.IDs == nil && in.Params == nil && in.runOptions == runOptions{}:
		return a.startPlan(c, b, in.Plan, in.Confirm)
	case in.Plan == "" && in.DryRun && in.Confirm == "" && (strings.TrimSpace(in.Filter) == "") != (len(in.IDs) == 0) && len(in.IDs) <= maxBulkIDs:
		if b.verb == "update" {
			if err := withoutLimits(in.Params); err != nil {
				return err
			}
		}
		if _, err := tenancy.ParseFilter(in.Filter); err != nil && !c.id.Permissions.Has(auth.AnalyticsRead) { // what the runner would tell of figures
			return wrongFilter(err, "/filter")
		}
		return a.plan(c, b, runs.Spec{Filter: in.Filter, IDs: in.IDs, Params: in.Params,
			Waves: runs.Waves{Canary: in.Canary, Then: in.Then, Approval: in.Approval}, Parallel: in.Parallel, Budget: runs.Budget{InAll: in.Budget}})
	}
	return problem.New(problem.Validation, fmt.Errorf("%w: neither a dry run nor a plan", tenancy.ErrInvalid), problem.Field{Pointer: "", Code: "bulk",
		Text: "Send dry_run with a filter or at most 1,000 ids; then plan and confirm."})
}

const maxBulkIDs = 1000

// hasTask refuses a task of the API that the application's runner does not have.
func (a *Admin) hasTask(name string) error {
	if slices.Contains(a.opts.Runs.Tasks(), name) {
		return nil
	}
	return problem.Say(problem.NotConfigured, fmt.Sprintf("The task %q is not in the Tasks of Options.Runs.", name), fmt.Errorf("%w: no task %q", tenancy.ErrNotFound, name))
}

// withoutLimits refuses limits among the parameters of an update: an action of their own, with a permission of its own, changes them.
func withoutLimits(params tenancy.Params) error {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if strings.HasPrefix(name, "limit.") {
			return problem.New(problem.Validation, fmt.Errorf("%w: parameter %.40q", tenancy.ErrInvalid, name), problem.Field{Pointer: "/params/" + name, Code: "limits",
				Text: "Limits are changed by bulk-limits."})
		}
	}
	return nil
}

// runOptions say how a run goes about it. See [runs.Spec] for their meaning and defaults.
type runOptions struct {
	Canary   int    `json:"canary"`
	Then     string `json:"then"`
	Approval bool   `json:"approval"`
	Parallel int    `json:"parallel"`
	Budget   string `json:"budget"`
}

func (a *Admin) plan(c *call, b bulkVerb, spec runs.Spec) error {
	p, err := a.runner(c).Plan(c.ctx(), b.task, spec)
	if empty := (*runs.EmptyPlanError)(nil); errors.As(err, &empty) {
		pointer := "/ids"
		if spec.Filter != "" {
			pointer = "/filter"
		}
		return problem.New(problem.Validation, err, problem.Field{Pointer: pointer, Code: "nobody", Text: sentence(empty.Error())})
	}
	if wrong := (*tenancy.FilterError)(nil); errors.As(err, &wrong) {
		if _, otherwise := tenancy.ParseFilter(spec.Filter, analytics.Fields()...); otherwise == nil { // as lists of tenants have it
			return problem.New(problem.Validation, err, problem.Field{Pointer: "/filter", Code: "filter",
				Text: "Actions cannot select tenants by figures: Selector and Fields of runs.Options are not set. Choose the tenants themselves."})
		}
		return wrongFilter(err, "/filter")
	}
	if err != nil {
		return validation(err)
	}
	return c.reply(http.StatusOK, planShown{
		Plan: p.ID, Confirm: confirmation(b, p.Eligible), Eligible: p.Eligible, Skipped: p.Skipped, Sample: showResults(p.Sample), LeftOut: showResults(p.LeftOut),
		Seconds: p.Estimate.Seconds(), ExpiresAt: p.ExpiresAt, StepUp: a.needsStepUp(c, b, p.Eligible),
	})
}

// sentence writes a text as a sentence.
func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }

// threshold is the number of tenants above which an action asks for fresh credentials.
func (a *Admin) threshold(c *call) int {
	if n := c.id.Settings.BulkThreshold; n != nil {
		return int(*n)
	}
	return a.opts.BulkThreshold
}

// confirmation is what the operator repeats: the verb and how many tenants it is for.
func confirmation(b bulkVerb, eligible int) string { return fmt.Sprintf("%s %d", b.verb, eligible) }

// startPlan starts a plan of the operator's own. The plan of somebody else does not exist for them: it runs in the name of who made it.
func (a *Admin) startPlan(c *call, b bulkVerb, id, confirm string) error {
	r, err := a.runner(c).Get(c.ctx(), id)
	if err != nil {
		return err
	}
	if me := c.id.Actor(); r.Task != b.task || r.Actor.Kind != me.Kind || r.Actor.ID != me.ID {
		return fmt.Errorf("%w: no plan of this action and operator", tenancy.ErrNotFound)
	}
	eligible := 0
	for _, w := range r.Waves {
		eligible += w.Total
	}
	if confirm != confirmation(b, eligible) {
		return problem.New(problem.Validation, fmt.Errorf("%w: confirmation", tenancy.ErrInvalid), problem.Field{Pointer: "/confirm", Code: "confirm",
			Text: "Repeat the action and the number of tenants of the plan."})
	}
	if a.needsStepUp(c, b, eligible) && !c.id.FreshFor(b.permission) {
		return problem.New(problem.StepUp, fmt.Errorf("%w: %d tenants", tenancy.ErrForbidden, eligible))
	}
	err = a.recordedRun(c, id, func() error {
		r, err = a.runner(c).Start(c.ctx(), id)
		return err
	})
	if err != nil {
		return conflict(err, "The plan has expired or was cancelled: plan again.")
	}
	c.setLocation("runs/" + id)
	return c.reply(http.StatusAccepted, a.showRun(c.ctx(), r))
}
