package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestMaintenance(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t, tenancytest.NewServer(t, name), nil)
			for _, of := range []struct {
				path string
				cl   *client
			}{{"tenants/t-aaa/maintenance", c.as(t, auth.RoleOwner, tenancy.ByIDs(c.a.ID))}, {"maintenance", c.as(t, auth.RoleOwner, tenancy.AllTenants())}} {
				type state struct {
					InForce bool      `json:"in_force"`
					EndsAt  time.Time `json:"ends_at"`
					Next    *struct {
						StartsAt time.Time `json:"starts_at"`
					}
					Upcoming []struct {
						StartsAt time.Time `json:"starts_at"`
						EndsAt   time.Time `json:"ends_at"`
					}
					Record *struct {
						Message string
						Bypass  bool
					}
				}
				do := func(method, below, body string) (s state) {
					t.Helper()
					a := of.cl.do(t, method, of.path+below, body)
					if a.code != 200 {
						t.Fatalf("%s %s%s: got %d %s", method, of.path, below, a.code, a.body)
					}
					a.into(t, &s)
					return s
				}
				if s := do("GET", "", ""); s.InForce || s.Record != nil || s.Next != nil {
					t.Errorf("%s: got %+v, want none", of.path, s)
				}
				if a := of.cl.do(t, "POST", of.path+"/bypass", ""); a.code != 404 {
					t.Errorf("a bypass of nothing: got %d %s, want 404", a.code, a.body)
				}
				begun := do("POST", "", `{"mode":"read_only","message":"<b>back</b> soon","for":3600}`)
				if !begun.InForce || begun.EndsAt.IsZero() || begun.Record == nil || begun.Record.Message != "<b>back</b> soon" {
					t.Errorf("%s: got %+v, want an hour", of.path, begun)
				}
				until := begun.EndsAt.Add(time.Hour)
				if s := do("POST", "/extend", `{"until":"`+until.Format(time.RFC3339Nano)+`"}`); !s.EndsAt.Equal(until) {
					t.Errorf("%s: got %+v, want an hour more", of.path, s)
				}
				if a := of.cl.do(t, "POST", of.path+"/extend", `{"until":"`+begun.EndsAt.Format(time.RFC3339Nano)+`"}`); a.code != 409 {
					t.Errorf("shorter: got %d %s, want 409", a.code, a.body)
				}
				var link struct{ Secret, Path string }
				of.cl.do(t, "POST", of.path+"/bypass", "").into(t, &link)
				if link.Secret == "" || link.Path != "/.maintenance/bypass/"+link.Secret {
					t.Errorf("%s: got %+v, want a link", of.path, link)
				}
				again := of.cl.do(t, "GET", of.path, "")
				if !strings.Contains(again.body, `"bypass":true`) || strings.Contains(again.body, link.Secret) || strings.Contains(again.body, tenancy.DigestOf(link.Secret).String()) {
					t.Errorf("%s: got %s, want neither secret nor digest", of.path, again.body)
				}
				if s := do("POST", "", `{"windows":[{"rule":"0 3 * * 0","length":7200,"zone":"Europe/Berlin"}]}`); s.Record == nil || !s.InForce && s.Next == nil || len(s.Upcoming) != 5 || !s.Upcoming[4].EndsAt.Equal(s.Upcoming[4].StartsAt.Add(2*time.Hour)) ||
					s.Upcoming[4].StartsAt.In(berlin).Weekday() != time.Sunday || s.Upcoming[4].StartsAt.In(berlin).Hour() != 3 {
					t.Errorf("%s: got %+v, want a plan", of.path, s)
				}
				for _, body := range []string{`{"mode":"open"}`, `{"for":-1}`, `{"windows":[{"rule":"x","length":60}]}`, `{"windows":[{"start":"2020-01-01T00:00:00Z","end":"2020-01-02T00:00:00Z"}]}`,
					`{"for":60,"windows":[{"start":"2020-01-01T00:00:00Z"}]}`, `{"paths":["no"]}`} {
					if a := of.cl.do(t, "POST", of.path, body); a.problem() != "validation" {
						t.Errorf("%s %s: got %d %s, want validation", of.path, body, a.code, a.body)
					}
				}
				if s := do("DELETE", "", ""); s.Record != nil || s.InForce {
					t.Errorf("%s: got %+v, want none", of.path, s)
				}
			}
			if a := c.as(t, auth.RoleOwner, tenancy.ByIDs(c.a.ID)).do(t, "POST", "tenants/t-bbb/maintenance", `{}`); a.code != 404 {
				t.Errorf("out of scope: got %d %s, want 404", a.code, a.body)
			}
			if a := c.as(t, auth.RoleOwner, tenancy.AllTenants()).do(t, "GET", "audit?action=maintenance.begin", ""); !strings.Contains(a.body, `"kind":"operator"`) {
				t.Errorf("got %s, want who closed the service", a.body)
			}
		})
	}
}
