package cli_test

import (
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
)

// Operators are listed, invited, closed out, let in again, and given another role.
func TestOperators(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	if code, _, errs := l.call("", "operator", "list"); code != 2 || !strings.Contains(errs, "no console") {
		t.Errorf("without a console: got %d %s", code, errs)
	}
	operators, err := auth.New(sqlx.NewDb(l.app.Audit.Database(), "sqlite"), &auth.Options{Auditor: l.app.Audit})
	if err == nil {
		err = operators.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	l.app.Operators = operators
	for email, role := range map[string]string{"ada@example.com": auth.RoleOwner, "vic@example.com": auth.RoleViewer} {
		if _, err := operators.CreateOperator(t.Context(), auth.OperatorSpec{Email: email, Role: role, Scope: tenancy.AllTenants(), Password: "correct horse battery staple"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"tenant create acme", 0, "acme"},
		{"operator list", 0, "vic@example.com"},
		{"operator list", 0, "owner"},
		{"operator suspend vic@example.com", 0, "vic@example.com: viewer, suspended"},
		{"operator list", 0, "suspended"},
		{"operator enable VIC@example.com", 0, "vic@example.com: viewer, active"},
		{"operator suspend nobody@example.com", 2, "no operator"},
		{"operator suspend ada@example.com", 1, "last owner"},
		{"operator role vic@example.com operator", 0, "vic@example.com: operator"},
		{"operator role vic@example.com king", 2, "role"},
		{"operator role vic@example.com operator --tag eu", 0, `tags ["eu"]`},
		{"operator role vic@example.com operator --all", 0, "all tenants"},
		{"operator role vic@example.com operator --all --tag eu", 2, "only one of these"},
		{"operator invite eve@example.com viewer --all", 2, "--by"},
		{"operator invite eve@example.com viewer --by ada@example.com", 2, "say which tenants"},
		{"operator invite eve@example.com owner --by vic@example.com --all", 1, "lacks"},
		{"operator invite eve@example.com viewer --by ada@example.com --tenant acme --name Eve", 0, "once, until"},
		{"operator list", 0, "invited"},
	} {
		code, out, errs := l.call("", strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out+errs, tt.want) {
			t.Errorf("%s: got exit code %d and\n%s%s\nwant %d and %q", tt.args, code, out, errs, tt.code, tt.want)
		}
	}
	for args, want := range map[string]string{
		"operator list":                                                     `"email":"eve@example.com"`,
		"operator suspend vic@example.com":                                  `"disabled":true`,
		"operator role vic@example.com operator":                            `"role":"operator"`,
		"operator invite bob@example.com viewer --by ada@example.com --all": `"token":"`,
	} {
		if code, out, errs := l.call("", append(strings.Fields(args), "--json")...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: got exit code %d and\n%s%s\nwant %s", args, code, out, errs, want)
		}
	}
	if _, out, _ := l.call("", "operator", "list", "--json"); strings.Contains(out, "password") || strings.Contains(out, `"token"`) {
		t.Errorf("got %s, want nothing that lets anybody in", out)
	}
	if code, out, _ := l.call("", "audit", "list", "--json", "--action", "operator.update"); code != 0 || !strings.Contains(out, `"command_line"`) {
		t.Errorf("got %d %s, want the entry of the command line", code, out)
	}
}
