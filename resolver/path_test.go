package resolver_test

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/resolver"
)

func TestPath(t *testing.T) {
	t.Parallel()
	unresolved, invalid := tenancy.ErrUnresolved, tenancy.ErrInvalid
	at := func(prefix string, m resolver.Match) resolver.Match {
		m.Prefix = prefix + m.Ref.Value
		return m
	}
	long := strings.Repeat("a", 10<<10)
	type tc struct {
		target string
		want   resolver.Match
		err    error
	}
	for _, tt := range []struct {
		prefix string
		kind   tenancy.RefKind
		cases  []tc
	}{
		{"/t/", 0, []tc{
			{"/t/acme", at("/t/", slug("acme")), nil},
			{"/t/acme/", at("/t/", slug("acme")), nil},
			{"/t/acme/notes/7?x=/../y", at("/t/", slug("acme")), nil},
			{"/t/acme//notes", none, invalid},
			{"/t/acme/a%2Fb", at("/t/", slug("acme")), nil},
			{"/t/acme/a%20b%00", at("/t/", slug("acme")), nil},
			{"/t/acme/.well-known/..x", at("/t/", slug("acme")), nil},
			{"http://other.example/t/acme", at("/t/", slug("acme")), nil},
			{"/", none, unresolved},
			{"/t", none, unresolved},
			{"/t/", none, unresolved},
			{"/t/?acme", none, unresolved},
			{"/T/acme", none, unresolved},
			{"/tt/acme", none, unresolved},
			{"//t/acme", none, unresolved},
			{"/x/t/acme", none, unresolved},
			{"/x/../t/acme", none, unresolved},
			{"/./t/acme", none, unresolved},
			{"/%74/acme", none, invalid},
			{"/t%2Facme", none, invalid},
			{"/t//x", none, invalid},
			{"/t//", none, invalid},
			{"/t/%61cme", none, invalid},
			{"/t/acme%2Fx", none, invalid},
			{"/t/acme%2fx/y", none, invalid},
			{"/t/%2Facme", none, invalid},
			{"/t/acme%00", none, invalid},
			{"/t/acme%20", none, invalid},
			{"/t/acme;x=1/y", none, invalid},
			{"/t/ACME", none, invalid},
			{"/t/a_b", none, invalid},
			{"/t/%C3%A9", none, invalid},
			{"/t/acme.json", none, invalid},
			{"/t/.", none, invalid},
			{"/t/..", none, invalid},
			{"/t/../acme", none, invalid},
			{"/t/%2e%2e/acme", none, invalid},
			{"/t/acme/.", none, invalid},
			{"/t/acme/..", none, invalid},
			{"/t/acme/../umbrella/x", none, invalid},
			{"/t/acme/x/../../umbrella", none, invalid},
			{"/t/acme/%2e%2e/umbrella", none, invalid},
			{"/t/acme/.%2E/umbrella", none, invalid},
			{"/t/acme/%2e/x", none, invalid},
			{"/t/acme/..%2fumbrella", none, invalid},
			{"/t/acme/x%2F..%2F..%2Fumbrella", none, invalid},
			{`/t/acme/..\umbrella`, none, invalid},
			{"/t/acme/x/..%5c..%5Cumbrella", none, invalid},
			{`/t/acme/a\b`, at("/t/", slug("acme")), nil},
			{"/t/" + long, none, invalid},
			{"/t/acme/" + long, at("/t/", slug("acme")), nil},
		}},
		{"/", 0, []tc{
			{"/acme", at("/", slug("acme")), nil},
			{"/acme/t/umbrella", at("/", slug("acme")), nil},
			{"/", none, unresolved},
			{"//acme", none, invalid},
			{"/favicon.ico", none, invalid},
		}},
		{"/Team-1_x/", 0, []tc{
			{"/Team-1_x/acme", at("/Team-1_x/", slug("acme")), nil},
			{"/team-1_x/acme", none, unresolved},
		}},
		{"/api/v1.2/~t/", tenancy.RefID, []tc{
			{"/api/v1.2/~t/a_b/x", at("/api/v1.2/~t/", id("a_b")), nil},
			{"/api/v1.2/~t/a.b", none, invalid},
			{"/api/v1.2/~t", none, unresolved},
			{"/api/v1x2/~t/a_b", none, unresolved},
		}},
	} {
		by := tenancy.Must(resolver.NewPath(tt.prefix, &resolver.PathOptions{Kind: tt.kind}))
		for _, c := range tt.cases {
			check(t, by, get(c.target), c.want, c.err)
		}
	}
	check(t, tenancy.Must(resolver.NewPath("/", nil)), &http.Request{Method: http.MethodOptions, URL: &url.URL{Path: "*"}}, none, unresolved)
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{
		"/t/acme", "/t/acme/notes?x", "/t", "/t//x", "/T/acme", "/t/%61cme", "/t/acme%2Fx", "/t/acme/..%2fx", "/t/acme/%2e%2e/x", "/t/a_b/",
		"/t/./acme", "/t/acme/a%20b", "//t/acme", "http://x/t/acme", "/t/acme/%252e%252e/x", "/t/acme/\\..\\x", "*",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target) // as the server does
		if err != nil {
			t.Skip()
		}
		for prefix, kind := range map[string]tenancy.RefKind{"/t/": tenancy.RefSlug, "/": tenancy.RefID} {
			m, err := tenancy.Must(resolver.NewPath(prefix, &resolver.PathOptions{Kind: kind})).Resolve(&http.Request{URL: u})
			sane(t, m, err)
			if err != nil {
				refused(t, err)
				continue
			}
			if m.Ref.Kind != kind || m.Prefix != prefix+m.Ref.Value {
				t.Fatalf("%q: got %v, want the prefix %s and the value", target, m, prefix)
			}
			// Whoever reads the path encoded, decoded or cleaned comes to the same tenant.
			for _, p := range []string{u.Path, u.EscapedPath(), path.Clean(u.Path), path.Clean(u.EscapedPath()), u.JoinPath().Path} {
				if !strings.HasPrefix(p+"/", m.Prefix+"/") {
					t.Fatalf("%q: got the prefix %q, want one of %q", target, m.Prefix, p)
				}
			}
		}
	})
}

func BenchmarkPath(b *testing.B) {
	r := get("/t/acme/notes/7")
	by := tenancy.Must(resolver.NewPath("/t/", nil))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := by.Resolve(r); err != nil {
			b.Fatal(err)
		}
	}
}

// An encoding that is not that of the path, as a handler before may leave it,
// does not count.
func TestPathStaleEncoding(t *testing.T) {
	t.Parallel()
	p := tenancy.Must(resolver.NewPath("/t/", nil))
	r := get("/t/acme/x")
	r.URL.RawPath = "/t/umbrella/x"
	m, err := p.Resolve(r)
	if err != nil || m.Ref.Value != "acme" {
		t.Errorf("got %+v, %v, want acme", m, err)
	}
}
