package resolver_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/resolver"
)

// answer always gives the same answer.
func answer(m resolver.Match, err error) resolver.Resolver {
	return resolver.Func(func(*http.Request) (resolver.Match, error) { return m, err })
}

func TestFirst(t *testing.T) {
	t.Parallel()
	acme, umbrella := answer(slug("acme"), nil), answer(slug("umbrella"), nil)
	silent := answer(none, tenancy.ErrUnresolved)
	silentToo := answer(none, fmt.Errorf("nothing here: %w", tenancy.ErrUnresolved))
	invalid, down := answer(none, tenancy.ErrInvalid), answer(none, tenancy.ErrUnavailable)
	for i, tt := range []struct {
		resolvers []resolver.Resolver
		want      resolver.Match
		err       error
	}{
		{nil, none, tenancy.ErrUnresolved},
		{[]resolver.Resolver{silent, silentToo}, none, tenancy.ErrUnresolved},
		{[]resolver.Resolver{acme, umbrella}, slug("acme"), nil},
		{[]resolver.Resolver{umbrella, acme}, slug("umbrella"), nil},
		{[]resolver.Resolver{silent, silentToo, acme}, slug("acme"), nil},
		{[]resolver.Resolver{invalid, acme}, none, tenancy.ErrInvalid},
		{[]resolver.Resolver{silent, down, acme}, none, tenancy.ErrUnavailable},
		{[]resolver.Resolver{acme, invalid}, slug("acme"), nil},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			check(t, resolver.First(tt.resolvers...), get("/"), tt.want, tt.err)
		})
	}
}

// What the caller does with its slice later changes nothing.
func TestResolversAreCopied(t *testing.T) {
	t.Parallel()
	all := []resolver.Resolver{answer(slug("acme"), nil), answer(none, tenancy.ErrUnresolved)}
	first := resolver.First(all...)
	agree, err := resolver.Agree(&finder{}, all...)
	if err != nil {
		t.Fatal(err)
	}
	all[0], all[1] = answer(slug("umbrella"), nil), answer(none, tenancy.ErrInvalid)
	check(t, first, get("/"), slug("acme"), nil)
	check(t, agree, get("/"), slug("acme"), nil)
}
