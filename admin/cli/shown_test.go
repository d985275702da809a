package cli_test

import (
	"strings"
	"testing"
)

// What a script's log keeps has no secret of a tenant: settings are names, unless the application or the command says otherwise.
func TestSettingsAreNames(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	l.app.ShownSettings = []string{"theme"}
	do := func(command string) string {
		t.Helper()
		code, out, errs := l.call("", strings.Fields(command)...)
		if code != 0 {
			t.Fatalf("%s: got %d, %s%s", command, code, out, errs)
		}
		return out
	}
	do("tenant create acme")
	run := do("tenant update acme --setting smtp.password=planted-secret --setting theme=dark --setting homepage=off --json")
	list := do("run list")
	id := strings.Fields(strings.Split(list, "\n")[1])[0]
	shown := map[string]string{"tenant update --json": run}
	for _, command := range []string{"tenant show acme", "tenant show acme --json", "tenant list --json", "tenant rename acme --name Acme --json",
		"run show " + id + " --json", "run list --json", "run watch " + id + " --json", "audit list --json", "run plan update acme --param setting.smtp.password=planted-secret --json"} {
		shown[command] = do(command)
	}
	for command, out := range shown {
		if strings.Contains(out, "planted-secret") {
			t.Errorf("%s: got %s, want no secret", command, out)
		}
	}
	for _, command := range []string{"tenant show acme", "tenant show acme --json"} {
		if out := shown[command]; !strings.Contains(out, "smtp.password") || !strings.Contains(out, "[redacted]") || !strings.Contains(out, "dark") || !strings.Contains(out, "off") {
			t.Errorf("%s: got %s, want the name of the secret, and the values that are none", command, out)
		}
		if out := do(command + " --settings"); !strings.Contains(out, "planted-secret") {
			t.Errorf("%s --settings: got %s, want the value", command, out)
		}
	}
}
