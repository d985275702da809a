package resolver_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/resolver"
)

func ExampleFirst() {
	resolve := resolver.First(
		tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil)),
		tenancy.Must(resolver.NewPath("/t/", nil)),
	)
	for _, url := range []string{
		"https://acme.example.com/notes", "https://example.com/t/globex/notes", "https://www.example.com/", "https://acme.evil-example.com/",
	} {
		m, err := resolve.Resolve(httptest.NewRequest("GET", url, nil))
		fmt.Println(m.Ref, m.Prefix, err)
	}
	// Output:
	// slug:acme  <nil>
	// slug:globex /t/globex <nil>
	// none:  the request names no tenant
	// none:  the request names no tenant
}

// Without a catalog at hand: no two refs are of the same tenant.
type nobody struct{}

func (nobody) Find(context.Context, tenancy.Ref) (*tenancy.Tenant, error) {
	return nil, tenancy.ErrNotFound
}

func ExampleAgree() {
	resolve := tenancy.Must(resolver.Agree(nobody{},
		tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil)),
		tenancy.Must(resolver.NewPath("/t/", nil)),
	))
	for _, url := range []string{"https://acme.example.com/t/acme/notes", "https://acme.example.com/t/globex/notes"} {
		m, err := resolve.Resolve(httptest.NewRequest("GET", url, nil))
		fmt.Println(m.Ref, err)
	}
	// Output:
	// slug:acme <nil>
	// none: invalid: the request names slug:acme and slug:globex
}
