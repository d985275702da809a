package catalog_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// audited returns a catalog in memory with its audit.
func audited(t *testing.T, opts catalog.Options) (*catalog.Catalog, *tenancytest.Audit) {
	t.Helper()
	trail := &tenancytest.Audit{}
	opts.Audit = trail
	cat, err := catalog.NewWithStore(tenancytest.NewStore(), &opts)
	if err != nil {
		t.Fatal(err)
	}
	return cat, trail
}

// told returns what the last entry says: action, tenant, object, result, and the
// fields that changed.
func told(trail *tenancytest.Audit) string {
	all := trail.All()
	if len(all) == 0 {
		return "nothing"
	}
	e := all[len(all)-1]
	out := fmt.Sprintf("%s %s %s", e.Action, e.Tenant, e.Result)
	for _, c := range e.Changes {
		out += fmt.Sprintf(" %s:%s>%s", c.Field, c.Before, c.After)
	}
	return out
}

// Each change has one entry with the fields that changed, and nothing secret.
func TestChangesAreAudited(t *testing.T) {
	t.Parallel()
	cat, trail := audited(t, catalog.Options{SecretSettings: []string{"smtp.password"}})
	ctx := t.Context()
	edit := func(change func(*tenancy.Tenant)) error {
		_, err := cat.Edit(ctx, "acme", func(t *tenancy.Tenant) error { change(t); return nil })
		return err
	}
	hash := tenancy.DigestOf("planted")
	for i, step := range []struct {
		do   func() error
		want string
	}{
		{func() error {
			_, err := cat.Create(ctx, &tenancy.Tenant{ID: "acme", Slug: "acme", Status: tenancy.StatusActive})
			return err
		}, `tenant.create acme done name:>"acme" slug:>"acme" status:>"active"`},
		{func() error { _, err := cat.Rename(ctx, "acme", "apex"); return err }, `tenant.slug acme done slug:"acme">"apex"`},
		{func() error { _, err := cat.AddDomain(ctx, "acme", "a.example"); return err }, `tenant.domains acme done domains:>["a.example"]`},
		{func() error { _, err := cat.RemoveDomain(ctx, "acme", "a.example"); return err }, `tenant.domains acme done domains:["a.example"]>`},
		{func() error { return edit(func(t *tenancy.Tenant) { t.Plan = "gold" }) }, `tenant.plan acme done plan:>"gold"`},
		{func() error { return edit(func(t *tenancy.Tenant) { t.Limits = map[string]int64{"seats": 1 << 60} }) },
			`tenant.limits acme done limits.seats:>1152921504606846976`},
		{func() error {
			return edit(func(t *tenancy.Tenant) {
				t.Settings = map[string]string{"colour": "", "smtp.password": "planted"}
			})
		}, `tenant.settings acme done settings.colour:>"" settings.smtp.password:>"[redacted]"`},
		{func() error { return edit(func(t *tenancy.Tenant) { t.Settings["smtp.password"] = "planted again" }) },
			`tenant.settings acme done settings.smtp.password:"[redacted]">"[redacted]"`},
		{func() error { return edit(func(t *tenancy.Tenant) { t.Placement.Server = "eu" }) }, `tenant.placement acme done placement.server:>"eu"`},
		{func() error { return edit(func(t *tenancy.Tenant) { t.Tags = []string{"EU"} }) }, `tenant.tags acme done tags:>["eu"]`},
		{func() error { return edit(func(t *tenancy.Tenant) { t.Plan, t.Name = "", "Acme" }) },
			`tenant.update acme done name:"acme">"Acme" plan:"gold">`},
		{func() error { return edit(func(t *tenancy.Tenant) { t.Access.TokenGeneration++ }) }, `tenant.tokens acme done tokens.generation:>1`},
		{func() error {
			return edit(func(t *tenancy.Tenant) {
				t.Access.RevokedTokens = []tenancy.RevokedToken{{ID: "a\x00b", ExpiresAt: time.Unix(0, 0)}, {ID: "jti", ExpiresAt: time.Unix(0, 0)}}
			})
		}, `tenant.tokens acme done tokens.revoked.` + tenancy.DigestOf("a\x00b").String() + `:>"1970-01-01T00:00:00Z" tokens.revoked.jti:>"1970-01-01T00:00:00Z"`},
		{func() error {
			return edit(func(t *tenancy.Tenant) { t.Access.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
		},
			`tenant.addresses acme done addresses.allow:>["192.0.2.0/24"]`},
		{func() error {
			return edit(func(t *tenancy.Tenant) {
				t.Access.Maintenance = &tenancy.Maintenance{Mode: tenancy.MaintenanceClosed, Bypass: hash, Generation: "planted", BeganAt: time.Unix(0, 0)}
			})
		}, `tenant.maintenance acme done maintenance:>{"mode":"closed","began_at":"1970-01-01T00:00:00Z","bypass":"[redacted]"}`},
		{func() error { return edit(func(t *tenancy.Tenant) { t.Name = strings.Repeat("x", 200) }) },
			`tenant.name acme done name:"Acme">"` + strings.Repeat("x", 200) + `"`},
		{func() error { return edit(func(t *tenancy.Tenant) { t.Settings["long"] = strings.Repeat("x", 4096) }) },
			`tenant.settings acme done settings.long:>{"bytes":4098,"sha256":"` + tenancy.DigestOf(`"`+strings.Repeat("x", 4096)+`"`).String() + `"}`},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.want, err)
		}
		if got := told(trail); got != step.want {
			t.Errorf("got  %s\nwant %s", got, step.want)
		}
		if n := len(trail.All()); n != i+1 {
			t.Errorf("%s: got %d entries, want %d", step.want, n, i+1)
		}
	}
	n := len(trail.All())
	if err := edit(func(*tenancy.Tenant) {}); err != nil || len(trail.All()) != n {
		t.Errorf("a change of nothing: got %v and %s", err, told(trail))
	}
	for _, e := range trail.All() {
		if text := fmt.Sprintf("%+v %s", e, e.Changes); strings.Contains(text, "planted") || strings.Contains(text, hash.String()) {
			t.Errorf("a secret is in the entry %s", text)
		}
	}
}

