package dbpool

import (
	"testing"

	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// A server's databases are those of the server that its budget is of, or whose replica it is.
func TestMachine(t *testing.T) {
	t.Parallel()
	engines := map[string]driver.Engine{}
	for _, name := range []string{"pg", "alias", "replica", "alias-of-replica", "other", "one", "two"} {
		engines[name] = NewFakeReplicas(t, 60)
	}
	p, err := New(engines, &Options{Servers: map[string]ServerOptions{
		"pg": {Replicas: []string{"replica"}}, "alias": {BudgetOf: "pg"}, "alias-of-replica": {BudgetOf: "replica"},
		"one": {Replicas: []string{"two"}}, "two": {Replicas: []string{"one"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	for server, want := range map[string]struct {
		machine string
		replica bool
	}{
		"pg": {"pg", false}, "alias": {"pg", false}, "replica": {"pg", true}, "alias-of-replica": {"pg", true},
		"other": {"other", false}, "nobody": {"nobody", false}, "one": {"one", false}, "two": {"one", true},
	} {
		if machine, replica := p.Machine(server); machine != want.machine || replica != want.replica {
			t.Errorf("%s: got %s, %v, want %s, %v", server, machine, replica, want.machine, want.replica)
		}
	}
}
