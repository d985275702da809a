package runs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// ScheduleStatus says when a schedule is due, and what came of its last time.
type ScheduleStatus struct {
	Name   string `json:"name"`
	Cron   string `json:"cron"`
	Zone   string `json:"zone"`
	Task   string `json:"task"`
	Paused bool   `json:"paused"`
	// NextAt is when the next run is due.
	NextAt time.Time `json:"next_at"`
	// LastRun is the ID of the last run, and LastAt the time that it was for.
	LastRun string    `json:"last_run,omitempty"`
	LastAt  time.Time `json:"last_at,omitzero"`
	// Note says why there was no run at LastAt: the one before was not finished, or
	// the plan was empty.
	Note string `json:"note,omitempty"`
}

// scheduleRow is a row of tenancy_run_schedules.
type scheduleRow struct {
	Name       string `db:"name"`
	Definition string `db:"definition"`
	SlotAt     int64  `db:"slot_at"`
	DueAt      int64  `db:"due_at"`
	Paused     bool   `db:"paused"`
	LastRun    string `db:"last_run"`
	LastSlot   int64  `db:"last_slot"`
	Note       string `db:"note"`
	Now        int64  `db:"now_at"`
}

const scheduleColumns = `name, definition, slot_at, due_at, paused, last_run, last_slot, note`

// Schedules returns the schedules of this program, in order of their names.
func (r *Runner) Schedules(ctx context.Context) ([]ScheduleStatus, error) {
	out := make([]ScheduleStatus, 0, len(r.timetables))
	for _, t := range r.timetables {
		row, err := r.scheduleRow(ctx, t)
		if err != nil {
			return nil, wrap("runs.Runner.Schedules", "", err)
		}
		out = append(out, ScheduleStatus{
			Name: t.Name, Cron: t.Cron, Zone: t.Zone, Task: t.Task, Paused: row.Paused, NextAt: fromMicro(row.DueAt),
			LastRun: row.LastRun, LastAt: fromMicro(row.LastSlot), Note: row.Note,
		})
	}
	return out, nil
}

// PauseSchedule pauses a schedule on all instances: it starts no run until
// [Runner.ResumeSchedule]. A schedule that does not exist is an error that wraps
// [tenancy.ErrNotFound], here and in the methods below.
func (r *Runner) PauseSchedule(ctx context.Context, name string) error {
	return wrap("runs.Runner.PauseSchedule", "", r.setPaused(ctx, name, true))
}

// ResumeSchedule ends the pause of a schedule. Times that passed meanwhile are not made up for.
func (r *Runner) ResumeSchedule(ctx context.Context, name string) error {
	return wrap("runs.Runner.ResumeSchedule", "", r.setPaused(ctx, name, false))
}

func (r *Runner) setPaused(ctx context.Context, name string, paused bool) error {
	t, err := r.timetable(name)
	if err != nil {
		return err
	}
	row, err := r.scheduleRow(ctx, t)
	if err != nil || row.Paused == paused {
		return err
	}
	if paused {
		_, err = r.exec(ctx, r.db, `UPDATE tenancy_run_schedules SET paused = 1 WHERE name = ?`, name)
		return err
	}
	slot, due := t.times(fromMicro(row.Now))
	_, err = r.exec(ctx, r.db, `UPDATE tenancy_run_schedules SET paused = 0, slot_at = ?, due_at = ? WHERE name = ?`, slot, due, name)
	return err
}

func flag(is bool) int {
	if is {
		return 1
	}
	return 0
}

// Trigger plans and starts a run of the schedule now, as the actor of the context. The next
// time of the schedule stays as it is.
func (r *Runner) Trigger(ctx context.Context, name string) (*Run, error) {
	const op = "runs.Runner.Trigger"
	t, err := r.timetable(name)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	p, err := r.plan(ctx, t.Task, t.Spec)
	if err != nil {
		return nil, wrap(op, "", err)
	}
	return r.Start(ctx, p.ID)
}