func TestKeysAreAudited(t *testing.T) {
	t.Parallel()
	cat, trail := audited(t, catalog.Options{})
	keys, err := catalog.NewKeyIssuer(cat, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if _, err := cat.Create(ctx, &tenancy.Tenant{ID: "acme", Slug: "acme"}); err != nil {
		t.Fatal(err)
	}
	secret, first, err := keys.Issue(ctx, "acme", catalog.APIKeySpec{Name: "ci"})
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := keys.Rotate(ctx, "acme", first.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(keys.Revoke(ctx, "acme", second.ID), keys.RevokeAll(ctx, "acme")); err != nil {
		t.Fatal(err)
	}
	if err := keys.Revoke(ctx, "acme", secret.Reveal()); !errors.Is(err, tenancy.ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
	var got []string
	for _, e := range trail.All()[1:] {
		fields := []string{}
		for _, c := range e.Changes {
			fields = append(fields, c.Field)
		}
		got = append(got, fmt.Sprint(e.Action, " ", e.Object, " ", e.Result, " ", len(fields)))
		if text := fmt.Sprintf("%+v %s", e, e.Changes); strings.Contains(text, secret.Reveal()[20:]) || strings.Contains(text, tenancy.DigestOf(secret.Reveal()).String()) {
			t.Errorf("the key is in the entry %s", text)
		}
	}
	want := []string{
		"key.issue " + first.ID + " done 1", "key.rotate " + first.ID + " done 2", "key.revoke " + second.ID + " done 1", "key.revoke_all  done 1", "key.revoke  failed 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What is refused has an entry that says why.
func TestRefusalsAreAudited(t *testing.T) {
	t.Parallel()
	cat, trail := audited(t, catalog.Options{})
	ctx := t.Context()
	for _, id := range []string{"acme", "bolt"} {
		if _, err := cat.Create(ctx, &tenancy.Tenant{ID: tenancy.ID(id), Slug: id, Status: tenancy.StatusActive}); err != nil {
			t.Fatal(err)
		}
	}
	_, noStatus := cat.SetStatus(ctx, "acme", tenancy.StatusProvisioning)
	_, noSlug := cat.Rename(ctx, "acme", "bolt")
	_, noDomain := cat.AddDomain(ctx, "acme", "a b")
	_, noTenant := cat.Rename(ctx, "nobody", "x")
	_, noID := cat.Rename(ctx, "§", "x")
	_, old := cat.Update(ctx, &tenancy.Tenant{ID: "acme", Version: 7})
	_, taken := cat.Create(ctx, &tenancy.Tenant{ID: "acme", Slug: "x"})
	noDelete := cat.Delete(ctx, "acme")
	_, _ = cat.Edit(ctx, "acme", func(*tenancy.Tenant) error { return errors.New("the caller's own") })
	var got []string
	for _, e := range trail.All()[2:] {
		if e.Problem == "" {
			t.Errorf("%s: no problem", e.Action)
		}
		got = append(got, fmt.Sprint(e.Action, " ", e.Tenant, " ", e.Result))
	}
	want := []string{
		"tenant.status acme failed", "tenant.slug acme failed", "tenant.domains acme failed", "tenant.slug nobody failed",
		"tenant.slug  failed", "tenant.update acme failed", "tenant.create acme failed", "tenant.delete acme failed",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for what, err := range map[string]error{
		"status": noStatus, "slug": noSlug, "domain": noDomain, "tenant": noTenant, "ID": noID, "version": old, "taken": taken, "delete": noDelete,
	} {
		if err == nil {
			t.Errorf("%s: got no error", what)
		}
	}
}

func TestRequireActor(t *testing.T) {
	t.Parallel()
	cat, trail := audited(t, catalog.Options{RequireActor: true})
	as := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada"})
	if _, err := cat.Create(as, &tenancy.Tenant{ID: "acme", Slug: "acme"}); err != nil {
		t.Fatal(err)
	}
	nobody := t.Context()
	unknown := tenancy.WithActor(nobody, tenancy.Actor{Kind: tenancy.ActorUnknown, ID: "ada"})
	_, create := cat.Create(nobody, &tenancy.Tenant{Slug: "bolt"})
	_, status := cat.SetStatus(unknown, "acme", tenancy.StatusActive)
	_, update := cat.Update(nobody, &tenancy.Tenant{ID: "acme", Version: 1})
	for what, err := range map[string]error{"Create": create, "SetStatus": status, "Update": update, "Delete": cat.Delete(nobody, "acme")} {
		if !errors.Is(err, tenancy.ErrForbidden) {
			t.Errorf("%s by nobody: got %v, want ErrForbidden", what, err)
		}
	}
	denied := 0
	for _, e := range trail.All() {
		if e.Result == tenancy.AuditDenied {
			denied++
		}
	}
	if denied != 4 {
		t.Errorf("got %d denials, want 4", denied)
	}
	same := func(*tenancy.Tenant) error { return nil }
	if _, err := cat.Edit(nobody, "acme", same); err != nil {
		t.Errorf("an edit that changes nothing: %v", err)
	}
	if got, err := cat.Find(nobody, tenancy.Ref{Kind: tenancy.RefID, Value: "acme"}); err != nil || got.Version != 1 {
		t.Errorf("got %+v, %v, want the tenant as it was", got, err)
	}
}

// mute is a store whose answers to writes are lost.
type mute struct{ *tenancytest.Store }

func (m *mute) Replace(ctx context.Context, t *tenancy.Tenant, within catalog.Within) error {
	return errors.Join(m.Store.Replace(ctx, t, within), errors.New("connection reset"))
}

// amnesiac is an auditor whose entries of changes are rolled back.
type amnesiac struct {
	kept   *tenancytest.Audit
	forget bool
}

func (f *amnesiac) Audit(ctx context.Context, tx *sql.Tx, e tenancy.Entry) error {
	if f.forget && e.Result == tenancy.AuditDone {
		return nil
	}
	return f.kept.Audit(ctx, tx, e)
}

// Written asks the recorder.
func (f *amnesiac) Written(ctx context.Context, id string) (bool, error) {
	return f.kept.Written(ctx, id)
}

// Of a change whose answer was lost, the entry says that it was done if it is there,
// and otherwise another one says that nobody knows.
func TestLostAnswerIsAudited(t *testing.T) {
	t.Parallel()
	for _, committed := range []bool{true, false} {
		trail := &amnesiac{kept: &tenancytest.Audit{}}
		store := &mute{tenancytest.NewStore()}
		cat, err := catalog.NewWithStore(store, &catalog.Options{Audit: trail})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cat.Create(t.Context(), &tenancy.Tenant{ID: "acme", Slug: "acme"}); err != nil {
			t.Fatal(err)
		}
		trail.forget = !committed
		if _, err := cat.SetStatus(t.Context(), "acme", tenancy.StatusActive); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		all := trail.kept.All()
		last := all[len(all)-1]
		want := tenancy.AuditDone
		if !committed {
			want = tenancy.AuditUnknown
		}
		if len(all) != 2 || last.Action != "tenant.status" || last.Result != want || len(last.Changes) != 1 {
			t.Errorf("committed %v: got %+v, want one entry with the result %s", committed, all[1:], want)
		}
	}
}
