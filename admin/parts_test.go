package admin_test

import (
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Without its part, a row answers not-configured.
func TestPartsThatAreNotWired(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	var err error
	if c.Admin, err = admin.New(c.db, c.cat, &admin.Options{Limiter: everything{}, Auth: auth.Options{OptionalSecondFactor: true}}); err != nil {
		t.Fatal(err)
	}
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	for _, row := range c.Table() {
		if row.Part == "" {
			continue
		}
		path := strings.NewReplacer("{id}", "t-aaa", "{run}", "none", "{entry}", "none", "{key}", "none", "{server}", "none", "{schedule}", "none").Replace(row.Pattern)
		probe := &client{c: c, cookies: cl.cookies, undocumented: true}
		if a := probe.do(t, row.Method, path, ""); a.problem() != "not-configured" {
			t.Errorf("%s %s: got %d %s, want not-configured", row.Method, path, a.code, a.body)
		}
	}
}
