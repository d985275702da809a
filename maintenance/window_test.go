package maintenance

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
)

// day is a Sunday.
func day(clock string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", "2026-02-01 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

func utc(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", text)
	if err != nil {
		panic(err)
	}
	return t
}

func mustPlan(t testing.TB, windows ...tenancy.Window) *plan {
	t.Helper()
	p, err := newPlan(&tenancy.Maintenance{Mode: tenancy.MaintenanceClosed, Windows: windows, Generation: "1"}, "acme")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func once(from, to string) tenancy.Window {
	w := tenancy.Window{Start: day(from)}
	if to != "" {
		w.End = day(to)
	}
	return w
}

func rule(text string, length time.Duration) tenancy.Window {
	return tenancy.Window{Rule: text, Length: length}
}

func TestWindows(t *testing.T) {
	t.Parallel()
	nightly := rule("0 3 * * *", time.Hour)
	bounded := rule("0 * * * *", 10*time.Minute)
	bounded.Start, bounded.End = day("02:00:00"), day("04:00:00")
	sundays := rule("30 1 * * SUN", 45*time.Minute)
	for name, tt := range map[string]struct {
		windows []tenancy.Window
		at      time.Time
		open    bool
		end     string // on the same day, or "" for none
	}{
		"none":                   {nil, day("03:00:00"), true, ""},
		"before":                 {[]tenancy.Window{once("03:00:00", "04:00:00")}, day("02:59:59"), false, ""},
		"the first moment":       {[]tenancy.Window{once("03:00:00", "04:00:00")}, day("03:00:00"), true, "04:00:00"},
		"the last moment":        {[]tenancy.Window{once("03:00:00", "04:00:00")}, day("04:00:00").Add(-1), true, "04:00:00"},
		"the end":                {[]tenancy.Window{once("03:00:00", "04:00:00")}, day("04:00:00"), false, ""},
		"without an end":         {[]tenancy.Window{once("03:00:00", "")}, day("03:00:00").AddDate(500, 0, 0), true, ""},
		"an end and none":        {[]tenancy.Window{once("03:00:00", "04:00:00"), once("03:30:00", "")}, day("03:10:00"), true, ""},
		"overlap":                {[]tenancy.Window{once("03:00:00", "04:00:00"), once("03:30:00", "05:00:00")}, day("03:10:00"), true, "05:00:00"},
		"touch":                  {[]tenancy.Window{once("04:00:00", "05:00:00"), once("03:00:00", "04:00:00")}, day("03:10:00"), true, "05:00:00"},
		"a moment between":       {[]tenancy.Window{once("03:00:00", "04:00:00"), once("04:00:01", "05:00:00")}, day("03:10:00"), true, "04:00:00"},
		"in the moment between":  {[]tenancy.Window{once("03:00:00", "04:00:00"), once("04:00:01", "05:00:00")}, day("04:00:00"), false, ""},
		"one in another":         {[]tenancy.Window{once("03:00:00", "05:00:00"), once("03:30:00", "04:00:00")}, day("03:40:00"), true, "05:00:00"},
		"a chain":                {[]tenancy.Window{once("03:00:00", "04:00:00"), rule("45 * * * *", 30*time.Minute), once("04:10:00", "04:20:00")}, day("03:10:00"), true, "04:20:00"},
		"every night":            {[]tenancy.Window{nightly}, day("03:59:59"), true, "04:00:00"},
		"every night, after":     {[]tenancy.Window{nightly}, day("04:00:00"), false, ""},
		"every night, before":    {[]tenancy.Window{nightly}, day("03:00:00").Add(-1), false, ""},
		"on Sundays":             {[]tenancy.Window{sundays}, day("01:30:00"), true, "02:15:00"},
		"on Sundays, a Monday":   {[]tenancy.Window{sundays}, day("01:30:00").AddDate(0, 0, 1), false, ""},
		"begins at no time yet":  {[]tenancy.Window{bounded}, day("01:05:00"), false, ""},
		"begins":                 {[]tenancy.Window{bounded}, day("02:05:00"), true, "02:10:00"},
		"begins no more":         {[]tenancy.Window{bounded}, day("04:05:00"), false, ""},
		"the last that begins":   {[]tenancy.Window{bounded}, day("03:05:00"), true, "03:10:00"},
		"over midnight":          {[]tenancy.Window{rule("0 22 * * *", 6*time.Hour)}, day("01:00:00"), true, "04:00:00"},
		"each minute, for ever":  {[]tenancy.Window{rule("* * * * *", time.Minute)}, day("01:00:00"), true, ""},
		"each minute, a second":  {[]tenancy.Window{rule("* * * * *", time.Second)}, day("01:00:00").Add(time.Millisecond), true, "01:00:01"},
		"longer than between":    {[]tenancy.Window{rule("0 0 * * *", 25*time.Hour)}, day("01:00:00"), true, ""},
		"many in one":            {[]tenancy.Window{rule("* 0-2 * 2 *", 90*time.Minute)}, day("03:00:00"), true, "04:29:00"},
		"the longest":            {[]tenancy.Window{rule("0 3 1 1 *", 1<<63-1)}, day("01:00:00"), true, ""},
		"on the 29th of a month": {[]tenancy.Window{rule("0 0 29 2 *", time.Hour)}, utc("2028-02-29 00:30:00"), true, ""},
	} {
		p := mustPlan(t, tt.windows...)
		s := p.at(tt.at)
		if name == "on the 29th of a month" {
			tt.end, s = "", &span{open: s.open} // on another day
		}
		got := ""
		if !s.end.IsZero() {
			got = s.end.Format("15:04:05")
		}
		if s.open != tt.open || got != tt.end || tt.end != "" && !s.end.Truncate(24*time.Hour).Equal(tt.at.Truncate(24*time.Hour)) {
			t.Errorf("%s: got %+v, want open %v until %q", name, s, tt.open, tt.end)
		}
	}
}

// Of many times in a row, the latest counts.
func TestLatestOfManyTimes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rule   string
		length time.Duration
		at     string
		end    string
	}{
		{"* * * * *", time.Hour, "03:00:00", "04:00:00"}, {"* * * * *", time.Hour, "03:00:59", "04:00:00"}, {"* * * * *", time.Hour, "03:01:00", "04:01:00"},
		{"*/2 * * * *", time.Hour, "03:01:59", "04:00:00"}, {"*/2 * * * *", 3 * time.Minute, "03:02:00", "03:05:00"},
		{"7 * * * *", 10 * time.Hour, "03:06:59", "12:07:00"}, {"7 * * * *", 10 * time.Hour, "03:07:00", "13:07:00"},
		{"58,59 2 * * *", 2 * time.Hour, "03:30:00", "04:59:00"}, {"* * * * *", 61 * time.Second, "03:00:30", "03:01:01"},
	} {
		w, err := newWindow(rule(tt.rule, tt.length))
		if err != nil {
			t.Fatal(err)
		}
		if end, open := w.at(day(tt.at)); !open || !end.Equal(day(tt.end)) {
			t.Errorf("%s for %v at %s: got %v, %v, want the end %s", tt.rule, tt.length, tt.at, end, open, tt.end)
		}
	}
}

