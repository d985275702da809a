package resolver_test

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/hostname"
	"github.com/artflow-studio/tenancy/resolver"
)

func TestSubdomain(t *testing.T) {
	t.Parallel()
	unresolved, invalid := tenancy.ErrUnresolved, tenancy.ErrInvalid
	type tc struct {
		host string
		want resolver.Match
		err  error
	}
	for _, tt := range []struct {
		name  string
		bases []string
		opts  *resolver.SubdomainOptions
		cases []tc
	}{
		{"one base", []string{"Example.COM."}, nil, []tc{
			{"acme.example.com", slug("acme"), nil},
			{"ACME.eXample.com", slug("acme"), nil},
			{"acme.example.com:8080", slug("acme"), nil},
			{"acme.example.com.", slug("acme"), nil},
			{"acme.example.com.:8080", slug("acme"), nil},
			{"42.example.com", slug("42"), nil},
			{"example.com.example.com", none, unresolved},
			{"example.com", none, unresolved},
			{"EXAMPLE.com.:80", none, unresolved},
			{"evilexample.com", none, unresolved},
			{"acme.evilexample.com", none, unresolved},
			{"acme.example.com.evil.net", none, unresolved},
			{"acme-example.com", none, unresolved},
			{"com", none, unresolved},
			{"localhost", none, unresolved},
			{"127.0.0.1", none, unresolved},
			{"[::1]:80", none, unresolved},
			{"eu.acme.example.com", none, unresolved},
			{"www.example.com", none, unresolved},
			{"API.example.com:80", none, unresolved},
			{"", none, unresolved}, // HTTP/1.0 without a Host
			{"my_app:8080", none, unresolved},
			{"my_app.svc", none, unresolved},
			{"a_b.evilexample.com", none, unresolved},
			{".example.com", none, invalid},
			{"..example.com", none, invalid},
			{"acme..example.com", none, invalid},
			{"a_b.example.com", none, invalid},
			{"-acme.example.com", none, invalid},
			{"acme%2eexample.com", none, invalid},
			{"acme.example.com:80:80", none, invalid},
			{"user@acme.example.com", none, invalid},
			{"bücher.example.com", none, invalid}, // a domain, and no slug
			{"xn--bcher-kva.example.com", none, invalid},
			{strings.Repeat("a", 64) + ".example.com", none, invalid},
			{strings.Repeat("a", 10<<10) + ".example.com", none, invalid},
		}},
		{"nested bases", []string{"example.com", "eu.example.com", "a.b.example.com"}, nil, []tc{
			{"acme.example.com", slug("acme"), nil},
			{"acme.eu.example.com", slug("acme"), nil},
			{"eu.example.com", none, unresolved},
			{"b.example.com", slug("b"), nil},
			{"a.b.example.com", none, unresolved},
			{"acme.a.b.example.com", slug("acme"), nil},
			{"acme.b.example.com", none, unresolved},
		}},
		{"any depth", []string{"example.com", "eu.example.com"}, &resolver.SubdomainOptions{AnyDepth: true}, []tc{
			{"acme.example.com", slug("acme"), nil},
			{"x.acme.example.com", slug("acme"), nil},
			{"y.x.acme.example.com", slug("acme"), nil},
			{"x.acme.eu.example.com", slug("acme"), nil},
			{"eu.example.com", none, unresolved},
			{"acme.www.example.com", none, unresolved},
			{"www.acme.example.com", slug("acme"), nil},
			{"x.acme.evilexample.com", none, unresolved},
			{"x..acme.example.com", none, invalid},
		}},
		{"reserved by the host", []string{"example.com"}, &resolver.SubdomainOptions{Reserved: []string{"Shop"}}, []tc{
			{"shop.example.com", none, unresolved},
			{"www.example.com", slug("www"), nil},
		}},
		{"none reserved", []string{"example.com"}, &resolver.SubdomainOptions{Reserved: []string{}}, []tc{
			{"www.example.com", slug("www"), nil},
			{"admin.example.com", slug("admin"), nil},
		}},
		{"base with an underscore", []string{"my_app.internal"}, nil, []tc{
			{"acme.my_app.internal:8080", slug("acme"), nil},
			{"ACME.My_App.internal", slug("acme"), nil},
			{"a_b.my_app.internal", none, invalid},
			{"my_app.internal", none, unresolved},
		}},
		{"base with a port and in Unicode", []string{"bücher.example:8080"}, nil, []tc{
			{"acme.xn--bcher-kva.example", slug("acme"), nil},
			{"acme.BÜCHER.example:9", slug("acme"), nil},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			by := tenancy.Must(resolver.NewSubdomain(tt.bases, tt.opts))
			for _, c := range tt.cases {
				r := get("/")
				r.Host = c.host
				check(t, by, r, c.want, c.err)
			}
		})
	}
}

// A base with a port is the base, on any port.
func TestSubdomainBaseWithPort(t *testing.T) {
	t.Parallel()
	by := tenancy.Must(resolver.NewSubdomain([]string{"localhost:8080"}, nil))
	for _, host := range []string{"acme.localhost:8080", "acme.localhost", "acme.localhost:9"} {
		if got, err := by.ResolveHost(host); err != nil || got.Ref.Value != "acme" {
			t.Errorf("%s: got %v, %v, want acme", host, got, err)
		}
	}
}

