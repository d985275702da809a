package catalog

import (
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
)

// A ref without a value, which a strategy of the host's may return for a header that
// is not there, is nobody's: not even that of a long name, or of an entry that was removed.
func TestTableNoValue(t *testing.T) {
	t.Parallel()
	r := &record{tenant: &tenancy.Tenant{ID: "acme-1", Slug: "acme"}}
	for n := range 100 {
		ref := tenancy.Ref{Kind: tenancy.RefKey, Value: strings.Repeat("k", n)}
		var e entry
		e.set(ref, r, 0, false)
		for m := range 100 {
			other := tenancy.Ref{Kind: tenancy.RefKey, Value: strings.Repeat("k", m)}
			if got := e.is(other); got != (n == m) {
				t.Errorf("the entry of %d bytes is that of %d bytes: got %v", n, m, got)
			}
		}
		if e.ref() != ref {
			t.Errorf("got %q of the entry of %q", e.ref().Value, ref.Value)
		}
	}
	if new(entry).is(tenancy.Ref{}) {
		t.Error("an entry that was removed is that of a ref")
	}
}
