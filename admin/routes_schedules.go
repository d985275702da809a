package admin

import (
	"context"
	"net/http"

	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// scheduleRoutes are the rows about runs that are due again and again. A schedule is about tenants of its own choice, so these rows are
// for the scope of all tenants.
func (a *Admin) scheduleRoutes() []route {
	rows := []route{
		{method: "GET", pattern: "schedules", permission: auth.RunsRead, reach: allOf, part: partRuns, handle: a.listSchedules},
		{method: "POST", pattern: "schedules/{schedule}/trigger", permission: auth.SchedulesWrite, reach: allOf, idempotent: true, action: "schedule.trigger", part: partRuns, handle: a.triggerSchedule},
	}
	for verb, change := range map[string]func(*runs.Runner, context.Context, string) error{"pause": (*runs.Runner).PauseSchedule, "resume": (*runs.Runner).ResumeSchedule} {
		rows = append(rows, route{method: "POST", pattern: "schedules/{schedule}/" + verb, permission: auth.SchedulesWrite, reach: allOf, idempotent: true,
			action: "schedule." + verb, part: partRuns, handle: func(c *call) error { return a.changeSchedule(c, change) }})
	}
	return rows
}

func (a *Admin) listSchedules(c *call) error {
	found, err := a.opts.Runs.Schedules(c.ctx())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]any{"schedules": append([]runs.ScheduleStatus{}, found...)})
}

func (a *Admin) changeSchedule(c *call, change func(*runs.Runner, context.Context, string) error) error {
	name := c.r.PathValue("schedule")
	if err := a.recorded(c, name, func() error { return change(a.opts.Runs, c.ctx(), name) }); err != nil {
		return err
	}
	return a.listSchedules(c)
}

// triggerSchedule starts the schedule's run now. That asks for what the task asks for, as a bulk action does.
func (a *Admin) triggerSchedule(c *call) error {
	name := c.r.PathValue("schedule")
	all, err := a.opts.Runs.Schedules(c.ctx())
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.Name != name {
			continue
		}
		if err := a.mayRun(c, s.Task, true); err != nil {
			return err
		}
	}
	var run *runs.Run
	err = a.recorded(c, name, func() (err error) {
		run, err = a.opts.Runs.Trigger(c.ctx(), name)
		return err
	})
	if err != nil {
		return conflict(err, "The schedule selects no tenants that its task can work on now, or its run cannot be planned.")
	}
	c.setLocation("runs/" + run.ID)
	return c.reply(http.StatusAccepted, a.showRun(c.ctx(), run))
}
