package resolver_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/resolver"
)

func newProxies(t testing.TB, standard bool) *resolver.Proxies {
	t.Helper()
	p, err := resolver.NewProxies(private, &resolver.ProxiesOptions{Standard: standard})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// addr parses an address; "" is the zero Addr.
func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func TestProxiesClient(t *testing.T) {
	t.Parallel()
	const proxy, client, spoofed = "10.0.0.1:9", "203.0.113.7", "198.51.100.1"
	type tc struct {
		peer  string
		lines []string
		want  string
	}
	type suite struct {
		standard      bool
		header, other string
		cases         []tc
	}
	for _, s := range []suite{
		{false, "X-Forwarded-For", "Forwarded", []tc{
			{proxy, []string{client}, client},
			{proxy, []string{spoofed + ", " + client}, client},
			{proxy, []string{spoofed, client}, client},
			{proxy, []string{spoofed + "," + client + " ,\t10.0.0.2"}, client},
			{proxy, []string{spoofed + ", " + client, "10.0.0.3,10.0.0.2"}, client},
			{proxy, []string{"10.0.0.4, " + client + ", 10.0.0.2"}, client},
			{proxy, []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"}, // a client inside
			{proxy, nil, "10.0.0.1"},
			{proxy, []string{"2001:db8::7"}, "2001:db8::7"},
			{proxy, []string{"::ffff:203.0.113.7, ::ffff:10.0.0.2"}, client},
			{proxy, []string{"fe80::1%eth0"}, "fe80::1"},
			{"[::ffff:10.0.0.1]:9", []string{client}, client},
			{"[fd00::1]:9", []string{client}, client},
			{proxy, []string{`", ` + client}, client}, // what a client wrote does not matter
			{proxy, []string{"x, , %00, " + client}, client},
			{proxy, []string{strings.Repeat("10.0.0.2, ", 100_000) + client}, client},
			{proxy, []string{client + strings.Repeat(",10.0.0.2", 31)}, client},
			{proxy, []string{client + strings.Repeat(",10.0.0.2", 32)}, "10.0.0.2"}, // nobody has as many proxies
			{proxy, []string{""}, ""},
			{proxy, []string{"x"}, ""},
			{proxy, []string{client + ", x"}, ""},
			{proxy, []string{client + ","}, ""},
			{proxy, []string{client + ", x, 10.0.0.2"}, ""},
			{proxy, []string{client, ""}, ""},
			{proxy, []string{`"` + client + `"`}, ""},
			{proxy, []string{"203.0.113.7.example"}, ""},
			{proxy, []string{"203.0.113"}, ""},
		}},
		{true, "Forwarded", "X-Forwarded-For", []tc{
			{proxy, []string{"for=" + client}, client},
			{proxy, []string{"FOR=" + client + ";Proto=https;by=10.0.0.1"}, client},
			{proxy, []string{`for="` + client + `:4711"`}, client},
			{proxy, []string{`for="[2001:db8::7]:4711"; proto=https`}, "2001:db8::7"},
			{proxy, []string{`for="[2001:db8::7]"`}, "2001:db8::7"},
			{proxy, []string{`for="[::ffff:203.0.113.7]"`}, client},
			{proxy, []string{`for="[::ffff:203.0.113.7]:4711"`}, client},
			{proxy, []string{`proto=https;ext="a,b,for=` + spoofed + `";for=` + client}, client},
			{proxy, []string{"for=" + spoofed + ", for=" + client + `, for="[fd00::2]"`}, client},
			{proxy, []string{"for=" + spoofed, "for=" + client, `for="10.0.0.2:80"`}, client},
			{proxy, []string{`for="` + spoofed + ", for=" + client}, client}, // a client's open quote hides nothing
			{proxy, []string{`for="`, "for=" + client}, client},
			{proxy, []string{"nonsense, for=" + client}, client},
			{proxy, []string{"for=10.0.0.2, for=unknown"}, ""},
			{proxy, []string{"for=10.0.0.2, for=_hidden"}, ""},
			{proxy, []string{"for=10.0.0.2, proto=https"}, ""},
			{proxy, []string{client}, ""},
			{proxy, []string{"for="}, ""},
			{proxy, []string{`for=""`}, ""},
			{proxy, []string{`for="203.0.113.7`}, ""},
			{proxy, []string{`for="203\.0.113.7"`}, ""},
			{proxy, []string{"for=" + client + ";for=" + spoofed}, ""},
			{proxy, []string{"for=[2001:db8::7"}, ""},
			{proxy, []string{"for=example.com"}, ""},
		}},
	} {
		p := newProxies(t, s.standard)
		for _, c := range append(s.cases,
			tc{"203.0.113.7:9", []string{spoofed}, client},
			tc{"203.0.113.7:9", []string{"for=" + spoofed, "10.0.0.1"}, client},
			tc{"[::ffff:203.0.113.7]:9", []string{"10.0.0.1", "for=10.0.0.1"}, client},
			tc{"[2001:db8::7%eth0]:9", nil, "2001:db8::7"},
			tc{"@", []string{spoofed}, ""},
			tc{"", []string{"for=" + spoofed}, ""},
			tc{"10.0.0.1", []string{"for=" + spoofed}, ""},
		) {
			r := from(c.peer, s.other, "198.51.100.9", s.other, "for=198.51.100.9", "X-Real-Ip", "198.51.100.9")
			for _, line := range c.lines {
				r.Header.Add(s.header, line)
			}
			if got := p.Client(r); got != addr(c.want) {
				t.Errorf("%s %.100q from %s: Client = %v, want %q", s.header, c.lines, c.peer, got, c.want)
			}
			var nobody *resolver.Proxies
			if peer, _ := netip.ParseAddrPort(c.peer); nobody.Client(r) != peer.Addr().Unmap().WithZone("") {
				t.Errorf("%s %.100q from %s: Client of nil = %v, want the peer", s.header, c.lines, c.peer, nobody.Client(r))
			}
		}
	}
}

func TestProxiesHost(t *testing.T) {
	t.Parallel()
	const proxy, direct, acme = "10.0.0.1:9", "direct.example.com", "acme.example.com"
	for _, tt := range []struct {
		standard bool
		peer     string
		header   []string
		want     string
		err      error
	}{
		{false, proxy, nil, direct, nil},
		{false, proxy, []string{"X-Forwarded-Host", acme}, acme, nil},
		{false, proxy, []string{"X-Forwarded-Host", "evil.net, " + acme}, acme, nil},
		{false, proxy, []string{"X-Forwarded-Host", "evil.net", "X-Forwarded-Host", acme}, acme, nil},
		{false, proxy, []string{"X-Forwarded-Host", `", ` + acme}, acme, nil},
		{false, proxy, []string{"X-Forwarded-Host", acme + ":443"}, acme + ":443", nil},
		{false, "[::ffff:10.0.0.1]:9", []string{"X-Forwarded-Host", acme}, acme, nil},
		{false, proxy, []string{"Forwarded", "for=203.0.113.7;host=evil.net"}, direct, nil},
		{false, "203.0.113.7:9", []string{"X-Forwarded-Host", "evil.net"}, direct, nil},
		{false, "@", []string{"X-Forwarded-Host", "evil.net"}, direct, nil},

		{true, proxy, nil, direct, nil},
		{true, proxy, []string{"Forwarded", "for=203.0.113.7;host=" + acme}, acme, nil},
		{true, proxy, []string{"Forwarded", `for=203.0.113.7;host="acme.example.com:443"`}, acme + ":443", nil},
		{true, proxy, []string{"Forwarded", "for=203.0.113.7"}, direct, nil},
		{true, proxy, []string{"Forwarded", "host=evil.net, for=203.0.113.7;host=" + acme}, acme, nil},
		{true, proxy, []string{"Forwarded", "for=10.0.0.3;host=evil.net, for=203.0.113.7;host=" + acme + ", for=10.0.0.2;host=inside.example"}, acme, nil},
		{true, proxy, []string{"Forwarded", "for=203.0.113.7;host=" + acme + ", for=10.0.0.2"}, acme, nil},
		{true, proxy, []string{"Forwarded", "for=203.0.113.7, for=10.0.0.2;host=" + acme}, acme, nil},
		{true, proxy, []string{"Forwarded", "for=unknown;host=" + acme}, acme, nil},
		{true, proxy, []string{"Forwarded", "for=_hidden;host=" + acme}, acme, nil},
		{true, proxy, []string{"Forwarded", "x, for=203.0.113.7;host=" + acme}, acme, nil},
		{true, proxy, []string{"Forwarded", "for=203.0.113.7;host=" + acme + ", x"}, "", tenancy.ErrInvalid},
		{true, proxy, []string{"Forwarded", "for=203.0.113.7;host=" + acme + ";host=evil.net"}, "", tenancy.ErrInvalid},
		{true, proxy, []string{"Forwarded", `for=203.0.113.7;host="acme\.example.com"`}, "", tenancy.ErrInvalid},
		{true, proxy, []string{"Forwarded", ""}, "", tenancy.ErrInvalid},
		{true, proxy, []string{"X-Forwarded-Host", "evil.net"}, direct, nil},
		{true, "203.0.113.7:9", []string{"Forwarded", "for=10.0.0.1;host=evil.net"}, direct, nil},
		{true, "203.0.113.7:9", []string{"Forwarded", "nonsense"}, direct, nil},
		{true, "@", []string{"Forwarded", "host=evil.net"}, direct, nil},
	} {
		r := from(tt.peer, tt.header...)
		r.Host = direct
		if got, err := newProxies(t, tt.standard).Host(r); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%q from %s, standard %v: Host = %q, %v, want %q, %v", tt.header, tt.peer, tt.standard, got, err, tt.want, tt.err)
		}
		var nobody *resolver.Proxies
		if got, err := nobody.Host(r); got != direct || err != nil {
			t.Errorf("%q: Host of nil = %q, %v, want %q", tt.header, got, err, direct)
		}
	}
}

func TestProxiesCopyTheAddresses(t *testing.T) {
	t.Parallel()
	trusted := slices.Clone(private)
	p, err := resolver.NewProxies(trusted, nil)
	if err != nil {
		t.Fatal(err)
	}
	trusted[0] = trusted[1]
	if got := p.Client(from("10.0.0.1:9", "X-Forwarded-For", "203.0.113.7")); got != addr("203.0.113.7") {
		t.Errorf("Client = %v after the caller changed its slice, want 203.0.113.7", got)
	}
}

// entry is what a proxy adds to the header of addresses and to that of hosts.
type entry struct{ addr, host string }

// fuzzProxies checks that nothing in a header that a client wrote counts: not
// when it connects itself, and not to the left of what trusted proxies wrote:
// alone is the one proxy that there is, outer and inner are two in a row.
func fuzzProxies(f *testing.F, standard bool, addrHeader, hostHeader, other string, alone, outer, inner entry) {
	p := newProxies(f, standard)
	f.Fuzz(func(t *testing.T, first, second string) {
		r := &http.Request{Host: "direct.example.com", RemoteAddr: "203.0.113.7:9"}
		expect := func(how, wantHost string, lines func(of func(entry) string) []string) {
			t.Helper()
			r.Header = http.Header{other: {first, second}}
			r.Header[addrHeader] = lines(func(e entry) string { return e.addr })
			r.Header[hostHeader] = lines(func(e entry) string { return e.host })
			if got := p.Client(r); got != addr("203.0.113.7") {
				t.Fatalf("%s, %q: Client = %v, want 203.0.113.7", how, r.Header, got)
			}
			if got, err := p.Host(r); err != nil || got != wantHost {
				t.Fatalf("%s, %q: Host = %q, %v, want %q", how, r.Header, got, err, wantHost)
			}
		}
		expect("untrusted peer", "direct.example.com", func(func(entry) string) []string { return []string{first, second} })

		r.RemoteAddr = "10.0.0.1:9"
		if got := p.Client(r); got.IsValid() && (got != got.Unmap() || got.Zone() != "") {
			t.Fatalf("%q: Client = %v, want it unmapped and without zone", r.Header, got)
		}
		if host, err := p.Host(r); err != nil && (!errors.Is(err, tenancy.ErrInvalid) || host != "" || len(err.Error()) > 600) {
			t.Fatalf("%q: Host = %q, %v, want ErrInvalid in few words", r.Header, host, err)
		}
		for how, lines := range map[string]func(of func(entry) string) []string{
			"one proxy":           func(of func(entry) string) []string { return []string{first, second + ", " + of(alone)} },
			"one proxy, own line": func(of func(entry) string) []string { return []string{first, second, of(alone)} },
			"two proxies": func(of func(entry) string) []string {
				return []string{first, second + "," + of(outer) + " ,\t" + of(inner)}
			},
			"two proxies, own line": func(of func(entry) string) []string { return []string{first, second + "," + of(outer), of(inner)} },
		} {
			expect(how, "acme.example.com", lines)
		}
	})
}

func FuzzForwarded(f *testing.F) {
	f.Add("", "for=198.51.100.1;host=evil.net")
	f.Add(`for="`, `for="[::1]:80";host="a`)
	f.Add(`host="evil\", `, "for=10.0.0.1, for=_x, for=unknown;")
	same := func(s string) entry { return entry{s, s} } // there is one header only
	fuzzProxies(f, true, "Forwarded", "Forwarded", "X-Forwarded-For",
		same(`for="203.0.113.7:4711";host=acme.example.com`),
		same(`proto=https;host="acme.example.com";for=203.0.113.7`), same(`for="[::ffff:10.0.0.2]";host=inside.example`))
}

func FuzzXForwarded(f *testing.F) {
	f.Add("", "198.51.100.1")
	f.Add(`"`, `10.0.0.1, "x`)
	f.Add("10.0.0.1,10.0.0.1", "::ffff:10.0.0.1,,")
	fuzzProxies(f, false, "X-Forwarded-For", "X-Forwarded-Host", "Forwarded",
		entry{"203.0.113.7", "acme.example.com"}, entry{"203.0.113.7", "evil.net"}, entry{"::ffff:10.0.0.2", "acme.example.com"})
}

func TestForwardedForms(t *testing.T) {
	t.Parallel()
	proxies, err := resolver.NewProxies([]netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}, &resolver.ProxiesOptions{Standard: true})
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{
		`for=203.0.113.7;`: "203.0.113.7", `;for=203.0.113.7`: "203.0.113.7", `for="203.0.113.7:_x"`: "203.0.113.7",
		`for="[2001:db8::1]:_x"`: "2001:db8::1", `for="unknown:80"`: "invalid IP", `for=_hidden`: "invalid IP",
		`for =203.0.113.7`: "malformed", `for="203.0.113.7`: "malformed", `for=203.0.113.7;for=203.0.113.8`: "malformed",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "10.1.2.3:1"
		r.Header.Set("Forwarded", value)
		_, err := proxies.Host(r)
		if got := proxies.Client(r).String(); (want == "malformed") != (err != nil) || err == nil && got != want {
			t.Errorf("%s: got %s, %v, want %s", value, got, err, want)
		}
	}
}

// Azure's gateways write a port behind the address.
func TestForwardedForWithPort(t *testing.T) {
	t.Parallel()
	proxies, err := resolver.NewProxies([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "10.1.2.3:1"
	r.Header.Set("X-Forwarded-For", "203.0.113.7:4711")
	if got := proxies.Client(r); got != netip.MustParseAddr("203.0.113.7") {
		t.Errorf("got %v, want 203.0.113.7", got)
	}
}