// At the change of clocks: a time that is skipped begins a window when clocks have
// moved on, one that comes twice begins two, and lengths are those that pass.
func TestWindowsWhenClocksChange(t *testing.T) {
	t.Parallel()
	in := func(zone, text string, length time.Duration) tenancy.Window {
		return tenancy.Window{Rule: text, Length: length, Zone: zone}
	}
	// In Berlin, clocks go from 02:00 to 03:00 at 01:00 UTC on 2026-03-29, and from
	// 03:00 to 02:00 at 01:00 UTC on 2026-10-25.
	for _, tt := range []struct {
		window tenancy.Window
		from   string
		opens  []string // in UTC, from then on
	}{
		{in("Europe/Berlin", "30 2 * * *", 10*time.Minute), "2026-03-28 00:00:00",
			[]string{"2026-03-28 01:30:00", "2026-03-29 01:00:00", "2026-03-30 00:30:00"}},
		{in("Europe/Berlin", "0 3 * * *", 10*time.Minute), "2026-03-28 00:00:00",
			[]string{"2026-03-28 02:00:00", "2026-03-29 01:00:00", "2026-03-30 01:00:00"}},
		{in("Europe/Berlin", "59 1 * * *", 10*time.Minute), "2026-03-29 00:00:00",
			[]string{"2026-03-29 00:59:00", "2026-03-29 23:59:00"}},
		{in("Europe/Berlin", "*/30 * * * *", time.Minute), "2026-03-29 00:15:00",
			[]string{"2026-03-29 00:30:00", "2026-03-29 01:00:00", "2026-03-29 01:30:00"}},
		{in("Europe/Berlin", "30 2 * * *", 10*time.Minute), "2026-10-24 00:00:00",
			[]string{"2026-10-24 00:30:00", "2026-10-25 00:30:00", "2026-10-25 01:30:00", "2026-10-26 01:30:00"}},
		{in("Europe/Berlin", "0 3 * * *", 10*time.Minute), "2026-10-24 12:00:00",
			[]string{"2026-10-25 02:00:00", "2026-10-26 02:00:00"}},
		{in("Europe/Berlin", "0 * * * *", 10*time.Minute), "2026-10-24 23:30:00",
			[]string{"2026-10-25 00:00:00", "2026-10-25 01:00:00", "2026-10-25 02:00:00"}},
		// Midnight is skipped, in Cairo on 2026-04-24; half an hour, on Lord Howe Island.
		{in("Africa/Cairo", "15 0 * * *", time.Minute), "2026-04-23 12:00:00",
			[]string{"2026-04-23 22:00:00", "2026-04-24 21:15:00"}},
		{in("Australia/Lord_Howe", "15 2 * * *", time.Minute), "2026-10-02 20:00:00",
			[]string{"2026-10-03 15:30:00", "2026-10-04 15:15:00"}},
		{in("Asia/Kolkata", "0 3 * * *", time.Minute), "2026-03-28 00:00:00", []string{"2026-03-28 21:30:00"}},
		{in("", "0 3 * * *", time.Minute), "2026-03-28 00:00:00", []string{"2026-03-28 03:00:00", "2026-03-29 03:00:00"}},
	} {
		w, err := newWindow(tt.window)
		if err != nil {
			t.Fatal(err)
		}
		at := utc(tt.from)
		for _, want := range tt.opens {
			got, ok := w.next(at)
			if !ok || !got.Equal(utc(want)) {
				t.Errorf("%+v after %v: got %v, want %v", tt.window, at, got.UTC(), want)
				break
			}
			if end, open := w.at(got); !open || !end.Equal(got.Add(tt.window.Length)) {
				t.Errorf("%+v at %v: got %v, %v, want it open for its length", tt.window, got, end, open)
			}
			if _, open := w.at(got.Add(-1)); open {
				t.Errorf("%+v: got it open a moment before %v", tt.window, got)
			}
			at = got
		}
	}

	// Two windows of an hour follow each other where clocks show the hour twice.
	s := mustPlan(t, in("Europe/Berlin", "0 2 * * *", time.Hour)).at(utc("2026-10-25 00:10:00"))
	if want := utc("2026-10-25 02:00:00"); !s.open || !s.end.Equal(want) {
		t.Errorf("an hour that comes twice: got %+v, want the end %v", s, want)
	}
}

