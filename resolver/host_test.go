package resolver_test

import (
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/resolver"
)

func TestHost(t *testing.T) {
	t.Parallel()
	proxies, err := resolver.NewProxies(private, nil)
	if err != nil {
		t.Fatal(err)
	}
	by := tenancy.Must(resolver.NewHost(&resolver.HostOptions{
		Central: []string{"Example.com", "www.example.com.", "bücher.example", "my_service:80"}, Proxies: proxies,
	}))
	for _, tt := range []struct {
		host string
		want resolver.Match
		err  error
	}{
		{"acme.example", domain("acme.example"), nil},
		{"ACME.Example:8443", domain("acme.example"), nil},
		{"acme.example.", domain("acme.example"), nil},
		{"acme.example.:80", domain("acme.example"), nil},
		{"müller.example", domain("xn--mller-kva.example"), nil},
		{"XN--MLLER-KVA.example", domain("xn--mller-kva.example"), nil},
		{"sub.example.com", domain("sub.example.com"), nil},
		{"localhost:8080", domain("localhost"), nil},
		{"example.com", none, tenancy.ErrUnresolved},
		{"EXAMPLE.COM.:80", none, tenancy.ErrUnresolved},
		{"www.example.com", none, tenancy.ErrUnresolved},
		{"xn--bcher-kva.example", none, tenancy.ErrUnresolved},
		{"127.0.0.1", none, tenancy.ErrUnresolved},
		{"127.0.0.1:80", none, tenancy.ErrUnresolved},
		{"[::1]:80", none, tenancy.ErrUnresolved},
		{"[::ffff:127.0.0.1]", none, tenancy.ErrUnresolved},
		{"", none, tenancy.ErrUnresolved},            // HTTP/1.0 without a Host
		{"my_app:8080", none, tenancy.ErrUnresolved}, // which no tenant's domain can be
		{"MY_app.svc", none, tenancy.ErrUnresolved},
		{"my_service", none, tenancy.ErrUnresolved},
		{".", none, tenancy.ErrInvalid},
		{"127.1", none, tenancy.ErrInvalid},
		{"acme..example", none, tenancy.ErrInvalid},
		{"acme.example@evil.example", none, tenancy.ErrInvalid},
		{"acme.example/x", none, tenancy.ErrInvalid},
		{"acme.example:http", none, tenancy.ErrInvalid},
		{"acme.example\x00", none, tenancy.ErrInvalid},
		{"acme.example, evil.example", none, tenancy.ErrInvalid},
		{strings.Repeat("a", 10<<10), none, tenancy.ErrInvalid},
	} {
		direct, forwarded := get("/"), from("10.0.0.1:9", "X-Forwarded-Host", tt.host)
		direct.Host = tt.host
		check(t, by, direct, tt.want, tt.err)
		if !strings.Contains(tt.host, ",") { // there the last entry counts: see TestProxiesHost
			check(t, by, forwarded, tt.want, tt.err)
		}
	}
	check(t, by, from("203.0.113.7:9", "X-Forwarded-Host", "acme.example"), none, tenancy.ErrUnresolved)
}

func TestHostResolvesWithoutAllocation(t *testing.T) {
	r := get("/")
	r.Host = "acme.example:8443"
	by := tenancy.Must(resolver.NewHost(nil))
	check(t, by, r, domain("acme.example"), nil)
	if n := testing.AllocsPerRun(100, func() { _, _ = by.Resolve(r) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func BenchmarkHost(b *testing.B) {
	r := get("/")
	r.Host = "acme.example:8443"
	by := tenancy.Must(resolver.NewHost(&resolver.HostOptions{Central: []string{"example.com"}}))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := by.Resolve(r); err != nil {
			b.Fatal(err)
		}
	}
}
