package resolver_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/hostname"
	"github.com/artflow-studio/tenancy/resolver"
)

func TestOrigin(t *testing.T) {
	t.Parallel()
	unresolved, invalid := tenancy.ErrUnresolved, tenancy.ErrInvalid
	by := tenancy.Must(resolver.NewOrigin(tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil))))
	for _, tt := range []struct {
		lines []string
		want  resolver.Match
		err   error
	}{
		{[]string{"https://acme.example.com"}, slug("acme"), nil},
		{[]string{"http://acme.example.com:8080"}, slug("acme"), nil},
		{[]string{"https://ACME.example.com."}, slug("acme"), nil},
		{nil, none, unresolved},
		{[]string{"null"}, none, unresolved},
		{[]string{"https://example.com"}, none, unresolved},
		{[]string{"https://evilexample.com"}, none, unresolved},
		{[]string{"https://acme.example.com.evil.net"}, none, unresolved},
		{[]string{"http://127.0.0.1:80"}, none, unresolved},
		{[]string{"http://[::1]:80"}, none, unresolved},
		{[]string{""}, none, invalid},
		{[]string{"NULL"}, none, invalid},
		{[]string{"acme.example.com"}, none, invalid},
		{[]string{"//acme.example.com"}, none, invalid},
		{[]string{"https:acme.example.com"}, none, invalid},
		{[]string{"https://"}, none, invalid},
		{[]string{"https://acme.example.com/"}, none, invalid},
		{[]string{"https://acme.example.com/x"}, none, invalid},
		{[]string{"https://acme.example.com?x"}, none, invalid},
		{[]string{"https://acme.example.com#x"}, none, invalid},
		{[]string{"https://evil.net#acme.example.com"}, none, invalid},
		{[]string{`https://evil.net\acme.example.com`}, none, invalid},
		{[]string{"https://user@acme.example.com"}, none, invalid},
		{[]string{"https://user:pw@acme.example.com"}, none, invalid},
		{[]string{"https://acme%2eexample.com"}, none, invalid},
		{[]string{"https://acme.example.com:port"}, none, invalid},
		{[]string{"https://acme.example.com https://evil.net"}, none, invalid},
		{[]string{"https://acme.example.com, https://evil.net"}, none, invalid},
		{[]string{" https://acme.example.com"}, none, invalid},
		{[]string{"ftp://acme.example.com"}, none, unresolved},
		{[]string{"file://"}, none, unresolved},
		{[]string{"javascript://acme.example.com"}, none, unresolved},
		{[]string{"chrome-extension://acme"}, none, unresolved},
		{[]string{"https://acme.example.com", "https://acme.example.com"}, none, invalid},
		{[]string{"https://acme.example.com", "null"}, none, invalid},
		{[]string{"null", "null"}, none, invalid},
		{[]string{"https://" + strings.Repeat("a", 10<<10) + ".example.com"}, none, invalid},
	} {
		r := get("/")
		r.Host = "umbrella.example.com" // does not count
		for _, line := range tt.lines {
			r.Header.Add("Origin", line)
		}
		check(t, by, r, tt.want, tt.err)
	}
	byHost := tenancy.Must(resolver.NewOrigin(tenancy.Must(resolver.NewHost(nil))))
	check(t, byHost, from("192.0.2.1:9", "Origin", "https://shop.acme.example:8443"), domain("shop.acme.example"), nil)
}

func FuzzOrigin(f *testing.F) {
	for _, s := range []string{
		"https://acme.example.com", "http://acme.example.com:80", "null", "https://a@acme.example.com", "https://acme.example.com/", "ftp://acme.example.com",
		"https://acme%2eexample.com", "https://bücher.example", "https://evil.net\\@acme.example.com", "https://[::1]",
	} {
		f.Add(s)
	}
	subdomain := tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil))
	by := tenancy.Must(resolver.NewOrigin(subdomain))
	f.Fuzz(func(t *testing.T, origin string) {
		m, err := by.Resolve(&http.Request{Header: http.Header{"Origin": {origin}}})
		sane(t, m, err)
		if err != nil {
			refused(t, err)
			return
		}
		scheme, host, ok := strings.Cut(origin, "://")
		if !ok || scheme != "http" && scheme != "https" || strings.ContainsAny(host, "@/\\?# \t%") {
			t.Fatalf("%q: got %v, want it refused", origin, m)
		}
		if name, err := hostname.Parse(host); err != nil || name != m.Ref.Value+".example.com" {
			t.Fatalf("%q: got %v for a host that is %q, %v", origin, m, name, err)
		}
	})
}