// Where the zone's data goes on by a rule, time.Time.ZoneBounds takes each year to
// have 365 days: on the last day of a leap year the period has ended already.
func TestWindowsAtTheEndOfALeapYear(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"Europe/Berlin", "Australia/Sydney", "America/New_York", "UTC", "Asia/Kolkata"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		w, err := newWindow(tenancy.Window{Rule: "0 12 * * *", Length: time.Hour, Zone: zone})
		if err != nil {
			t.Fatal(err)
		}
		for _, year := range []int{2028, 2040, 2039, 2096} {
			for hour := range 24 {
				at := time.Date(year, 12, 31, hour, 30, 0, 0, loc)
				want := time.Date(year, 12, 31, 12, 0, 0, 0, loc)
				if hour >= 12 {
					want = want.AddDate(0, 0, 1)
				}
				if got, ok := w.next(at); !ok || !got.Equal(want) {
					t.Errorf("after %v: got %v, %v, want %v", at, got, ok, want)
				}
			}
		}
	}
}

// What is known of a time holds until it says, and is found again when the clock
// was set back.
func TestSpans(t *testing.T) {
	t.Parallel()
	p := mustPlan(t, once("03:00:00", "04:00:00"), rule("0 12 * * *", time.Hour))
	for _, tt := range []struct {
		at    string
		open  bool
		until string
	}{
		{"02:00:00", false, "03:00:00"}, {"02:59:59", false, "03:00:00"}, {"03:00:00", true, "04:00:00"}, {"03:30:00", true, "04:00:00"},
		{"04:00:00", false, "12:00:00"}, {"12:30:00", true, "13:00:00"}, {"03:30:00", true, "04:00:00"}, {"02:00:00", false, "03:00:00"},
	} {
		if s := p.at(day(tt.at)); s.open != tt.open || !s.until.Equal(day(tt.until)) {
			t.Errorf("at %s: got %+v, want open %v until %s", tt.at, s, tt.open, tt.until)
		}
	}
	if a, b := p.at(day("01:00:00")), p.at(day("01:30:00")); a != b {
		t.Error("got windows looked at again, want what is known of the time")
	}
	over := mustPlan(t, once("03:00:00", "04:00:00"))
	if s := over.at(day("05:00:00")); s.open || !s.until.IsZero() {
		t.Errorf("over: got %+v, want it never open again", s)
	}
}