func (r *Runner) timetable(name string) (*timetable, error) {
	i := slices.IndexFunc(r.timetables, func(t *timetable) bool { return t.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("%w: schedule %.80q", tenancy.ErrNotFound, name)
	}
	return r.timetables[i], nil
}

// times returns the first time behind that one, and when it is due.
func (t *timetable) times(after time.Time) (slot, due int64) {
	slot = t.next(after).UnixMicro()
	due = slot
	if t.Jitter > 0 {
		due += rand.N(t.Jitter.Microseconds() + 1) // not a secret
	}
	return slot, due
}

// current reports whether the row is as this program's definition wants it. A time that has come
// is handled first, whichever definition it is of. A row has the definition of the program that
// wrote it, and in a second line the one that it replaced: while two versions of a program run,
// the row has the earlier of their times, and neither keeps the other from being due.
func (t *timetable) current(row scheduleRow) bool {
	first, second, _ := strings.Cut(row.Definition, "\n")
	ours := second == t.definition() && row.DueAt > row.Now && row.SlotAt <= t.next(fromMicro(row.Now)).UnixMicro()
	return first == t.definition() || ours || row.isDue()
}

func (row *scheduleRow) isDue() bool { return !row.Paused && row.DueAt <= row.Now }

// scheduleRow returns what is kept of a schedule, after making it if it is new, or what
// its times depend on has changed.
func (r *Runner) scheduleRow(ctx context.Context, t *timetable) (row scheduleRow, err error) {
	query := `SELECT ` + scheduleColumns + `, NOW() AS now_at FROM tenancy_run_schedules WHERE name = ?`
	var rows []scheduleRow
	if err := r.selects(ctx, r.db, &rows, query, t.Name); err != nil {
		return row, err
	}
	if len(rows) == 1 && t.current(rows[0]) {
		return rows[0], nil
	}
	if len(rows) == 1 {
		was := rows[0]
		replaced, _, _ := strings.Cut(was.Definition, "\n")
		slot, due := t.times(fromMicro(was.Now))
		_, err = r.exec(ctx, r.db, `UPDATE tenancy_run_schedules SET definition = ?, slot_at = ?, due_at = ? WHERE name = ? AND definition = ? AND slot_at = ? AND paused = ?`,
			t.definition()+"\n"+replaced, slot, due, t.Name, was.Definition, was.SlotAt, flag(was.Paused))
	} else {
		err = sqlkit.Write(ctx, r.db, func(ctx context.Context, tx *sqlx.Tx) error {
			var now int64
			if err := r.get(ctx, tx, &now, `SELECT NOW()`); err != nil {
				return err
			}
			slot, due := t.times(fromMicro(now))
			_, err := r.exec(ctx, tx, `INSERT INTO tenancy_run_schedules (`+scheduleColumns+`) VALUES (?, ?, ?, ?, 0, '', 0, '')`, t.Name, t.definition(), slot, due)
			return err
		})
	}
	if err != nil && !sqlkit.IsUnique(err) { // or another instance was faster
		return row, err
	}
	err = r.get(ctx, r.db, &row, query, t.Name)
	return row, err
}

// trigger starts the runs of schedules that are due.
func (r *Runner) trigger(ctx context.Context) (err error) {
	for _, t := range r.timetables {
		row, e := r.scheduleRow(ctx, t)
		if e == nil && row.isDue() {
			e = r.due(ctx, t, row)
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("schedule %s: %w", t.Name, e))
		}
	}
	return err
}

// scheduleKeys is what the keys of runs of schedules begin with. A plan of a schedule keeps its key when it is cancelled: other
// instances would plan the time again.
const scheduleKeys = "schedule/"

