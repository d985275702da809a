package catalog_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// names are those of the tenant's keys.
func names(t *testing.T, keys *catalog.KeyIssuer, id tenancy.ID) (out []string) {
	t.Helper()
	all, err := keys.List(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range all {
		out = append(out, key.Name)
	}
	return out
}

func newKeyTasks(t *testing.T) (*tenancy.Tenant, *catalog.KeyIssuer) {
	t.Helper()
	acme := tenancytest.NewTenant("acme")
	keys, err := catalog.NewKeyIssuer(tenancytest.NewCatalog(t, acme), "acme", nil)
	if err != nil {
		t.Fatal(err)
	}
	return acme, keys
}

func TestRevokeTask(t *testing.T) {
	t.Parallel()
	acme, keys := newKeyTasks(t)
	task := keys.RevokeTask()
	for _, bad := range []tenancy.Params{nil, {"all": "no"}, {"all": "yes", "name": "a"}, {"before": "yesterday"}, {"name": "a", "x": "y"}} {
		if err := task.Validate(bad); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%v: got %v, want ErrInvalid", bad, err)
		}
	}
	for _, name := range []string{"importer", "billing", "importer"} {
		if _, _, err := keys.Issue(t.Context(), acme.ID, catalog.APIKeySpec{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	do := func(p tenancy.Params) error { return task.Do(t.Context(), acme, tenancy.Attempt{Params: p}) }
	var skip *tenancy.SkipError
	if err := do(tenancy.Params{"before": "2020-01-31"}); !errors.As(err, &skip) {
		t.Errorf("no key is that old: got %v, want it skipped", err)
	}
	if err := do(tenancy.Params{"name": "importer", "before": time.Now().Add(time.Hour).Format(time.RFC3339)}); err != nil {
		t.Fatal(err)
	}
	if got := names(t, keys, acme.ID); len(got) != 1 || got[0] != "billing" {
		t.Errorf("got keys %q, want billing alone", got)
	}
	if err := do(tenancy.Params{"all": "yes"}); err != nil || len(names(t, keys, acme.ID)) != 0 {
		t.Errorf("all: got %v and keys %q", err, names(t, keys, acme.ID))
	}
	if err := do(tenancy.Params{"all": "yes"}); !errors.As(err, &skip) {
		t.Errorf("again: got %v, want it skipped", err)
	}
}

func TestIssueTask(t *testing.T) {
	t.Parallel()
	acme, keys := newKeyTasks(t)
	var delivered []tenancy.Secret
	var broken error
	task := keys.IssueTask(func(_ context.Context, tenant *tenancy.Tenant, key tenancy.Secret, info catalog.APIKeyInfo) error {
		if tenant.ID != acme.ID || info.Name != "importer" || info.ID == "" || info.Hash != (tenancy.Digest{}) {
			t.Errorf("got %s, %+v", tenant.ID, info)
		}
		delivered = append(delivered, key)
		return broken
	})
	for _, bad := range []tenancy.Params{nil, {"name": "a", "ttl": "-1h"}, {"name": "a", "ttl": "soon"}, {"name": "a\x00"}, {"name": "a", "scopes": "a b"}, {"name": "a", "x": ""}} {
		if err := task.Validate(bad); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%v: got %v, want ErrInvalid", bad, err)
		}
	}
	attempt := tenancy.Attempt{Params: tenancy.Params{"name": "importer", "scopes": "notes:read, notes:write", "ttl": "720h"}}
	if err := task.Validate(attempt.Params); err != nil {
		t.Fatal(err)
	}
	broken = errors.New("the vault is sealed")
	if err := task.Do(t.Context(), acme, attempt); !errors.Is(err, broken) || len(names(t, keys, acme.ID)) != 0 {
		t.Errorf("a key that was not delivered: got %v and keys %q, want none", err, names(t, keys, acme.ID))
	}
	broken = nil
	if err := task.Do(t.Context(), acme, attempt); err != nil {
		t.Fatal(err)
	}
	all, err := keys.List(t.Context(), acme.ID)
	if err != nil || len(all) != 1 || len(all[0].Scopes) != 2 || time.Until(all[0].ExpiresAt) < 700*time.Hour {
		t.Fatalf("got %+v, %v", all, err)
	}
	var skip *tenancy.SkipError
	if err := task.Do(t.Context(), acme, attempt); !errors.As(err, &skip) || len(delivered) != 2 {
		t.Errorf("again: got %v and %d deliveries, want it skipped", err, len(delivered))
	}
	if text := delivered[1].Reveal(); len(text) < 20 || delivered[0].Reveal() == text {
		t.Errorf("got %q", text)
	}
}