func TestBadWindows(t *testing.T) {
	t.Parallel()
	for _, w := range []tenancy.Window{
		{Rule: "* * * *"}, {Rule: "* * * * * *"}, {Rule: "60 * * * *"}, {Rule: "@daily"}, {Rule: "@every 1h"}, {Rule: "TZ=0"}, {Rule: "TZ="},
		{Rule: "CRON_TZ=UTC * * * * *"}, {Rule: " "}, {Rule: "0 0 30 2 *"}, {Rule: "a b c d e"}, {Rule: "*/0 * * * *"},
		{Rule: "5-1 * * * *"}, {Rule: strings.Repeat("0,", 1000) + "0"}, {Rule: "0 3 * * *", Zone: "Nowhere/City"}, {Rule: "0 3 * * *", Zone: "Local"},
		{Rule: "0 3 * * *", Zone: "../../etc/passwd"}, {Rule: "99999999999999999999 * * * *"},
	} {
		w.Length = time.Hour
		if _, err := newWindow(w); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%+v: got %v, want ErrInvalid", w, err)
		}
		// A record with one, which another version may have written, is in force.
		p, err := newPlan(&tenancy.Maintenance{Windows: []tenancy.Window{once("03:00:00", "04:00:00"), w}}, "acme")
		if s := p.at(day("05:00:00")); !errors.Is(err, tenancy.ErrInvalid) || !s.open || !s.end.IsZero() {
			t.Errorf("%+v: got %+v, %v, want it always open", w, s, err)
		}
	}
}

func TestAllowedPaths(t *testing.T) {
	t.Parallel()
	p, err := newPlan(&tenancy.Maintenance{Paths: []string{"/health", "/static/", "/ü"}}, "acme")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path, raw string
		want      bool
	}{
		{"/health", "", true}, {"/health/", "", true}, {"/health/db", "", true}, {"/static", "", true}, {"/static/a.css", "", true}, {"/ü/x", "", true},
		{"/", "", false}, {"", "", false}, {"*", "", false}, {"health", "", false}, {"/healthy", "", false}, {"/Health", "", false}, {"/x/health", "", false},
		{"/health/../admin", "", false}, {"/health/..", "", false}, {"/admin/../health", "", false}, {"/health/./x", "", false}, {"//health", "", false},
		{"/health//x", "", false}, {"/health//", "", false}, {"/health/../admin", "/health%2F..%2Fadmin", false}, {"/health/x", "/health%2Fx", false},
		{"/health/%2e%2e/admin", "", false}, {"/health/..%2fadmin", "", false}, {`/health\..\admin`, "", false}, {"/health/..;/admin", "", false},
		{"/health;/x", "", false}, {"/health/\x00", "", false}, {"/health/\n", "", false},
	} {
		if got := p.paths.has(tt.path, tt.raw); got != tt.want {
			t.Errorf("%q (%q): got %v, want %v", tt.path, tt.raw, got, tt.want)
		}
	}
	root, err := newPlan(&tenancy.Maintenance{Paths: []string{"/"}}, "acme")
	if err != nil {
		t.Fatal(err)
	}
	if !root.paths.has("/", "") || root.paths.has("/x", "") || root.paths.has("//", "") {
		t.Error("the path /: want it to allow itself alone")
	}
}

func TestAllowedAddresses(t *testing.T) {
	t.Parallel()
	p, err := newPlan(&tenancy.Maintenance{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}}, "acme")
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{
		"192.0.2.7": true, "192.0.3.7": false, "2001:db8::1": true, "2001:db9::1": false, "::ffff:192.0.2.7": false, "127.0.0.1": false,
	} {
		if got := p.allows(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: got %v, want %v", addr, got, want)
		}
	}
	if p.allows(netip.Addr{}) {
		t.Error("no address: got it allowed")
	}
}

