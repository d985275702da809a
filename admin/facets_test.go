package admin_test

import (
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Counts, totals and finds are of the scope alone.
func TestFacetsAndLookup(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	if _, err := c.cat.AddDomain(t.Context(), c.b.ID, "shop.example.org"); err != nil {
		t.Fatal(err)
	}
	all, scoped := c.as(t, auth.RoleViewer, tenancy.AllTenants()), c.as(t, auth.RoleViewer, tenancy.ByTags("eu"))
	var f struct {
		Total  int
		Status map[string]int
		Tags   map[string]int
	}
	all.do(t, "GET", "facets", "").into(t, &f)
	if f.Total != 2 || f.Status["active"] != 2 || f.Tags["us"] != 1 {
		t.Errorf("got %+v, want both tenants", f)
	}
	f.Tags = nil
	scoped.do(t, "GET", "facets?filter=status:active", "").into(t, &f)
	if f.Total != 1 || f.Tags["us"] != 0 {
		t.Errorf("in the scope: got %+v, want one tenant", f)
	}
	var list struct{ Total int }
	if scoped.do(t, "GET", "tenants?limit=1", "").into(t, &list); list.Total != 1 {
		t.Errorf("got a total of %d, want 1", list.Total)
	}
	if a := all.do(t, "GET", "facets?filter=staus:x", ""); a.problem() != "validation" {
		t.Errorf("got %d %s, want validation", a.code, a.body)
	}
	for q, want := range map[string]string{"t-bbb": "id", "BBB": "slug", "Shop.example.org.": "domain", "bb": "text", "shop.ex": "text", "zzz": ""} {
		var found struct {
			Found []struct {
				Kind   string
				Tenant struct{ ID tenancy.ID }
			}
		}
		all.do(t, "GET", "lookup?q="+q, "").into(t, &found)
		if want == "" && len(found.Found) != 0 || want != "" && (len(found.Found) != 1 || found.Found[0].Kind != want || found.Found[0].Tenant.ID != c.b.ID) {
			t.Errorf("%s: got %+v, want B by its %s", q, found, want)
		}
		if scoped.do(t, "GET", "lookup?q="+q, "").into(t, &found); len(found.Found) != 0 {
			t.Errorf("%s in the scope: got %+v, want nothing", q, found)
		}
	}
	if a := all.do(t, "GET", "lookup?q=%20", ""); a.code != 400 {
		t.Errorf("got %d %s, want 400", a.code, a.body)
	}
}
