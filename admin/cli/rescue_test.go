package cli_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/admin/cli"
)

// An owner who is locked out gets in with what the command shows, once. Nobody else does, and the audit names who called it.
func TestRescue(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	if code, _, stderr := l.call("", "rescue", "ada@example.com"); code != 2 || !strings.Contains(stderr, "no console") {
		t.Errorf("without a console: got %d %s", code, stderr)
	}
	operators, err := auth.New(sqlx.NewDb(l.app.Audit.Database(), "sqlite"), &auth.Options{Auditor: l.app.Audit})
	if err == nil {
		err = operators.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	l.app.Operators = operators
	var _ cli.Rescuer = operators
	for email, role := range map[string]string{"ada@example.com": auth.RoleOwner, "vic@example.com": auth.RoleViewer} {
		if _, err := operators.CreateOperator(t.Context(), auth.OperatorSpec{Email: email, Role: role, Scope: tenancy.AllTenants(), Password: "correct horse battery staple"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, email := range []string{"vic@example.com", "nobody@example.com", "ada"} {
		if code, stdout, _ := l.call("", "rescue", email); code != 2 || stdout != "" {
			t.Errorf("%s: got %d %q, want bad usage", email, code, stdout)
		}
	}
	code, stdout, stderr := l.call("", "rescue", "ada@example.com")
	token := strings.TrimSpace(stdout)
	if code != 0 || token == "" || !strings.Contains(stderr, "once") {
		t.Fatalf("got %d %q %q, want a token", code, stdout, stderr)
	}
	for i := range 2 {
		r := httptest.NewRequest("POST", "http://localhost/", nil).WithContext(t.Context())
		r.RemoteAddr = "127.0.0.1:1234"
		id, err := operators.UseRescue(httptest.NewRecorder(), r, tenancy.NewSecret(token), tenancy.NewSecret("another long password, please"))
		switch {
		case i == 0 && (err != nil || id.Session.Stage != auth.StageEnrol):
			t.Errorf("got %+v, %v, want a sign-in that enrols a second factor", id, err)
		case i == 1 && !errors.Is(err, tenancy.ErrUnauthenticated):
			t.Errorf("again: got %v, want it spent", err)
		}
	}
	if code, stdout, _ := l.call("", "audit", "list", "--json", "--action", "operator.rescue"); code != 0 || !strings.Contains(stdout, `"command_line"`) {
		t.Errorf("got %d %s, want the entry of the command line", code, stdout)
	}
	if code, stdout, _ := l.call("", "rescue", "--json", "ada@example.com"); code != 0 || !strings.Contains(stdout, `"expires_at"`) {
		t.Errorf("got %d %s, want JSON", code, stdout)
	}
}
