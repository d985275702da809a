package cli_test

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/cli"
)

// A password is in the environment of the client, and nowhere else.
func TestClient(t *testing.T) {
	t.Parallel()
	tenant := &tenancy.Tenant{Placement: tenancy.Placement{Database: "tenant_acme"}}
	for address, want := range map[string]struct{ args, env string }{
		"/data/tenant_acme.db": {"sqlite3 /data/tenant_acme.db", ""},
		"postgres://ada:planted%2Fsecret@db.example:5433/x?sslmode=require": {"psql postgres://ada@db.example:5433/tenant_acme?sslmode=require", "PGPASSWORD=planted/secret"},
		"postgres://db.example/?password=planted/secret":                    {"psql postgres://db.example/tenant_acme", "PGPASSWORD=planted/secret"},
		"mysql://ada:planted%2Fsecret@[::1]:3307/":                          {"mysql --protocol=tcp --host=::1 --port=3307 --user=ada --database=tenant_acme", "MYSQL_PWD=planted/secret"},
		"mysql://ada@db.example":                                            {"mysql --protocol=tcp --host=db.example --user=ada --database=tenant_acme", ""},
	} {
		cmd, err := cli.Client(address, tenant)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if got := strings.Join(cmd.Args, " "); got != want.args {
			t.Errorf("got %s, want %s", got, want.args)
		}
		if want.env != "" && !slices.Contains(cmd.Env, want.env) || want.env == "" && cmd.Env != nil {
			t.Errorf("%s: the password is not in the environment", address)
		}
	}
	for _, address := range []string{"postgres://%zz:planted@x/", "oracle://x:planted@y/", "mysql:///x", "postgres://:planted@/"} {
		if _, err := cli.Client(address, tenant); !errors.Is(err, tenancy.ErrInvalid) || strings.Contains(err.Error(), "planted") {
			t.Errorf("got %v, want ErrInvalid without a password", err)
		}
	}
	if _, err := cli.Client("mysql://x", &tenancy.Tenant{Placement: tenancy.Placement{Database: "a b; --"}}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("a name that is none: got %v, want ErrInvalid", err)
	}
}

func TestSchemaOfOneTenant(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	l.app.Shell = func(t *tenancy.Tenant) (*exec.Cmd, error) {
		if t.Slug == "acme" {
			return exec.Command("echo", "it's", t.Slug), nil
		}
		return exec.Command("no-such-program-at-all"), nil
	}
	for _, slug := range []string{"acme", "globex"} {
		if code, out, err := l.call("", "tenant", "create", slug); code != 0 {
			t.Fatal(code, out, err)
		}
	}
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"db fresh acme", 2, "Give --yes"},
		{"db fresh nobody --yes", 2, "no tenant has"},
		{"db fresh acme --yes", 0, "Applied 00001_a.sql."},
		{"db redo acme --yes", 0, "Took 00002_b.sql back.\nApplied 00002_b.sql."},
		{"db resume acme --yes", 2, "--from"},
		{"db resume acme --from 1 --yes", 0, "nothing to do"},
		{"db mark acme --yes", 0, "nothing to do"},
		{"db shell acme", 0, "it's acme"},
		{"db shell acme --print", 0, `echo 'it'\''s' acme`},
		{"db shell globex", 2, "not installed"},
	} {
		code, out, err := l.call("", strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out+err, tt.want) {
			t.Errorf("%s: got %d, want %d and %q:\n%s%s", tt.args, code, tt.code, tt.want, out, err)
		}
	}
}
