package resolver_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/credential"
	"github.com/artflow-studio/tenancy/resolver"
)

func TestAPIKey(t *testing.T) {
	t.Parallel()
	by := tenancy.Must(resolver.NewAPIKey("acme_live"))
	unresolved, invalid, unauthenticated := tenancy.ErrUnresolved, tenancy.ErrInvalid, tenancy.ErrUnauthenticated
	made, other := credential.NewKey("acme_live", "t_1").Text, credential.NewKey("acme_live", "t_1").Text
	test := credential.NewKey("acme_test", "t_1").Text
	const auth, header = "Authorization", "X-API-Key"
	for _, tt := range []struct {
		name   string
		header []string
		want   resolver.Match
		err    error
	}{
		{"none", nil, none, unresolved},
		{"bearer", []string{auth, "Bearer " + made}, id("t_1"), nil},
		{"small letters", []string{auth, "bearer " + made}, id("t_1"), nil},
		{"header", []string{header, made}, id("t_1"), nil},
		{"small header", []string{"x-api-key", made}, id("t_1"), nil},
		{"both", []string{auth, "Bearer " + made, header, made}, id("t_1"), nil},
		{"beside Basic", []string{auth, "Basic eDp5", header, made}, id("t_1"), nil},
		{"beside a test key", []string{auth, "Bearer " + test, header, made}, none, invalid},
		{"two keys", []string{auth, "Bearer " + made, header, other}, none, invalid},
		{"beside a token", []string{auth, "Bearer a.b.c", header, made}, none, invalid},
		{"beside something", []string{auth, "Bearer " + made, header, "x"}, none, invalid},
		{"two lines", []string{header, made, header, made}, none, invalid},
		{"two lines of Authorization", []string{auth, "Bearer " + made, auth, "Bearer " + made}, none, invalid},
		{"two lines, one empty", []string{auth, "Bearer " + made, auth, ""}, none, invalid},
		{"two lines in one", []string{header, made + ", " + other}, none, unauthenticated},
		{"truncated", []string{header, made[:len(made)-1]}, none, unauthenticated},
		{"truncated to the prefix", []string{header, "acme_live_"}, none, unauthenticated},
		{"without _", []string{header, "acme_live"}, none, unresolved},
		{"truncated in front", []string{header, made[1:]}, none, unresolved},
		{"another tenant", []string{header, strings.Replace(made, "t_1", "t_2", 1)}, none, unauthenticated},
		{"no tenant's", []string{header, credential.NewKey("acme_live", "-").Text}, none, unauthenticated},
		{"a test key", []string{header, test}, none, unresolved},
		{"a token", []string{auth, "Bearer eyJhbGciOiJub25lIn0.e30."}, none, unresolved},
		{"Basic", []string{auth, "Basic " + made}, none, unresolved},
		{"no scheme", []string{auth, made}, none, unresolved},
		{"10 KB", []string{header, "acme_live_" + strings.Repeat("a", 10<<10)}, none, unauthenticated},
		{"in the query", nil, none, unresolved},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := from("192.0.2.1:9", tt.header...)
			r.URL.RawQuery = "api_key=" + made
			check(t, by, r, tt.want, tt.err)
			if _, err := by.Resolve(r); err != nil && (strings.Contains(err.Error(), "t_1") || strings.Contains(err.Error(), "acme")) {
				t.Errorf("got %v, want nothing of what was sent", err)
			}
		})
	}
	flood := from("192.0.2.1:9")
	for range 10_000 {
		flood.Header.Add(header, made)
	}
	check(t, by, flood, none, invalid)
}

func TestAPIKeyPrefix(t *testing.T) {
	t.Parallel()
	if _, err := resolver.NewAPIKey("acme-live"); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

// A key at a neighbour's address is a contradiction, which Agree refuses.
func TestAPIKeyAgrees(t *testing.T) {
	t.Parallel()
	find := &finder{tenants: map[tenancy.Ref]*tenancy.Tenant{}}
	for _, slug := range []string{"acme", "globex"} {
		tenant := &tenancy.Tenant{ID: tenancy.ID("id-" + slug), Slug: slug}
		find.tenants[tenancy.Ref{Kind: tenancy.RefID, Value: string(tenant.ID)}] = tenant
		find.tenants[tenancy.Ref{Kind: tenancy.RefSlug, Value: slug}] = tenant
	}
	by := tenancy.Must(resolver.Agree(find, tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil)), tenancy.Must(resolver.NewAPIKey("k"))))
	r := from("192.0.2.1:9", "X-API-Key", credential.NewKey("k", "id-acme").Text)
	r.Host = "acme.example.com"
	check(t, by, r, slug("acme"), nil)
	r.Host = "globex.example.com"
	check(t, by, r, none, tenancy.ErrInvalid)
	r.Host = "example.com"
	check(t, by, r, id("id-acme"), nil)
}

func FuzzAPIKey(f *testing.F) {
	by := tenancy.Must(resolver.NewAPIKey("k"))
	made := credential.NewKey("k", "t_1").Text
	f.Add("Bearer "+made, made)
	f.Add("Bearer "+made, "")
	f.Add("", made)
	f.Add("", made[:9]+"x"+made[10:])
	f.Add("bearer  x", "k_")
	f.Fuzz(func(t *testing.T, auth, header string) {
		r := from("192.0.2.1:9")
		r.Header = http.Header{"Authorization": {auth}, "X-Api-Key": {header}}
		m, err := by.Resolve(r)
		sane(t, m, err)
		switch {
		case err != nil && !errors.Is(err, tenancy.ErrUnauthenticated):
			refused(t, err)
		case err == nil && !strings.Contains(auth+header, m.Ref.Value):
			t.Fatalf("%q: got %v, want what was sent", r.Header, m)
		}
	})
}

func BenchmarkAPIKey(b *testing.B) {
	by := tenancy.Must(resolver.NewAPIKey("acme_live"))
	r := from("192.0.2.1:9", "X-API-Key", credential.NewKey("acme_live", tenancy.NewID()).Text)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := by.Resolve(r); err != nil {
			b.Fatal(err)
		}
	}
}
