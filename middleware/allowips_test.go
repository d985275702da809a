package middleware_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
)

func prefixList(texts string) (all []netip.Prefix) {
	for text := range strings.FieldsSeq(texts) {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func TestAllowIPs(t *testing.T) {
	t.Parallel()
	const (
		office = "192.0.2.0/24 2001:db8:1::/48"
		v4, v6 = "192.0.2.7:80", "[2001:db8:1::7]:80"
		other  = "203.0.113.7:80"
		proxy  = "10.0.0.1:80"
	)
	type lists struct{ allow, deny string }
	xff := func(values ...string) (all []string) {
		for _, v := range values {
			all = append(all, "X-Forwarded-For", v)
		}
		return all
	}
	for name, tt := range map[string]struct {
		host, tenant lists
		remote       string
		headers      []string
		passes       bool
	}{
		"no lists":                       {remote: other, passes: true},
		"no lists, Unix socket":          {remote: "@", passes: true},
		"tenant allows":                  {tenant: lists{allow: office}, remote: v4, passes: true},
		"tenant allows, IPv6":            {tenant: lists{allow: office}, remote: v6, passes: true},
		"tenant does not allow":          {tenant: lists{allow: office}, remote: other},
		"tenant denies":                  {tenant: lists{deny: office}, remote: v4},
		"tenant denies, IPv6":            {tenant: lists{deny: office}, remote: v6},
		"tenant denies others":           {tenant: lists{deny: office}, remote: other, passes: true},
		"tenant allows and denies":       {tenant: lists{office, "192.0.2.7/32"}, remote: v4},
		"tenant allows and denies other": {tenant: lists{office, "192.0.2.8/32"}, remote: v4, passes: true},
		"host allows":                    {host: lists{allow: office}, remote: v4, passes: true},
		"host does not allow":            {host: lists{allow: office}, remote: other},
		"host denies":                    {host: lists{deny: office}, remote: v6},
		"host denies what tenant allows": {host: lists{deny: "192.0.2.7/32"}, tenant: lists{allow: office}, remote: v4},
		"tenant denies what host allows": {host: lists{allow: office}, tenant: lists{deny: "192.0.2.7/32"}, remote: v4},
		"both allow":                     {host: lists{allow: office}, tenant: lists{allow: "192.0.2.7/32"}, remote: v4, passes: true},
		"only the host allows":           {host: lists{allow: office}, tenant: lists{allow: "192.0.2.8/32"}, remote: v4},
		"only the tenant allows":         {host: lists{allow: "192.0.2.8/32"}, tenant: lists{allow: office}, remote: v4},

		"IPv4 in IPv6":                 {tenant: lists{allow: office}, remote: "[::ffff:192.0.2.7]:80", passes: true},
		"IPv4 in IPv6, denied":         {tenant: lists{deny: office}, remote: "[::ffff:192.0.2.7]:80"},
		"IPv4 in IPv6, not allowed":    {tenant: lists{allow: office}, remote: "[::ffff:203.0.113.7]:80"},
		"host's IPv4 in IPv6":          {host: lists{allow: "::ffff:192.0.2.0/120"}, remote: v4, passes: true},
		"host's IPv4 in IPv6 denies":   {host: lists{deny: "::ffff:192.0.2.0/120"}, remote: v4},
		"host's is not masked":         {host: lists{deny: "192.0.2.99/24"}, remote: v4},
		"IPv4 is not in ::/0":          {tenant: lists{allow: "::/0"}, remote: v4},
		"tenant's IPv4 in IPv6":        {tenant: lists{allow: "::ffff:192.0.2.0/120"}, remote: v4, passes: true},
		"tenant's IPv4 in IPv6 denies": {tenant: lists{deny: "203.0.113.0/24 ::ffff:192.0.2.0/120"}, remote: v4},
		"tenant's is not masked":       {tenant: lists{deny: "192.0.2.99/24"}, remote: v4},
		"zone":                         {tenant: lists{deny: "fe80::/10"}, remote: "[fe80::1%eth0]:80"},
		"zone, allowed":                {tenant: lists{allow: "fe80::/10"}, remote: "[fe80::1%eth0]:80", passes: true},

		"Unix socket":              {tenant: lists{allow: office}, remote: "@"},
		"Unix socket, only denied": {tenant: lists{deny: office}, remote: "@"},
		"Unix socket, host denies": {host: lists{deny: office}, remote: ""},
		"no port":                  {tenant: lists{allow: office}, remote: "192.0.2.7"},
		"no address":               {tenant: lists{allow: "0.0.0.0/0 ::/0"}, remote: "localhost:80"},

		"spoofed":                       {tenant: lists{allow: office}, remote: other, headers: xff("192.0.2.7")},
		"spoofed, denied":               {tenant: lists{deny: office}, remote: v4, headers: xff("203.0.113.7")},
		"spoofed by other names":        {tenant: lists{allow: office}, remote: other, headers: []string{"X-Real-Ip", "192.0.2.7", "Forwarded", "for=192.0.2.7", "True-Client-Ip", "192.0.2.7"}},
		"forwarded":                     {tenant: lists{allow: office}, remote: proxy, headers: xff("192.0.2.7"), passes: true},
		"forwarded, denied":             {tenant: lists{deny: office}, remote: proxy, headers: xff("192.0.2.7")},
		"forwarded, IPv4 in IPv6":       {tenant: lists{deny: office}, remote: proxy, headers: xff("::ffff:192.0.2.7")},
		"forwarded, spoofed":            {tenant: lists{allow: office}, remote: proxy, headers: xff("192.0.2.7, 203.0.113.7")},
		"forwarded, spoofed in lines":   {tenant: lists{allow: office}, remote: proxy, headers: xff("192.0.2.7", "203.0.113.7")},
		"forwarded in lines":            {tenant: lists{allow: office}, remote: proxy, headers: xff("203.0.113.7", "192.0.2.7"), passes: true},
		"forwarded by two":              {tenant: lists{allow: office}, remote: proxy, headers: xff("203.0.113.7, 192.0.2.7, 10.0.0.2"), passes: true},
		"forwarded, malformed":          {tenant: lists{allow: "0.0.0.0/0 ::/0"}, remote: proxy, headers: xff("192.0.2.7.")},
		"forwarded, malformed, denied":  {tenant: lists{deny: office}, remote: proxy, headers: xff("x")},
		"forwarded, empty":              {tenant: lists{deny: office}, remote: proxy, headers: xff("")},
		"forwarded, unknown":            {tenant: lists{deny: office}, remote: proxy, headers: xff("unknown")},
		"forwarded, malformed is older": {tenant: lists{allow: office}, remote: proxy, headers: xff("x, 192.0.2.7"), passes: true},
		"the proxy itself":              {tenant: lists{allow: office}, remote: proxy},
		"a flood of entries":            {tenant: lists{allow: office}, remote: proxy, headers: xff(strings.Repeat("192.0.2.7,", 10_000) + "203.0.113.7")},
		"a flood of proxies":            {tenant: lists{allow: office}, remote: proxy, headers: xff("192.0.2.7" + strings.Repeat(",10.0.0.1", 10_000))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenant := newTenant("acme", tenancy.StatusActive)
			tenant.Access.Allow, tenant.Access.Deny = prefixList(tt.tenant.allow), prefixList(tt.tenant.deny)
			allow := tenancy.Must(middleware.AllowIPs(&middleware.AllowIPsOptions{
				Options: *quiet, Proxies: someProxies(t), Allow: prefixList(tt.host.allow), Deny: prefixList(tt.host.deny),
			}))
			want := answer{403, "forbidden", ""}
			if tt.passes {
				want = passed
			}
			next := &spy{}
			if got := ask(t, as(tenant, allow(next)), from(tt.remote, "/", tt.headers...)); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if (len(next.got) == 1) != tt.passes {
				t.Errorf("got %d calls of the handler", len(next.got))
			}
		})
	}
}

// A record may come from a finder of the application, which does not check it.
func TestAllowIPsMalformedRecord(t *testing.T) {
	t.Parallel()
	good := netip.MustParsePrefix("192.0.2.0/24")
	for _, bad := range []netip.Prefix{{}, netip.PrefixFrom(netip.MustParseAddr("::ffff:192.0.2.0"), 90), netip.PrefixFrom(good.Addr(), 33)} {
		var b bytes.Buffer
		allow := tenancy.Must(middleware.AllowIPs(&middleware.AllowIPsOptions{Options: *logTo(&b)}))
		tenant := newTenant("acme", tenancy.StatusActive)
		tenant.Access.Allow = []netip.Prefix{bad}
		if w := serveTo(as(tenant, allow(&spy{})), from("192.0.2.1:80", "/")); w.Code != http.StatusForbidden {
			t.Errorf("%v is allowed: got %d, want 403", bad, w.Code)
		}
		b.Reset()
		tenant.Access.Allow, tenant.Access.Deny = []netip.Prefix{good}, []netip.Prefix{bad}
		if w := serveTo(as(tenant, allow(&spy{})), from("192.0.2.1:80", "/")); w.Code != http.StatusForbidden || !strings.Contains(b.String(), "malformed") {
			t.Errorf("%v is denied: got %d and the log %s, want 403 and why", bad, w.Code, &b)
		}
	}
}

func TestAllowIPsWithoutATenant(t *testing.T) {
	t.Parallel()
	h := tenancy.Must(middleware.AllowIPs(&middleware.AllowIPsOptions{Options: *quiet, Deny: prefixList("192.0.2.0/24")}))(&spy{})
	for remote, want := range map[string]int{"192.0.2.1:80": 403, "203.0.113.1:80": 204} {
		if w := serveTo(h, from(remote, "/")); w.Code != want {
			t.Errorf("%s: got %d, want %d", remote, w.Code, want)
		}
	}
	// Nobody's word is taken unless the application says whose.
	h = tenancy.Must(middleware.AllowIPs(nil))(&spy{})
	if w := serveTo(h, from("@", "/")); w.Code != 204 {
		t.Errorf("no options: got %d, want 204", w.Code)
	}
}

func TestAllowIPsLogsTheAddress(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	h := tenancy.Must(middleware.AllowIPs(&middleware.AllowIPsOptions{Options: *logTo(&b), Deny: prefixList("192.0.2.0/24")}))(&spy{})
	w := serveTo(h, from("192.0.2.66:80", "/"))
	if !strings.Contains(b.String(), "the address is denied: 192.0.2.66") || strings.Contains(w.Body.String(), "192.0.2") {
		t.Errorf("got the log %s and the answer %s, want the address in the log alone", &b, w.Body)
	}
}

func TestAllowIPsListsAreCopied(t *testing.T) {
	t.Parallel()
	deny := prefixList("192.0.2.0/24")
	h := tenancy.Must(middleware.AllowIPs(&middleware.AllowIPsOptions{Options: *quiet, Deny: deny}))(&spy{})
	deny[0] = netip.MustParsePrefix("203.0.113.0/24")
	if w := serveTo(h, from("192.0.2.1:80", "/")); w.Code != http.StatusForbidden {
		t.Errorf("got %d, want 403", w.Code)
	}
}

func TestAllowIPsRefusesMalformedPrefixes(t *testing.T) {
	t.Parallel()
	for _, p := range []netip.Prefix{{}, netip.PrefixFrom(netip.MustParseAddr("::ffff:192.0.2.0"), 90)} {
		for name, opts := range map[string]*middleware.AllowIPsOptions{"Allow": {Allow: []netip.Prefix{p}}, "Deny": {Deny: []netip.Prefix{p}}} {
			if m, err := middleware.AllowIPs(opts); m != nil || !errors.Is(err, tenancy.ErrInvalid) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s %v: got %v, want ErrInvalid that names the list, and no middleware", name, p, err)
			}
		}
	}
}
