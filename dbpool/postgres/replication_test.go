package postgres

import (
	"regexp"
	"testing"

	"github.com/artflow-studio/tenancy/dbpool/driver"
)

func TestReached(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		at, want driver.Position
		reached  bool
	}{
		{"pg:7711495774710110331:1:0/79F6E18", "pg:7711495774710110331:1:0/79F6E18", true},
		{"pg:1:1:0/10", "pg:1:1:0/F", true},
		{"pg:1:1:1/0", "pg:1:1:0/FFFFFFFF", true},
		{"pg:-1:1:0/10", "pg:-1:1:0/10", true},
		{"pg:1:1:0/F", "pg:1:1:0/10", false},
		{"pg:1:1:0/FFFFFFFF", "pg:1:1:1/0", false},
		{"pg:1:2:0/10", "pg:1:1:0/F", false}, // another timeline
		{"pg:1:1:0/10", "pg:1:2:0/F", false},
		{"pg:2:1:0/10", "pg:1:1:0/F", false}, // another cluster
		{"", "", false},
		{"pg:1:1:0/10", "", false},
		{"", "pg:1:1:0/F", false},
		{"pg:1:1:0/10", "pg:1:1:0/f", false},
		{"pg:1:1:0/10", "pg:1:1:0/0F", false},
		{"pg:1:1:0/10", "pg:1:1:/F", false},
		{"pg:1:1:0/10", "pg:1:1:F", false},
		{"pg:1:1:0/10", "pg:1:1:0/F/0", false},
		{"pg:1:1:0/10", "pg:1:1:0/F:", false},
		{"pg:1:1:0/10", "pg:1:1:0/F ", false},
		{"pg:1:1:0/10", "pg:1:01:0/F", false},
		{"pg:1:1:0/10", "pg:+1:1:0/F", false},
		{"pg:1:1:0/10", "pg:1:0/F", false},
		{"pg:1:1:0/10", "PG:1:1:0/F", false},
		{"pg:1:1:0/10", "pg:1:4294967296:0/F", false},
		{"pg:1:1:0/10", "pg:1:1:0/100000000", false},
		{"pg:1:1:0/10", "mariadb:0-1-1", false},
	} {
		if got := (*Engine)(nil).Reached(tt.at, tt.want); got != tt.reached {
			t.Errorf("Reached(%q, %q): got %t, want %t", tt.at, tt.want, got, tt.reached)
		}
	}
}

func TestReadPosition(t *testing.T) {
	t.Parallel()
	const mb = "16777216"
	for _, tt := range []struct {
		align, page, segment, place string
		want                        driver.Position // "" for an error
	}{
		{"8", "8192", mb, "primary 000000010000000000000007 0/79F6E18", "pg:5:1:0/79F6E18"},
		{"8", "8192", mb, "primary 0000001A0000000100000007 1/79F6E18", "pg:5:26:1/79F6E18"},
		{"8", "8192", mb, "primary 000000010000000000000004 0/04000028", "pg:5:1:0/4000000"},
		{"8", "8192", mb, "primary 000000010000000000000004 0/4000018", "pg:5:1:0/4000018"},
		{"8", "8192", mb, "primary 000000010000000000000004 0/4002018", "pg:5:1:0/4002000"},
		{"8", "8192", mb, "primary 000000010000000000000004 0/4002028", "pg:5:1:0/4002028"},
		{"8", "16384", mb, "primary 000000010000000000000004 0/4002018", "pg:5:1:0/4002018"},
		{"8", "8192", "1048576", "primary 000000010000000000000041 0/4100028", "pg:5:1:0/4100000"},
		{"4", "8192", mb, "primary 000000010000000000000004 0/4002014", "pg:5:1:0/4002000"},
		{"4", "8192", mb, "primary 000000010000000000000004 0/4002018", "pg:5:1:0/4002018"},
		{"8", "8192", mb, "replica 26 1/4000028", "pg:5:26:1/4000028"},
		{"8", "8192", mb, "replica 1", ""},
		{"8", "8192", mb, "replica 0/4000028", ""},
		{"8", "8192", mb, "", ""},
		{"8", "8192", mb, "replica x 0/1", ""},
		{"8", "8192", mb, "replica 1 x", ""},
		{"8", "8192", mb, "primary x 0/1", ""},
		{"8", "0", mb, "primary 000000010000000000000004 0/4002018", ""},
		{"", "8192", mb, "primary 000000010000000000000004 0/4002018", ""},
	} {
		p, err := readPosition([]string{"5", tt.align, tt.page, tt.segment, tt.place})
		if tt.want == "" {
			if err == nil {
				t.Errorf("%q: got %q, want an error", tt.place, p.text())
			}
			continue
		}
		if err != nil || p.text() != tt.want {
			t.Errorf("%q: got %q, %v, want %q", tt.place, p.text(), err, tt.want)
		}
	}
}

var charset = regexp.MustCompile(`^[A-Za-z0-9.,:/-]+$`)

func FuzzPosition(f *testing.F) {
	for _, s := range []string{"pg:7711495774710110331:1:0/79F6E18", "pg:-1:1:FFFFFFFF/FFFFFFFF", "pg:::", "", "pg:1:1:0/0:", "mariadb:0-1-1"} {
		f.Add(s, "pg:1:1:0/1")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		at, want := driver.Position(a), driver.Position(b)
		var e *Engine
		p, ok := parsePosition(at)
		if e.Reached(at, at) != ok {
			t.Errorf("%q: reaches itself: got %t, want %t", a, !ok, ok)
		}
		if ok && (p.text() != at || !charset.MatchString(a) || len(a) > 60) {
			t.Errorf("%q: taken, and is %q", a, p.text())
		}
		q, both := parsePosition(want)
		if e.Reached(at, want) && e.Reached(want, at) && (!ok || !both || p != q) {
			t.Errorf("%q and %q have reached each other", a, b)
		}
	})
}