// However a host is written, it names the same tenant, or none: also below a base in
// a script from right to left, where no label may begin with a digit (RFC 5893,
// section 2).
func TestSubdomainSpellings(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"example.com", "a--b.example", "xn--bcher-kva.example", "xn--4dbcagdahymbxekheh6e0a7fei0b.example", "localhost"} {
		by := tenancy.Must(resolver.NewSubdomain([]string{base}, nil))
		for _, label := range []string{"acme", "a", "42", "4cme", "acme-1", "a--b", "ab--c", "xn--bcher-kva", "www", "-a", "a-", "a.b", ""} {
			host := label + "." + base
			want, wantErr := by.ResolveHost(host)
			for _, other := range []string{host + ":80", host + ".", strings.ToUpper(host)} {
				if got, err := by.ResolveHost(other); got != want || (err == nil) != (wantErr == nil) {
					t.Errorf("%q: got %v, %v, and %q is %v, %v", other, got, err, host, want, wantErr)
				}
			}
		}
	}
}

func TestSubdomainBehindProxies(t *testing.T) {
	t.Parallel()
	proxies, err := resolver.NewProxies(private, &resolver.ProxiesOptions{Standard: true})
	if err != nil {
		t.Fatal(err)
	}
	by := tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, &resolver.SubdomainOptions{Proxies: proxies}))
	forwarded := `for=203.0.113.7;host="acme.example.com:443"`
	check(t, by, from("10.0.0.1:9", "Forwarded", forwarded), slug("acme"), nil)
	check(t, by, from("203.0.113.7:9", "Forwarded", forwarded), none, tenancy.ErrUnresolved)
	check(t, by, from("10.0.0.1:9", "Forwarded", "nonsense"), none, tenancy.ErrInvalid)
}

func FuzzSubdomain(f *testing.F) {
	for _, s := range []string{
		"acme.example.com", "ACME.Example.COM.:80", "evilexample.com", "example.com", "eu.acme.example.com", "a@acme.example.com",
		"xn--bcher-kva.example.com", "bücher.example.com", "ａｃｍｅ.example.com", "acme。example.com", "[::1]:80", "127.1", "acme.example.com\x00",
	} {
		f.Add(s)
	}
	exact := tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil))
	deep := tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, &resolver.SubdomainOptions{AnyDepth: true}))
	reserved := tenancy.ReservedSlugs()
	upper := func(s string) string {
		return strings.Map(func(r rune) rune {
			if 'a' <= r && r <= 'z' {
				return r - 'a' + 'A'
			}
			return r
		}, s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		m, err := exact.Resolve(&http.Request{Host: host})
		sane(t, m, err)
		below, belowErr := deep.Resolve(&http.Request{Host: host})
		sane(t, below, belowErr)
		if belowErr == nil {
			name, err := hostname.Parse(host)
			if err != nil || !strings.HasSuffix("."+name, "."+below.Ref.Value+".example.com") {
				t.Fatalf("%q at any depth: got %v for a host that is %q", host, below, name)
			}
		}
		if err != nil {
			refused(t, err)
			return
		}
		if below != m {
			t.Fatalf("%q: got %v, but at any depth %v, %v", host, m, below, belowErr)
		}
		name, err := hostname.Parse(host)
		if err != nil || name != m.Ref.Value+".example.com" {
			t.Fatalf("%q: got %v for a host that is %q, %v", host, m, name, err)
		}
		for _, r := range reserved {
			if m.Ref.Value == r {
				t.Fatalf("%q: got the reserved %v", host, m)
			}
		}
		if again, err := exact.ResolveHost(upper(host)); err != nil || again != m {
			t.Fatalf("%q: got %v, in upper case %v, %v", host, m, again, err)
		}
		if again, err := exact.ResolveHost("x" + name); err == nil && again == m {
			t.Fatalf("%q and x%s: got %v for both", host, name, m)
		}
		if again, err := exact.ResolveHost(name + ".evil.net"); !errors.Is(err, tenancy.ErrUnresolved) && !errors.Is(err, tenancy.ErrInvalid) {
			t.Fatalf("%s.evil.net: got %v, %v, want no match", name, again, err)
		}
	})
}

func TestSubdomainResolvesWithoutAllocation(t *testing.T) {
	r := get("/")
	r.Host = "acme.example.com:8080"
	by := tenancy.Must(resolver.NewSubdomain([]string{"example.com", "eu.example.com"}, nil))
	check(t, by, r, slug("acme"), nil)
	if n := testing.AllocsPerRun(100, func() { _, _ = by.Resolve(r) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func BenchmarkSubdomain(b *testing.B) {
	r := get("/")
	r.Host = "acme.example.com:8080"
	b.Run("Resolve", func(b *testing.B) {
		by := tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := by.Resolve(r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("by hand", func(b *testing.B) { // what a host writes without us, and checks less
		b.ReportAllocs()
		for b.Loop() {
			host, _, err := net.SplitHostPort(r.Host)
			label, ok := strings.CutSuffix(strings.ToLower(host), ".example.com")
			if err != nil || !ok || label == "" {
				b.Fatal(host)
			}
		}
	})
}
