package maintenance

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/crontab"
)

// rules are read in five fields, without descriptors such as @daily.
var rules = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// granularity is how far apart the times of a rule are, at the least.
const granularity = time.Minute

// window is a window that was read.
type window struct {
	tenancy.Window
	rule cron.Schedule  // nil: it comes once
	zone *time.Location // the rule's
}

// newWindow reads a window. A malformed rule, one that names no time that ever
// comes, and a zone that this machine does not know are errors that wrap
// [tenancy.ErrInvalid].
func newWindow(w tenancy.Window) (window, error) {
	out := window{Window: w}
	if w.Rule == "" {
		return out, nil
	}
	if strings.ContainsAny(w.Rule, "=@") { // the zone has a field of its own
		return window{}, fmt.Errorf("%w: rule %q, want five fields", tenancy.ErrInvalid, w.Rule)
	}
	var err error
	if out.rule, err = rules.Parse(crontab.SundayAs0(w.Rule)); err != nil {
		return window{}, fmt.Errorf("%w: rule %q: %w", tenancy.ErrInvalid, w.Rule, err)
	}
	if w.Zone == "Local" { // of which machine?
		return window{}, fmt.Errorf("%w: zone %q, want a name such as Europe/Berlin", tenancy.ErrInvalid, w.Zone)
	}
	if out.zone, err = time.LoadLocation(w.Zone); err != nil {
		return window{}, fmt.Errorf("%w: zone %q: %w", tenancy.ErrInvalid, w.Zone, err)
	}
	if out.rule.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return window{}, fmt.Errorf("%w: rule %q names no time", tenancy.ErrInvalid, w.Rule)
	}
	return out, nil
}

// at reports whether the window is open at t, and until when: the end of the
// latest of its times that have begun. The zero time is never.
func (w *window) at(t time.Time) (end time.Time, open bool) {
	if w.rule == nil {
		return w.End, !t.Before(w.Start) && (w.End.IsZero() || t.Before(w.End))
	}
	first, ok := w.next(t.Add(-w.Length))
	if !ok || first.After(t) {
		return time.Time{}, false
	}
	// The latest begins at lo, or between lo and hi.
	lo, hi := first, t
	for hi.Sub(lo) > granularity {
		mid := lo.Add(hi.Sub(lo) / 2)
		if n, ok := w.next(mid); ok && !n.After(t) {
			lo = n
		} else {
			hi = mid
		}
	}
	if n, ok := w.next(lo); ok && !n.After(t) {
		lo = n
	}
	return lo.Add(w.Length), true
}

// next returns when the window opens next after t.
func (w *window) next(t time.Time) (time.Time, bool) {
	if t.Before(w.Start) {
		t = w.Start.Add(-1) // it may open right then
	}
	if w.rule == nil {
		return w.Start, t.Before(w.Start)
	}
	n, ok := w.ruled(t)
	return n, ok && (w.End.IsZero() || n.Before(w.End))
}

// ruled returns the first time of the rule after t.
//
// The rule is asked for what clocks on the wall show, in each period of the zone
// between two changes of its clocks. So a time that clocks show twice is two times,
// and one that they skip is the moment at which they do.
func (w *window) ruled(t time.Time) (time.Time, bool) {
	after, in := t, t.In(w.zone) // times after the one, in the period of the other
	for {
		_, offset := in.Zone()
		shift := time.Duration(offset) * time.Second
		n := w.rule.Next(after.UTC().Add(shift))
		if n.IsZero() {
			return time.Time{}, false
		}
		n = n.Add(-shift)
		_, end := in.ZoneBounds()
		if !end.IsZero() && !end.After(in) { // on the last day of some leap years
			end = in.Add(24 * time.Hour)
		}
		if end.IsZero() || n.Before(end) {
			return n, true
		}
		_, later := end.Zone()
		if skipped := time.Duration(later-offset) * time.Second; n.Before(end.Add(skipped)) {
			return end, true
		}
		after, in = end.Add(-1), end
	}
}
