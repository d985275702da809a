package runs

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/crontab"
)

// Schedule is a run that is planned and started again and again, while some instance
// runs [Runner.Run]. The program defines it; the database keeps when it is due and whether
// it is paused.
type Schedule struct {
	// Name identifies the schedule: 1 to 64 lower-case letters, digits and hyphens.
	Name string
	// Cron says when: minute, hour, day of month, month, day of week (Sunday is 0 and 7), such
	// as "30 2 * * *", or a word such as "@daily". See https://pkg.go.dev/github.com/robfig/cron/v3.
	Cron string
	// Zone is the time zone of Cron, such as "Europe/Berlin". When clocks are put forward,
	// a time that they skip starts no run; when they are put back, a time that they show
	// twice starts one run if Cron names the hour; one for each hour starts a run in both. Default: UTC.
	Zone string
	// Jitter is the most by which each time is late, at random. Default: none.
	Jitter time.Duration
	// SkipMissed drops the times at which no instance ran, or none could reach the
	// database, for five minutes. Default: one run makes up for all that were missed.
	SkipMissed bool
	Task       string
	// Spec is the spec of each run. Its key must be empty: the runner makes the keys.
	Spec Spec
}

// missedAfter is how late a time is missed.
const missedAfter = 5 * time.Minute

// timetable is a schedule that was read.
type timetable struct {
	Schedule
	cron  cron.Schedule
	zone  *time.Location
	daily bool // the hour is named: a time that comes twice when clocks are put back is one
}

// newTimetable reads a schedule, and refuses one that is malformed or never due.
func newTimetable(s Schedule, tasks Tasks) (*timetable, error) {
	if err := validateTaskName(s.Name); err != nil {
		return nil, fmt.Errorf("name of a schedule: %w", err)
	}
	if s.Zone == "" {
		s.Zone = "UTC"
	}
	zone, err := time.LoadLocation(s.Zone)
	if err != nil || s.Zone == "Local" {
		return nil, fmt.Errorf("%w: schedule %s: time zone %.80q, want a name such as Europe/Berlin", tenancy.ErrInvalid, s.Name, s.Zone)
	}
	c, err := cron.ParseStandard("CRON_TZ=" + s.Zone + " " + crontab.SundayAs0(s.Cron))
	if err == nil && strings.Contains(s.Cron, "=") { // the zone has a field of its own
		err = errors.New("want five fields or a word such as @daily")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: schedule %s: %w", tenancy.ErrInvalid, s.Name, err)
	}
	if c.Next(time.Now().In(zone)).IsZero() {
		return nil, fmt.Errorf("%w: schedule %s: %q is never due", tenancy.ErrInvalid, s.Name, s.Cron)
	}
	if s.Jitter < 0 {
		return nil, fmt.Errorf("%w: schedule %s: jitter %v, want 0 or more", tenancy.ErrInvalid, s.Name, s.Jitter)
	}
	if _, ok := tasks[s.Task]; !ok {
		return nil, fmt.Errorf("%w: schedule %s: unknown task %.80q", tenancy.ErrInvalid, s.Name, s.Task)
	}
	if s.Spec.Key != "" {
		return nil, fmt.Errorf("%w: schedule %s: its spec has a key, want none", tenancy.ErrInvalid, s.Name)
	}
	if err := s.Spec.complete(); err != nil {
		return nil, fmt.Errorf("schedule %s: %w", s.Name, err)
	}
	fields := strings.Fields(s.Cron)
	daily := len(fields) == 5 && !strings.Contains(fields[1], "*") || len(fields) == 1 && s.Cron != "@hourly"
	return &timetable{s, c, zone, daily}, nil
}

// definition is what the times depend on.
func (t *timetable) definition() string { return t.Zone + " " + t.Cron }

// next returns the first time behind that one.
func (t *timetable) next(after time.Time) time.Time {
	next := t.cron.Next(after.UTC())
	for t.daily && t.repeats(next) {
		next = t.cron.Next(next)
	}
	return next.UTC()
}

// repeats reports whether clocks show that time for the second time, because they were put
// back.
func (t *timetable) repeats(at time.Time) bool {
	at = at.In(t.zone)
	since, _ := at.ZoneBounds()
	if since.IsZero() {
		return false
	}
	_, before := since.Add(-time.Second).Zone()
	_, now := at.Zone()
	return at.Before(since.Add(time.Duration(before-now) * time.Second))
}
