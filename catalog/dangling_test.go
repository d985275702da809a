package catalog_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// What dangles is removed with an entry, whatever its name is; and not without.
func TestRemoveDanglingIsAudited(t *testing.T) {
	t.Parallel()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	with := func(a tenancy.Auditor) *catalog.Catalog {
		t.Helper()
		cat, err := catalog.New(db, &catalog.Options{Audit: a, RequireActor: true})
		if err == nil {
			err = cat.Migrate(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		return cat
	}
	trail := &tenancytest.Audit{}
	cat := with(trail)
	if _, err := db.Exec(`INSERT INTO tenancy_key_uses (tenant_id, key_id, used_at) VALUES ('gone', 'k1', 1), (?, ?, 1)`, "by hand!\x00", "k\x1b[2J"); err != nil {
		t.Fatal(err)
	}
	type row struct {
		kind, name string
		tenant     tenancy.ID
	}
	var found []row
	list := func() {
		t.Helper()
		found = nil
		err := cat.Dangling(t.Context(), func(kind string, tenant tenancy.ID, name string) error {
			found = append(found, row{kind, name, tenant})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	list()
	if len(found) != 2 {
		t.Fatalf("got %q, want two uses", found)
	}
	ctx := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorCommandLine, ID: "ann"})
	if err := cat.RemoveDangling(t.Context(), found[0].kind, found[0].tenant, found[0].name); !errors.Is(err, tenancy.ErrForbidden) {
		t.Errorf("without an actor: got %v, want ErrForbidden", err)
	}
	deaf := with(&tenancytest.Audit{Err: errors.New("the disk is full")})
	if err := deaf.RemoveDangling(ctx, found[0].kind, found[0].tenant, found[0].name); !errors.Is(err, tenancy.ErrUnavailable) {
		t.Errorf("without its entry: got %v, want ErrUnavailable", err)
	}
	if list(); len(found) != 2 {
		t.Errorf("got %q, want both there still", found)
	}
	for _, each := range found {
		if err := cat.RemoveDangling(ctx, each.kind, each.tenant, each.name); err != nil {
			t.Fatal(err)
		}
	}
	if list(); len(found) != 0 {
		t.Errorf("got %q, want none", found)
	}
	objects := map[tenancy.ID]string{}
	for _, e := range trail.All() {
		if e.Action != "tenant.remove_dangling" || e.Result != tenancy.AuditDone || e.Actor.ID != "ann" {
			t.Errorf("got %+v", e)
		}
		objects[e.Tenant] = e.Object
	}
	if len(objects) != 2 || objects["gone"] != "key use k1" || objects[""] != `"key use k\x1b[2J"` {
		t.Errorf("got %q, want an entry of each", objects)
	}
}
