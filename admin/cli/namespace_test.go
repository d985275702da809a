package cli_test

import (
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy/catalog/audit"
)

// A copy of a catalog gets a namespace of its own, once somebody has said so, and the audit knows.
func TestNamespace(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	code, old, _ := l.call("", "namespace", "show")
	if name, err := l.app.Catalog.Namespace(t.Context()); code != 0 || err != nil || old != name+"\n" {
		t.Errorf("show: got %d %q, want %q, %v", code, old, name, err)
	}
	if code, _, stderr := l.call("", "namespace", "renew"); code != 2 || !strings.Contains(stderr, "--yes") {
		t.Errorf("renew without an answer: got %d %q", code, stderr)
	}
	if _, now, _ := l.call("", "namespace", "show"); now != old {
		t.Errorf("it was renewed without an answer: got %q, had %q", now, old)
	}
	code, renewed, _ := l.call("", "--yes", "namespace", "renew", "--reason", "a copy for staging")
	_, now, _ := l.call("", "namespace", "show")
	if code != 0 || renewed == old || now != renewed || renewed == "\n" {
		t.Errorf("renew: got %d %q and then %q, had %q", code, renewed, now, old)
	}
	n := 0
	for e, err := range l.app.Audit.Entries(t.Context(), audit.Filter{Actions: []string{"catalog.renew_namespace"}}) {
		if n++; err != nil || e.Object+"\n" != renewed || e.Actor.Reason != "a copy for staging" {
			t.Errorf("the audit has %+v, %v", e, err)
		}
	}
	if n != 1 {
		t.Errorf("got %d entries, want one", n)
	}
}