// due starts the run for a time that has come, unless the run before has not ended, or
// the time was missed and is not made up for. Instances that do this at once, or again
// after one that died, find the same run by its key. Whether the schedule is paused, and
// whether the time is still the next one, is looked at in the transaction that starts the run.
func (r *Runner) due(ctx context.Context, t *timetable, row scheduleRow) error {
	slot := fromMicro(row.SlotAt)
	missed := row.Now-row.DueAt > missedAfter.Microseconds()
	from := slot
	if missed {
		from = fromMicro(row.Now)
	}
	next := row
	next.Definition = t.definition()
	next.SlotAt, next.DueAt = t.times(from)
	next.LastSlot, next.Note = row.SlotAt, ""
	key := scheduleKeys + t.Name + "/" + slot.Format(time.RFC3339)
	planned := false // or being planned, which may take its time, by an instance that was there
	err := r.get(ctx, r.db, &planned, `SELECT COUNT(*) > 0 FROM tenancy_runs WHERE idem_key = ? AND state IN (?, ?) AND expires_at > NOW() - ?`,
		key, statePlanning, StatePlanned, missedAfter.Microseconds())
	if err != nil {
		return err
	}
	before, err := r.unfinished(ctx, row.LastRun)
	switch {
	case err != nil:
		return err
	case missed && t.SkipMissed && !planned:
		next.Note = "missed, and not made up for"
	case before:
		next.Note = "skipped: the run before has not ended"
	default:
		spec := t.Spec
		spec.Key = key
		by := tenancy.WithActor(ctx, tenancy.Actor{Kind: tenancy.ActorSystem, ID: "schedule:" + t.Name})
		p, err := r.plan(by, t.Task, spec)
		switch {
		case errors.Is(err, errPlanning):
			return nil // by another instance
		case errors.Is(err, tenancy.ErrInvalid), errors.Is(err, tenancy.ErrConflict):
			next.Note = clip(err.Error())
		case err != nil:
			return err
		case p.State == StateCancelled: // somebody was faster than the instance that was to note it
			next.LastRun = p.ID
		default:
			next.LastRun = p.ID
			_, err := r.change(by, "Start", p.ID, func(ctx context.Context, tx *sqlx.Tx, run *runRow) error {
				if n, err := r.note(ctx, tx, row, next); err != nil || n == 0 {
					return cmp.Or(err, errNotDue)
				}
				return r.start(ctx, tx, run)
			})
			if errors.Is(err, errNotDue) {
				err = nil
			}
			return err
		}
	}
	n, err := r.note(ctx, r.db, row, next)
	if err == nil && n > 0 && next.Note != "" {
		r.opts.Logger.WarnContext(ctx, "runs: a schedule was due and started no run",
			slog.String("schedule", t.Name), slog.Time("due", slot), slog.String("why", next.Note))
	}
	return err
}

// errNotDue says that a schedule was paused, or another instance was faster with its time.
var errNotDue = fmt.Errorf("%w: the time of the schedule is not the next one any more", tenancy.ErrConflict)

// note writes what became of a time, unless the schedule is paused or another instance was faster.
// Then n is 0.
func (r *Runner) note(ctx context.Context, db sqlx.ExecerContext, row, next scheduleRow) (n int64, err error) {
	return r.exec(ctx, db, `UPDATE tenancy_run_schedules SET definition = ?, slot_at = ?, due_at = ?, last_run = ?, last_slot = ?, note = ? WHERE name = ? AND slot_at = ? AND paused = 0`,
		next.Definition, next.SlotAt, next.DueAt, next.LastRun, next.LastSlot, next.Note, row.Name, row.SlotAt)
}

// unfinished reports whether that run is still going on.
func (r *Runner) unfinished(ctx context.Context, id string) (bool, error) {
	if id == "" {
		return false, nil
	}
	var n int
	err := r.get(ctx, r.db, &n, `SELECT COUNT(*) FROM tenancy_runs WHERE id = ? AND state IN ('running', 'paused')`, id)
	return n > 0, err
}
