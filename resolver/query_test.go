package resolver_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/resolver"
)

func TestQuery(t *testing.T) {
	t.Parallel()
	unresolved, invalid := tenancy.ErrUnresolved, tenancy.ErrInvalid
	by := tenancy.Must(resolver.NewQuery("tenant", nil))
	for _, tt := range []struct {
		query string
		want  resolver.Match
		err   error
	}{
		{"tenant=acme", slug("acme"), nil},
		{"x=1&tenant=acme&y", slug("acme"), nil},
		{"tenant=acme&tenant=acme", slug("acme"), nil},
		{"tenant=%61cme", slug("acme"), nil}, // encoding is the form of a query
		{"%74enant=acme", slug("acme"), nil},
		{"", none, unresolved},
		{"x=acme", none, unresolved},
		{"Tenant=acme", none, unresolved},
		{"tenant2=acme", none, unresolved},
		{"tenant=acme&tenant=umbrella", none, invalid},
		{"tenant=acme&tenant=", none, invalid},
		{"tenant", none, invalid},
		{"tenant=", none, invalid},
		{"tenant=ACME", none, invalid},
		{"tenant=acme+", none, invalid},
		{"tenant=acme%00", none, invalid},
		{"tenant=..%2Fx", none, invalid},
		{"tenant=%zz", none, invalid},
		{"tenant=acme&x=%", none, invalid},
		{"tenant=acme;tenant=umbrella", none, invalid},
		{"tenant=" + strings.Repeat("a", 10<<10), none, invalid},
	} {
		check(t, by, get("/?"+tt.query), tt.want, tt.err)
	}
	byID := tenancy.Must(resolver.NewQuery("t", &resolver.QueryOptions{Kind: tenancy.RefID}))
	check(t, byID, get("/?t=a_b"), id("a_b"), nil)

	post := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("tenant=acme"))
	post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	check(t, by, post, none, unresolved)
	if got := post.PostFormValue("tenant"); got != "acme" {
		t.Errorf("the handler reads %q from the body, want acme", got)
	}
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{"tenant=acme", "tenant=acme&tenant=umbrella", "tenant=%61cme", "tenant=a;b", "%", "tenant", "&&=&tenant=a"} {
		f.Add(s)
	}
	by := tenancy.Must(resolver.NewQuery("tenant", nil))
	f.Fuzz(func(t *testing.T, query string) {
		u := &url.URL{Path: "/", RawQuery: query}
		m, err := by.Resolve(&http.Request{URL: u})
		sane(t, m, err)
		if err != nil {
			refused(t, err)
			return
		}
		for _, seen := range u.Query()["tenant"] { // by the handler
			if seen != m.Ref.Value {
				t.Fatalf("%q: got %v, but a handler sees %q", query, m, seen)
			}
		}
		if !u.Query().Has("tenant") {
			t.Fatalf("%q: got %v, but a handler sees none", query, m)
		}
	})
}
