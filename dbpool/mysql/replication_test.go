package mysql

import (
	"errors"
	"regexp"
	"slices"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

func TestReached(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		at, want driver.Position
		reached  bool
	}{
		{"mariadb:0-1-270", "mariadb:0-1-270", true},
		{"mariadb:0-1-271", "mariadb:0-1-270", true},
		{"mariadb:0-1-269", "mariadb:0-1-270", false},
		{"mariadb:0-1-18446744073709551615", "mariadb:0-1-9", true},
		{"mariadb:0-2-271", "mariadb:0-1-270", false}, // another server wrote on
		{"mariadb:1-1-271", "mariadb:0-1-270", false}, // another domain
		{"mariadb:0-1-5,1-1-7", "mariadb:1-1-7", true},
		{"mariadb:0-1-5,1-1-7", "mariadb:0-1-5,1-1-7", true},
		{"mariadb:0-1-5,1-1-6", "mariadb:0-1-5,1-1-7", false},
		{"mariadb:0-1-5", "mariadb:0-1-5,1-1-7", false},
		{"mariadb:0-1-9:0-1-4", "mariadb:0-1-4", true},
		{"mariadb:0-1-9:0-1-4", "mariadb:0-1-5", false}, // in the log, not visible yet
		{"mariadb:0-2-9:0-2-9,0-1-4", "mariadb:0-1-4", true},
		{"mariadb::0-1-4", "mariadb:0-1-4", true},
		{"mariadb:0-1-4", "mariadb:0-1-4:0-1-9", true},
		{"mariadb:0-1-4", "mariadb:0-1-5:0-1-3", false},
		{"mariadb:0-1-4", "mariadb::0-1-3", false}, // keeps no log of what it writes
		{"mariadb:0-1-4", "mariadb:", false},       // has an empty log
		{"mariadb:", "mariadb:", false},
		{"", "", false},
		{"mariadb:0-1-4", "", false},
		{"", "mariadb:0-1-4", false},
		{"mariadb:0-1-4", "mariadb:0-1-", false},
		{"mariadb:0-1-4", "mariadb:0-1", false},
		{"mariadb:0-1-4", "mariadb:0-1-3,", false},
		{"mariadb:0-1-4", "mariadb:,0-1-3", false},
		{"mariadb:0-1-4", "mariadb:0-1-03", false},
		{"mariadb:0-1-4", "mariadb:0-1-+3", false},
		{"mariadb:0-1-4", "mariadb:0-1-3-2", false},
		{"mariadb:0-1-4", "mariadb:0-1--3", false},
		{"mariadb:0-1-4", "mariadb:0-1-3:0-1-3", false},
		{"mariadb:0-1-4", "mariadb:0-1-3::", false},
		{"mariadb:0-1-4", " mariadb:0-1-3", false},
		{"mariadb:0-1-4", "mariadb:0-4294967297-3", false},
		{"mariadb:0-1-4", "mariadb:0-1-18446744073709551616", false},
		{"mariadb:0-1-4", "0-1-3", false},
		{"mariadb:0-1-4", "pg:1:1:0/1", false},
	} {
		if got := (*Engine)(nil).Reached(tt.at, tt.want); got != tt.reached {
			t.Errorf("Reached(%q, %q): got %t, want %t", tt.at, tt.want, got, tt.reached)
		}
	}
}

func TestReadPosition(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, log, written, applied string // of server 1; log is not empty if there is one
		want                        driver.Position
		err                         error
	}{
		{"primary", "log", "0-1-9", "", "mariadb:0-1-9", nil},
		{"primary with an empty log", "log", "", "", "mariadb:", nil},
		{"primary whose number was another", "log", "0-7-9", "", "mariadb:0-7-9:", nil},
		{"replica without a log", "", "", "0-2-9", "mariadb::0-2-9", nil},
		{"replica that logs its own writes", "log", "", "0-2-9", "mariadb:0-2-9", nil},
		{"replica that logs all", "log", "0-2-10", "0-2-9", "mariadb:0-2-10:0-2-9", nil},
		{"replica somebody wrote on", "log", "0-1-12", "0-2-9", "mariadb:0-1-12:0-1-12,0-2-9", nil},
		{"replica that was promoted", "log", "0-2-9", "0-2-9", "mariadb:0-2-9", nil},
		{"primary that was a replica", "log", "0-1-12", "0-2-9", "mariadb:0-1-12:0-1-12,0-2-9", nil},
		{"primary that is a replica", "log", "0-1-9", "0-2-12", "mariadb:0-1-9:0-2-12,0-1-9", nil},
		{"its own, back from others", "log", "0-1-9", "0-1-9", "mariadb:0-1-9", nil},
		{"several domains", "log", "5-1-3,0-1-9", "7-2-1", "mariadb:0-1-9,5-1-3,7-2-1", nil},
		{"no log", "", "", "", "", tenancy.ErrInvalid},
	} {
		p, err := readPosition([]string{tt.log, "1", tt.written, tt.applied})
		if !errors.Is(err, tt.err) || err == nil && p.text() != tt.want {
			t.Errorf("%s: got %q, %v, want %q, %v", tt.name, p.text(), err, tt.want, tt.err)
		}
	}
	for _, row := range [][]string{{"log", "", "0-1-9", ""}, {"log", "1", "x", ""}, {"log", "1", "", "0-1"}} {
		if _, err := readPosition(row); err == nil {
			t.Errorf("%q: got no error", row)
		}
	}
}

var charset = regexp.MustCompile(`^[A-Za-z0-9.,:/-]+$`)

func FuzzPosition(f *testing.F) {
	for _, s := range []string{
		"mariadb:", "mariadb:0-1-270", "mariadb:0-1-270,5-1-12:0-1-268,5-1-12", "mariadb::0-1-4", "mariadb:0-1-18446744073709551615", "mariadb::", "", "pg:1:1:0/1",
	} {
		f.Add(s, "mariadb:0-1-4:0-1-3")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		at, want := driver.Position(a), driver.Position(b)
		var e *Engine
		p, ok := parsePosition(at)
		if ok && (p.text() != at || !charset.MatchString(a)) {
			t.Errorf("%q: taken, and is %q", a, p.text())
		}
		if q, both := parsePosition(want); e.Reached(at, want) {
			if !ok || !both {
				t.Fatalf("%q and %q: compared what is malformed", a, b)
			}
			for _, id := range q.written {
				if !slices.ContainsFunc(p.visible, id.within) {
					t.Errorf("%q has reached %q without %v", a, b, id)
				}
			}
		}
	})
}
