package tenancytest

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
)

func testRecordsAreOwned(t *testing.T, c *catalog.Catalog) {
	in := full()
	create(t, c, in)
	in.Settings["colour"], in.Domains[0], in.Access.Keys[0].Scopes[0], in.Access.Maintenance.Paths[0] = "changed", "changed", "changed", "/changed"
	got := find(t, c, tenancy.RefID, "acme-1")
	got.Settings["colour"], got.Limits["seats"], got.Domains[0] = "changed", 99, "changed"
	got.Tags[0] = "changed"
	got.Access.Keys[0].Scopes[0], got.Access.Maintenance.Paths[0], got.Access.Allow[0] = "changed", "/changed", netip.Prefix{}
	again := find(t, c, tenancy.RefID, "acme-1")
	if again.Settings["colour"] == "changed" || again.Limits["seats"] == 99 || slices.Contains(again.Domains, "changed") || slices.Contains(again.Tags, "changed") || again.Access.Keys[0].Scopes[0] == "changed" ||
		again.Access.Maintenance.Paths[0] == "/changed" || !again.Access.Allow[0].IsValid() {
		t.Errorf("got %+v, want what was stored", again)
	}
}

func testContextEnds(t *testing.T, c *catalog.Catalog) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Create(ctx, &tenancy.Tenant{Slug: "acme"})
	wantErr(t, "Create", err, context.Canceled)
	_, err = c.Find(ctx, tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"})
	wantErr(t, "Find", err, context.Canceled)
	_, err = c.List(ctx, tenancy.Filter{})
	wantErr(t, "List", err, context.Canceled)
	wantMissing(t, c, tenancy.RefSlug, "acme")
}

func testNamespace(t *testing.T, c *catalog.Catalog) {
	got, errs := make([]string, 8), make([]error, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i], errs[i] = c.Namespace(t.Context()) })
	}
	wg.Wait()
	if errors.Is(errs[0], tenancy.ErrInvalid) {
		t.Log("the store is no NamespaceStore")
		return
	}
	if err := errors.Join(errs...); err != nil {
		t.Errorf("Namespace: %v", err)
	}
	first := got[0]
	if first == "" || slices.ContainsFunc(got, func(name string) bool { return name != first }) {
		t.Fatalf("got the namespaces %q at once, want one", got)
	}
	renewed, err := c.RenewNamespace(t.Context())
	if err != nil || renewed == "" || renewed == first {
		t.Errorf("RenewNamespace: got %q, %v, want another than %q", renewed, err, first)
	}
	if now, err := c.Namespace(t.Context()); now != renewed || err != nil {
		t.Errorf("got the namespace %q, %v, want %q", now, err, renewed)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.RenewNamespace(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context ended: got %v, want %v", err, context.Canceled)
	}
	if now, err := c.Namespace(t.Context()); now != renewed || err != nil {
		t.Errorf("got the namespace %q, %v, want %q", now, err, renewed)
	}
}
