package lifecycle_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// noDatabases is what the changes of a status need of databases.
type noDatabases struct{ lifecycle.Databases }

func (noDatabases) Up(context.Context, *tenancy.Tenant) error { return nil }

// recorded returns a catalog in memory with an audit, and the life of its tenants.
func recorded(t *testing.T) (*catalog.Catalog, *tenancytest.Audit, *lifecycle.Lifecycle) {
	t.Helper()
	trail := &tenancytest.Audit{}
	cat, err := catalog.NewWithStore(tenancytest.NewStore(), &catalog.Options{Audit: trail})
	if err != nil {
		t.Fatal(err)
	}
	life, err := lifecycle.New(cat, noDatabases{}, noDatabases{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cat, trail, life
}

func TestStatusChanges(t *testing.T) {
	t.Parallel()
	const ok, resume, restore, purged = "", "resume its creation", "restore it", "is being purged"
	from := []tenancy.Status{"provisioning", "active", "suspended", "blocked", "inactive", "archived", "purging"}
	for name, tt := range map[string]struct {
		change func(*lifecycle.Lifecycle, context.Context, tenancy.ID) error
		to     tenancy.Status
		want   [7]string // what the error says of each status in from
	}{
		"activate":   {(*lifecycle.Lifecycle).Activate, "active", [7]string{resume, ok, ok, ok, ok, restore, purged}},
		"suspend":    {(*lifecycle.Lifecycle).Suspend, "suspended", [7]string{resume, ok, ok, ok, ok, restore, purged}},
		"block":      {(*lifecycle.Lifecycle).Block, "blocked", [7]string{resume, ok, ok, ok, ok, restore, purged}},
		"deactivate": {(*lifecycle.Lifecycle).Deactivate, "inactive", [7]string{resume, ok, ok, ok, ok, restore, purged}},
		"archive":    {(*lifecycle.Lifecycle).Archive, "archived", [7]string{resume, ok, ok, ok, ok, ok, purged}},
		"restore":    {(*lifecycle.Lifecycle).Restore, "inactive", [7]string{"only one that", "only one that", "only one that", "only one that", ok, ok, "only one that"}},
	} {
		for i, status := range from {
			cat, trail, life := recorded(t)
			made, err := cat.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Status: status, Domains: []string{"acme.example"},
				Placement: tenancy.Placement{Server: "main", Database: "acme"}})
			if err != nil {
				t.Fatal(err)
			}
			ctx := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada", Reason: "invoice unpaid"})
			err = tt.change(life, ctx, made.ID)
			got, e := cat.Find(ctx, tenancy.Ref{Kind: tenancy.RefDomain, Value: "acme.example"})
			if e != nil {
				t.Fatal(e)
			}
			if tt.want[i] != ok {
				if !errors.Is(err, tenancy.ErrInvalid) || !strings.Contains(err.Error(), tt.want[i]) || got.Version != 1 {
					t.Errorf("%s of a tenant that is %s: got %v, version %d, want an error that says %q and no change", name, status, err, got.Version, tt.want[i])
				}
				continue
			}
			if err != nil || got.Status != tt.to || got.Placement != made.Placement || got.Slug != made.Slug {
				t.Errorf("%s of a tenant that is %s: got %+v, %v, want it %s with all it has", name, status, got, err, tt.to)
			}
			all := trail.All()
			last := all[len(all)-1]
			if status == tt.to {
				if len(all) != 1 {
					t.Errorf("%s of a tenant that is %s: got entry %+v, want none", name, status, last)
				}
			} else if last.Action != "tenant.status" || last.Actor.ID != "ada" || last.Actor.Reason != "invoice unpaid" || last.Result != tenancy.AuditDone {
				t.Errorf("%s of a tenant that is %s: got entry %+v, want one of a change of the status by ada", name, status, last)
			}
		}
	}
}

func TestRename(t *testing.T) {
	t.Parallel()
	cat, trail, life := recorded(t)
	acme, err := cat.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Name: "Acme"})
	if err == nil {
		_, err = cat.Create(t.Context(), &tenancy.Tenant{Slug: "globex"})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := life.Rename(t.Context(), acme.ID, "globex"); !errors.Is(err, tenancy.ErrExists) {
		t.Errorf("a slug that is taken: got %v, want ErrExists", err)
	}
	if err := life.Rename(t.Context(), acme.ID, "acme-eu"); err != nil {
		t.Fatal(err)
	}
	if got, err := cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme-eu"}); err != nil || got.ID != acme.ID || got.Name != "Acme" {
		t.Errorf("got %+v, %v, want the tenant under its new slug", got, err)
	}
	all := trail.All()
	if last := all[len(all)-1]; last.Action != "tenant.slug" {
		t.Errorf("got entry %+v, want one of a change of the slug", last)
	}
	if err := life.Rename(t.Context(), "nobody", "x"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("nobody: got %v, want ErrNotFound", err)
	}
}
