package admin_test

import (
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Domains are changed under the version of the record that was read, as everything else of it.
func TestDomains(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		c := newConsole(t, s, nil)
		cl := c.as(t, auth.RoleOperator, tenancy.AllTenants())
		cl.undocumented = true // of requests that the document does not allow
		tag := cl.do(t, "GET", "tenants/t-aaa", "").header.Get("ETag")
		add := func(domain, tag string) answer {
			return cl.do(t, "PUT", "tenants/t-aaa/domains/"+domain, "", "If-Match", tag)
		}
		if a := cl.do(t, "PUT", "tenants/t-aaa/domains/shop.example", ""); a.code != 428 {
			t.Errorf("without a version: got %d %s, want 428", a.code, a.body)
		}
		if a := add("shop.example", `"v77"`); a.problem() != "precondition" {
			t.Errorf("of another version: got %d %s, want 412", a.code, a.body)
		}
		for domain, want := range map[string]int{"not a domain": 422, "192.0.2.7": 422} {
			if a := add(strings.ReplaceAll(domain, " ", "%20"), tag); a.code != want {
				t.Errorf("%s: got %d %s, want %d", domain, a.code, a.body, want)
			}
		}
		a := add("Shop.Example", tag)
		if a.code != 200 || !strings.Contains(a.body, `"domains":["shop.example"]`) || a.header.Get("ETag") == tag {
			t.Fatalf("got %d %s, want the domain in a new version", a.code, a.body)
		}
		old, tag := tag, a.header.Get("ETag")
		if a := add("shop.example", tag); a.code != 200 || strings.Count(a.body, "shop.example") != 1 {
			t.Errorf("again: got %d %s, want it once", a.code, a.body)
		} else {
			tag = a.header.Get("ETag")
		}
		if a := cl.do(t, "PUT", "tenants/t-bbb/domains/shop.example", "", "If-Match", etag(c.b, 1)); a.problem() != "exists" {
			t.Errorf("of another tenant: got %d %s, want that it exists", a.code, a.body)
		}
		if a := cl.do(t, "DELETE", "tenants/t-aaa/domains/shop.example", "", "If-Match", old); a.problem() != "precondition" {
			t.Errorf("removed with an old version: got %d %s, want 412", a.code, a.body)
		}
		if a := cl.do(t, "DELETE", "tenants/t-aaa/domains/SHOP.example", "", "If-Match", tag); a.code != 200 || !strings.Contains(a.body, `"domains":[]`) {
			t.Errorf("removed: got %d %s, want no domain", a.code, a.body)
		}
		if a := cl.do(t, "GET", "audit?action=tenant.domains&result=done", ""); strings.Count(a.body, `"tenant.domains"`) != 2 {
			t.Errorf("got %s, want an entry of each change", a.body)
		}
	})
}
