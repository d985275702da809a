package runs

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
)

// The package comment has the transitions of the code, and no others.
func TestTransitionsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	got := map[State][]State{}
	from := State("")
	for _, m := range regexp.MustCompile(`(?m)^//\t(\w*) +→ (\w+)`).FindAllSubmatch(text, -1) {
		if len(m[1]) > 0 {
			from = State(m[1])
		}
		got[from] = append(got[from], State(m[2]))
	}
	for _, from := range States() {
		if !slices.Equal(got[from], transitions[from]) {
			t.Errorf("from %s: the comment says %q, the code %q", from, got[from], transitions[from])
		}
	}
	if len(got) != len(transitions) {
		t.Errorf("the comment has transitions from %d states, the code from %d", len(got), len(transitions))
	}
}

func TestWaveSizes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		waves    Waves
		total    int
		canaries int
		want     []int
	}{
		{Waves{}, 7, 0, []int{7}},
		{Waves{}, 7, 2, []int{2, 5}},
		{Waves{}, 2, 5, []int{2}},
		{Waves{Then: "25%"}, 10, 1, []int{1, 3, 3, 3}},
		{Waves{Then: "1, 50%"}, 10, 0, []int{1, 5, 4}},
		{Waves{Then: "1%"}, 3, 0, []int{1, 1, 1}},
		{Waves{Then: "100"}, 0, 0, nil},
	} {
		got, err := tt.waves.sizes(tt.total, tt.canaries)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%+v of %d with %d canaries: got %v, %v, want %v", tt.waves, tt.total, tt.canaries, got, err, tt.want)
		}
	}
	if got, err := (Waves{Then: "1"}).sizes(maxWaves+1, 0); err == nil {
		t.Errorf("got %d waves, want an error", len(got))
	}
}

// When clocks are put forward a time may be left out, and when they are put back, one
// that names its hour comes once.
func TestTimesWhenClocksChange(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cron, after string
		want        []string
	}{
		{"30 2 * * *", "2026-03-27T12:00:00Z", []string{"2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"}}, // there is no 2:30 on the 29th
		{"30 2 * * *", "2026-10-24T12:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}}, // and two on the 25th of October
		{"30 * * * *", "2026-10-25T00:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"}},
	} {
		table, err := newTimetable(Schedule{Name: "x", Cron: tt.cron, Zone: "Europe/Berlin", Task: "t"}, Tasks{"t": {}})
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, tt.after)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range tt.want {
			at = table.next(at)
			if got := at.Format(time.RFC3339); got != want {
				t.Errorf("%s after %s: got %s, want %s", tt.cron, tt.after, got, want)
			}
		}
	}
}

// Sunday is 0 and 7 here, too, and the end of a week as well as its beginning.
func TestTimesOnSundays(t *testing.T) {
	t.Parallel()
	for cron, want := range map[string]string{ // the first time behind a Saturday's
		"0 3 * * 7": "2026-10-25T03:00:00Z", "0 3 * * 5-7": "2026-10-25T03:00:00Z", "0 3 * * fri-sun": "2026-10-25T03:00:00Z",
		"0 3 * * 2-7/5": "2026-10-25T03:00:00Z", "0 3 * * 1-5": "2026-10-26T03:00:00Z", "@weekly": "2026-10-25T00:00:00Z",
	} {
		table, err := newTimetable(Schedule{Name: "x", Cron: cron, Task: "t"}, Tasks{"t": {}})
		if err != nil {
			t.Errorf("%q: %v", cron, err)
			continue
		}
		if got := table.next(time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC)).Format(time.RFC3339); got != want {
			t.Errorf("%q: got %s, want %s", cron, got, want)
		}
	}
	if _, err := newTimetable(Schedule{Name: "x", Cron: "0 3 * * 8", Task: "t"}, Tasks{"t": {}}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("day 8: got %v, want ErrInvalid", err)
	}
}

// A time that clocks show twice comes once, wherever one begins to look.
func TestTimesThatComeTwice(t *testing.T) {
	t.Parallel()
	nothing := Tasks{"work": {Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }}}
	for _, tt := range []struct{ cron, after, want string }{
		{"30 2 * * *", "2026-10-24T23:00:00Z", "2026-10-25T00:30:00Z"}, // before both: the first
		{"30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}, // at the first
		{"30 2 * * *", "2026-10-25T00:45:00Z", "2026-10-26T01:30:00Z"}, // between them
		{"30 2 * * *", "2026-10-25T01:15:00Z", "2026-10-26T01:30:00Z"}, // in the hour that comes again
		{"0,30 2 * * *", "2026-10-25T00:10:00Z", "2026-10-25T00:30:00Z"},
		{"0,30 2 * * *", "2026-10-25T00:40:00Z", "2026-10-26T01:00:00Z"},
		{"*/30 * * * *", "2026-10-25T00:40:00Z", "2026-10-25T01:00:00Z"}, // of every hour each counts
		{"30 2 * * *", "2026-03-28T02:00:00Z", "2026-03-30T00:30:00Z"},   // one that is left out
	} {
		timetable, err := newTimetable(Schedule{Name: "x", Cron: tt.cron, Zone: "Europe/Berlin", Task: "work"}, nothing)
		if err != nil {
			t.Fatal(err)
		}
		after, err := time.Parse(time.RFC3339, tt.after)
		if err != nil {
			t.Fatal(err)
		}
		if got := timetable.next(after).Format(time.RFC3339); got != tt.want {
			t.Errorf("%q after %s: got %s, want %s", tt.cron, tt.after, got, tt.want)
		}
	}
}
