package tenancytest_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// The recorder selects by ID and by text as the audit in SQL does.
func TestAuditSelects(t *testing.T) {
	t.Parallel()
	trail := &tenancytest.Audit{}
	ada := tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada", Address: netip.MustParseAddr("192.0.2.7"), Reason: "Größe ÄRGER"}
	first := tenancy.NewEntry(tenancy.WithActor(t.Context(), ada), "key.issue", "acme")
	second := tenancy.NewEntry(t.Context(), "key.revoke", "bolt")
	second.Object, second.Problem = "50%_Key", "für Bolt"
	for _, e := range []tenancy.Entry{first, second} {
		if err := trail.Audit(t.Context(), nil, e); err != nil {
			t.Fatal(err)
		}
	}
	for what, tt := range map[string]struct {
		f    catalog.AuditFilter
		want tenancy.Entry
	}{
		"ID": {catalog.AuditFilter{ID: first.ID}, first}, "action": {catalog.AuditFilter{Text: "KEY.RE"}, second}, "object": {catalog.AuditFilter{Text: "0%_k"}, second},
		"tenant": {catalog.AuditFilter{Text: "acm"}, first}, "problem": {catalog.AuditFilter{Text: "für BOLT"}, second}, "reason": {catalog.AuditFilter{Text: "Ärger"}, first},
		"actor": {catalog.AuditFilter{Text: "ADA"}, first}, "address": {catalog.AuditFilter{Text: "192.0.2.7"}, first},
	} {
		var got []string
		for e, err := range trail.Entries(t.Context(), tt.f) {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			got = append(got, e.ID)
		}
		if len(got) != 1 || got[0] != tt.want.ID {
			t.Errorf("%s: got %q, want %q", what, got, tt.want.ID)
		}
	}
	for e, err := range trail.Entries(t.Context(), catalog.AuditFilter{Text: "nobody"}) {
		t.Errorf("a text of no entry: got %v, %v", e, err)
	}
	for _, err := range trail.Entries(t.Context(), catalog.AuditFilter{Limit: -1}) {
		if !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("a negative limit: got %v, want ErrInvalid", err)
		}
	}
}