// Whatever a rule is: reading it does not panic, windows agree with what a look at
// each minute says, and come to an end.
func FuzzWindow(f *testing.F) {
	f.Add("0 3 * * *", "Europe/Berlin", int64(time.Hour), int64(1774659600))
	f.Add("*/7 1-5 * * 1", "America/St_Johns", int64(90*time.Second), int64(1793000000))
	f.Add("0 0 29 2 *", "", int64(1<<62), int64(0))
	f.Add("* * * * *", "Africa/Cairo", int64(time.Minute), int64(1776981600))
	f.Add("TZ=0", "Local", int64(-1), int64(-1<<40))
	f.Fuzz(func(t *testing.T, rule, zone string, length, at int64) {
		if rule == "" || length <= 0 || at < -1<<40 || at > 1<<40 {
			return
		}
		w, err := newWindow(tenancy.Window{Rule: rule, Zone: zone, Length: time.Duration(length)})
		if err != nil {
			return
		}
		now := time.Unix(at, 0).UTC()
		end, open := w.at(now)
		if open && (!end.After(now) || end.Add(-w.Length).After(now)) {
			t.Errorf("%q in %q for %v at %v: got an end at %v", rule, zone, w.Length, now, end)
		}
		begin, ok := w.next(now)
		if ok && !begin.After(now) {
			t.Errorf("%q in %q: got %v after %v", rule, zone, begin, now)
		}
		if ok {
			if end, open := w.at(begin); !open || !end.Equal(begin.Add(w.Length)) {
				t.Errorf("%q in %q for %v: begins at %v, and there is %v, %v", rule, zone, w.Length, begin, end, open)
			}
			if _, before := w.at(begin.Add(-1)); before && w.Length < begin.Sub(now) {
				t.Errorf("%q in %q for %v: open before %v, though nothing began since %v", rule, zone, w.Length, begin, now)
			}
		}
		p := &plan{Maintenance: &tenancy.Maintenance{}, windows: []window{w}}
		if s := p.look(now); s.open != open {
			t.Errorf("%q in %q at %v: got %+v, want open %v", rule, zone, now, s, open)
		}
	})
}

// BenchmarkLook is what a request pays that comes first after a window began or
// ended.
func BenchmarkLook(b *testing.B) {
	for _, w := range []tenancy.Window{
		{Rule: "0 3 * * *", Length: time.Hour, Zone: "Europe/Berlin"},
		{Rule: "* * * * *", Length: time.Minute, Zone: "Europe/Berlin"},
		{Rule: "* * * * *", Length: 365 * 24 * time.Hour, Zone: "Europe/Berlin"},
		{Rule: "59 23 29 2 *", Length: 1<<63 - 1, Zone: "Europe/Berlin"},
		{Rule: "59 23 31 12 *", Length: 366 * 24 * time.Hour, Zone: "Europe/Berlin"},
		{Rule: "59 23 31 12 *", Length: time.Second, Zone: "Europe/Berlin"},
	} {
		b.Run(strings.ReplaceAll(w.Rule, " ", "_")+"/"+w.Length.String(), func(b *testing.B) {
			p := mustPlan(b, w)
			for b.Loop() {
				p.look(day("03:10:00"))
			}
		})
	}
}

// Sunday is 0 and 7, as in most programs that read such expressions, and the end of a
// week as well as its beginning.
func TestDaysOfTheWeek(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]string{ // the days on which the window opens, from Sunday on
		"0": "0", "7": "0", "sun": "0", "SUN": "0", "1-7": "0123456", "0-7": "0123456", "5-7": "056", "6-7": "06", "7-7": "0",
		"1,7": "01", "7,1-2": "012", "fri-sun": "056", "Sat-Sun": "06", "fri-7": "056", "5-sun": "056", "1-7/2": "0135", "2-7/5": "02", "7/3": "0", "0-7/7": "0",
		"*": "0123456", "?": "0123456", "*/2": "0246", "1-5": "12345", "mon-fri": "12345", "2/2": "246", "0-0": "0", "sun-sun": "0", "1-7/9223372036854775807": "1", "1-7/7": "1",
	} {
		p := mustPlan(t, rule("0 3 * * "+field, time.Hour))
		got := ""
		for i := range 7 {
			if at := day("03:30:00").AddDate(0, 0, i); p.look(at).open {
				got += string(rune('0' + i))
			}
		}
		if got != want {
			t.Errorf("%q: got the days %s, want %s", field, got, want)
		}
	}
	for _, field := range []string{"8", "77", "7-8", "07-8", "7-1", "sun-8", "6-0", "1-7/0", "1-7/x", "-7", "7-", "1-7-7", "7/-1", "1-7/99999999999999999999", "sun-mon-7", "7x", "1-7/+", "1-7/"} {
		if _, err := newWindow(rule("0 3 * * "+field, time.Hour)); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", field, err)
		}
	}
}
