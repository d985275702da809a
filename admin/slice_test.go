package admin_test

import (
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// The path that an operator takes first: set up, look, suspend, and see who did it.
func TestFirstSteps(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		c := newConsole(t, s, func(o *admin.Options) { o.Auth.OptionalSecondFactor = false })
		token, err := c.Auth().NewSetupToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cl := c.client()
		if a := cl.do(t, "GET", "analytics/overview", ""); a.code != 401 || a.problem() != "unauthenticated" {
			t.Errorf("without a cookie: got %d %s, want 401", a.code, a.body)
		}
		a := cl.do(t, "POST", "auth/setup", `{"token":"`+token.Reveal()+`","email":"ada@example.com","name":"Ada","password":"`+password+`"}`)
		if a.code != 200 || !strings.Contains(a.body, `"next":"enrol"`) {
			t.Fatalf("setup: got %d %s, want 200 and the second factor to be enrolled", a.code, a.body)
		}
		// Nothing else is reachable before.
		if a := cl.do(t, "GET", "analytics/overview", ""); a.code != 401 || a.problem() != "enrol" || !strings.Contains(a.body, "POST auth/enrolment") {
			t.Errorf("before the second factor: got %d %s, want 401 and what to do", a.code, a.body)
		}
		var enrolment struct{ Secret string }
		if a = cl.do(t, "POST", "auth/enrolment", ""); !strings.HasPrefix(a.body, `{"secret":"`) {
			t.Errorf("got %.40s, want the secret before the picture of it", a.body)
		}
		a.into(t, &enrolment)
		if a := cl.do(t, "POST", "auth/enrolment/confirm", `{"code":"`+codeOf(t, enrolment.Secret)+`"}`); a.code != 200 {
			t.Fatalf("enrolment: got %d %s", a.code, a.body)
		}
		var me struct {
			Role        string
			Permissions []string
			Parts       []string
		}
		cl.do(t, "GET", "me", "").into(t, &me)
		if me.Role != auth.RoleOwner || len(me.Permissions) < 26 || strings.Join(me.Parts, " ") != "audit create keys lifecycle maintenance migrations pool reports resume runs" {
			t.Errorf("got %+v, want an owner with all permissions", me)
		}
		if a := cl.do(t, "GET", "analytics/overview", ""); a.code != 200 {
			t.Errorf("overview: got %d %s", a.code, a.body)
		}
		a = cl.do(t, "POST", "tenants/t-aaa/suspend", "", "X-Reason", "unpaid")
		if a.code != 200 || !strings.Contains(a.body, `"status":"suspended"`) {
			t.Fatalf("suspend: got %d %s", a.code, a.body)
		}
		if found, err := c.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: "aaa"}); err != nil || found.Status != tenancy.StatusSuspended {
			t.Errorf("got %+v, %v, want it suspended", found, err)
		}
		var list struct {
			Entries []struct {
				Action, Tenant, Reason string
				RequestID              string `json:"request_id"`
				Actor                  struct{ Kind, Name string }
			}
		}
		cl.do(t, "GET", "audit?tenant=t-aaa&limit=1", "").into(t, &list)
		if len(list.Entries) != 1 || list.Entries[0].Tenant != "t-aaa" || list.Entries[0].Actor.Kind != "operator" || list.Entries[0].Actor.Name != "Ada" ||
			list.Entries[0].Reason != "unpaid" || list.Entries[0].RequestID != a.header.Get("X-Request-Id") {
			t.Errorf("got %+v, want who suspended it, why, and in which request", list.Entries)
		}
		viewer := c.as(t, auth.RoleViewer, tenancy.AllTenants())
		// A viewer has no second factor yet.
		if a := viewer.do(t, "POST", "tenants/t-aaa/suspend", ""); a.code != 401 {
			t.Errorf("a viewer who must enrol: got %d %s, want 401", a.code, a.body)
		}
		viewer.do(t, "POST", "auth/enrolment", "").into(t, &enrolment)
		viewer.do(t, "POST", "auth/enrolment/confirm", `{"code":"`+codeOf(t, enrolment.Secret)+`"}`)
		if a := viewer.do(t, "POST", "tenants/t-aaa/suspend", ""); a.code != 403 || a.problem() != "forbidden" {
			t.Errorf("a viewer: got %d %s, want 403", a.code, a.body)
		}
		var whole struct{ Whole bool }
		if a := cl.do(t, "POST", "audit/verify", ""); a.code != 200 {
			t.Errorf("verify: got %d %s", a.code, a.body)
		} else if a.into(t, &whole); !whole.Whole {
			t.Errorf("verify: got %s, want whole", a.body)
		}
	})
}
