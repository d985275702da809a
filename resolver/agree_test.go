package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/resolver"
)

// finder finds the tenants that it holds, and counts how often it is asked.
type finder struct {
	tenants map[tenancy.Ref]*tenancy.Tenant
	err     error
	asked   int
}

func (f *finder) Find(_ context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	f.asked++
	if f.err != nil {
		return nil, f.err
	}
	if t, ok := f.tenants[ref]; ok {
		return t, nil
	}
	return nil, fmt.Errorf("find %v: %w", ref, tenancy.ErrNotFound)
}

func TestAgree(t *testing.T) {
	t.Parallel()
	acme, umbrella := &tenancy.Tenant{ID: "t1"}, &tenancy.Tenant{ID: "t2"}
	tenants := map[tenancy.Ref]*tenancy.Tenant{
		id("t1").Ref: acme, slug("acme").Ref: acme, domain("acme.example").Ref: acme, domain("acme.test").Ref: acme,
		id("t2").Ref: umbrella, slug("umbrella").Ref: umbrella, domain("umbrella.example").Ref: umbrella,
	}
	at := func(m resolver.Match, prefix string) resolver.Match { m.Prefix = prefix; return m }
	ok := func(m resolver.Match) resolver.Resolver { return answer(m, nil) }
	silent := answer(none, tenancy.ErrUnresolved)
	invalid := tenancy.ErrInvalid
	unavailable := fmt.Errorf("catalog: %w", tenancy.ErrUnavailable)
	type rs []resolver.Resolver
	for _, tt := range []struct {
		name      string
		resolvers rs
		down      error
		want      resolver.Match
		err       error
		asked     int
	}{
		{"nobody", nil, nil, none, tenancy.ErrUnresolved, 0},
		{"all silent", rs{silent, silent}, nil, none, tenancy.ErrUnresolved, 0},
		{"one alone, unknown", rs{ok(slug("ghost"))}, nil, slug("ghost"), nil, 0},
		{"one and silence", rs{silent, ok(slug("acme")), silent}, nil, slug("acme"), nil, 0},
		{"the same ref", rs{ok(slug("acme")), silent, ok(slug("acme"))}, nil, slug("acme"), nil, 0},
		{"the same ref, finder down", rs{ok(slug("acme")), ok(slug("acme"))}, unavailable, slug("acme"), nil, 0},
		{"slugs differ", rs{ok(slug("acme")), ok(slug("umbrella"))}, nil, none, invalid, 0},
		{"IDs differ", rs{ok(id("t1")), ok(id("t2"))}, nil, none, invalid, 0},
		{"third differs", rs{ok(slug("acme")), ok(slug("acme")), ok(slug("umbrella"))}, nil, none, invalid, 0},
		{"domain and slug of one", rs{ok(domain("acme.example")), ok(slug("acme"))}, nil, domain("acme.example"), nil, 2},
		{"slug and domain of one", rs{ok(slug("acme")), ok(domain("acme.example"))}, nil, slug("acme"), nil, 2},
		{"two domains of one", rs{ok(domain("acme.example")), ok(domain("acme.test"))}, nil, domain("acme.example"), nil, 2},
		{"ID, slug, domain of one", rs{ok(id("t1")), ok(slug("acme")), ok(domain("acme.test"))}, nil, id("t1"), nil, 4},
		{"domain and slug of two", rs{ok(domain("acme.example")), ok(slug("umbrella"))}, nil, none, invalid, 2},
		{"two domains of two", rs{ok(domain("acme.example")), ok(domain("umbrella.example"))}, nil, none, invalid, 2},
		{"third of another", rs{ok(id("t1")), ok(slug("acme")), ok(domain("umbrella.example"))}, nil, none, invalid, 4},
		{"unknown beside known", rs{ok(domain("ghost.example")), ok(slug("acme"))}, nil, none, invalid, 1},
		{"known beside unknown", rs{ok(slug("acme")), ok(domain("ghost.example"))}, nil, none, invalid, 2},
		{"both unknown", rs{ok(slug("ghost")), ok(domain("ghost.example"))}, nil, none, invalid, 1},
		{"finder down", rs{ok(slug("acme")), ok(domain("acme.example"))}, unavailable, none, tenancy.ErrUnavailable, 1},
		{"error of a resolver", rs{ok(slug("acme")), answer(none, tenancy.ErrUnauthenticated), ok(slug("umbrella"))}, nil, none, tenancy.ErrUnauthenticated, 0},
		{"prefix of the second", rs{ok(slug("acme")), ok(at(slug("acme"), "/t/acme"))}, nil, at(slug("acme"), "/t/acme"), nil, 0},
		{"prefix of the first", rs{ok(at(slug("acme"), "/t/acme")), ok(domain("acme.test"))}, nil, at(slug("acme"), "/t/acme"), nil, 2},
		{"two equal prefixes", rs{ok(at(slug("acme"), "/t/acme")), ok(at(slug("acme"), "/t/acme"))}, nil, at(slug("acme"), "/t/acme"), nil, 0},
		{"two prefixes", rs{ok(at(slug("acme"), "/t/acme")), ok(at(slug("acme"), "/acme"))}, nil, none, invalid, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &finder{tenants: tenants, err: tt.down}
			check(t, tenancy.Must(resolver.Agree(f, tt.resolvers...)), get("/"), tt.want, tt.err)
			if f.asked != tt.asked {
				t.Errorf("got %d look-ups, want %d", f.asked, tt.asked)
			}
		})
	}
}

func TestAgreeFindsInTheRequestsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	find := findFunc(func(ctx context.Context, _ tenancy.Ref) (*tenancy.Tenant, error) { return nil, ctx.Err() })
	by := tenancy.Must(resolver.Agree(find, answer(slug("acme"), nil), answer(domain("acme.example"), nil)))
	check(t, by, get("/").WithContext(ctx), none, context.Canceled)
}

type findFunc func(context.Context, tenancy.Ref) (*tenancy.Tenant, error)

func (f findFunc) Find(ctx context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	return f(ctx, ref)
}

func TestAgreeRefuses(t *testing.T) {
	t.Parallel()
	if by, err := resolver.Agree(nil, answer(slug("acme"), nil)); by != nil || !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid and no resolver", err)
	}
	if by, err := resolver.Agree(&finder{}, answer(slug("acme"), nil), nil); by != nil || !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("a nil resolver: got %v, %v, want ErrInvalid", by, err)
	}
}

func TestAgreeOnRealRequests(t *testing.T) {
	t.Parallel()
	by := tenancy.Must(resolver.Agree(&finder{},
		tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil)), tenancy.Must(resolver.NewPath("/t/", nil)), tenancy.Must(resolver.NewQuery("tenant", nil))))
	want := slug("acme")
	want.Prefix = "/t/acme"
	for target, tt := range map[string]struct {
		want resolver.Match
		err  error
	}{
		"http://acme.example.com/":                          {slug("acme"), nil},
		"http://acme.example.com/t/acme/x?tenant=acme":      {want, nil},
		"http://acme.example.com/t/umbrella":                {none, tenancy.ErrInvalid},
		"http://acme.example.com/?tenant=umbrella":          {none, tenancy.ErrInvalid},
		"http://example.com/t/acme?tenant=acme&tenant=acme": {want, nil},
		"http://acme.example.com/t/acme/../umbrella":        {none, tenancy.ErrInvalid},
		"http://example.com/":                               {none, tenancy.ErrUnresolved},
	} {
		check(t, by, get(target), tt.want, tt.err)
	}
}
