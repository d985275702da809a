package middleware_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
)

// mark is a guard that adds its name to a header.
func mark(name string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Guard", name)
			next.ServeHTTP(w, r)
		})
	}
}

var skipPatterns = []string{"/assets/", "/favicon.ico", "/a.b-c_d~e/f g/"}

func TestSkip(t *testing.T) {
	t.Parallel()
	h := tenancy.Must(middleware.Skip(skipPatterns, mark("first"), mark("second")))(&spy{})
	for target, skips := range map[string]bool{
		"/assets/app.css":                  true,
		"/assets/a/b/c.js?v=/../..%2f":     true, // a query is no path
		"/assets/.hidden":                  true,
		"/assets/..hidden":                 true,
		"/assets/a...b":                    true,
		"/assets/a%20b.png":                true, // as everybody encodes it
		"/assets/%C3%A4.png":               true,
		"/favicon.ico":                     true,
		"/a.b-c_d~e/f%20g/x":               true,
		"http://example.com/assets/app.js": true,

		"/":                          false,
		"/assets":                    false,
		"/assets/":                   false,
		"/assets/a/":                 false,
		"/assetsX/app.css":           false,
		"/Assets/app.css":            false,
		"/x/assets/app.css":          false,
		"/favicon.ico/":              false,
		"/favicon.ico/x":             false,
		"/favicon.icon":              false,
		"//assets/app.css":           false,
		"/assets//app.css":           false,
		"/assets/../admin":           false,
		"/assets/./app.css":          false,
		"/assets/..":                 false,
		"/assets/.":                  false,
		"/assets/x/../app.css":       false, // where it leads does not matter
		"/admin/../assets/app.css":   false,
		"/assets/%2e%2e/admin":       false,
		"/assets/%2E%2E/admin":       false,
		"/assets/.%2e/admin":         false,
		"/assets/..%2fadmin":         false,
		"/assets/..%2Fadmin":         false,
		"/assets%2fapp.css":          false,
		"/assets%2F..%2Fadmin":       false,
		"/%2fassets/app.css":         false,
		"/assets/a%2fb":              false,
		"/assets/..%5cadmin":         false,
		"/assets/..%5Cadmin":         false,
		"/assets/%5c..%5cadmin":      false,
		"/assets/x%5cy":              false,
		"/assets/%252e%252e/admin":   false, // for who decodes twice
		"/assets/..%252fadmin":       false,
		"/assets/%25":                false,
		"/assets/%61pp.css":          false, // needs no encoding
		"/%61ssets/app.css":          false,
		"/assets/..;/admin":          false, // for who cuts parameters off
		"/assets/app.css;x=/../":     false,
		"/assets/%00":                false,
		"/assets/app.css%00.html":    false,
		"/favicon%2eico":             false,
		"/x/..%2fassets/app.css":     false,
		"/assets/a%20b%2F..%2Fadmin": false,
	} {
		w := serveTo(h, httptest.NewRequest(http.MethodGet, target, nil))
		want := "first second"
		if skips {
			want = ""
		}
		if got := strings.Join(w.Header().Values("Guard"), " "); got != want || w.Code != 204 {
			t.Errorf("%s: got %d and the guards %q, want %q", target, w.Code, got, want)
		}
	}
	for method, skips := range map[string]bool{"GET": true, "HEAD": true, "POST": false, "PUT": false, "DELETE": false, "OPTIONS": false, "get": false, "": false} {
		r := httptest.NewRequest(http.MethodGet, "/assets/app.css", nil)
		r.Method = method
		if got := serveTo(h, r).Header().Get("Guard") == ""; got != skips {
			t.Errorf("%s: got skipped %t, want %t", method, got, skips)
		}
	}
	for _, odd := range []string{`/assets/a\b`, `/assets/\..\admin`, "assets/app.css", ""} { // as some handlers rewrite it
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path = odd
		if got := serveTo(h, r).Header().Get("Guard"); got == "" {
			t.Errorf("%s: got skipped", odd)
		}
	}
}

// Behind a prefix that names the tenant the path is the handler's own.
func TestSkipBehindAPrefix(t *testing.T) {
	t.Parallel()
	find := newFinder(newTenant("acme", tenancy.StatusActive))
	h := tenancy.Must(middleware.Tenant(find, byPath, quiet))(tenancy.Must(middleware.Skip([]string{"/assets/"}, mark("guard")))(&spy{}))
	for target, skips := range map[string]bool{
		"/t/acme/assets/app.css": true, "/t/acme/x": false, "/t/acme/assets%2fx": false, "/t/acme/assets/a%2fx": false,
	} {
		w := serveTo(h, httptest.NewRequest(http.MethodGet, target, nil))
		if got := w.Header().Get("Guard") == ""; got != skips || w.Code != 204 {
			t.Errorf("%s: got %d, skipped %t, want %t", target, w.Code, got, skips)
		}
	}
}

func TestSkipWithoutPatterns(t *testing.T) {
	t.Parallel()
	patterns := []string{"/assets/"}
	h := tenancy.Must(middleware.Skip(patterns, mark("guard")))(&spy{})
	patterns[0] = "/other/"
	if got := serveTo(h, from("192.0.2.1:80", "/assets/x")).Header().Get("Guard"); got != "" {
		t.Error("got a guard for a pattern that was changed later")
	}
	for _, target := range []string{"/", "/assets/x"} {
		if got := serveTo(tenancy.Must(middleware.Skip(nil, mark("guard")))(&spy{}), from("192.0.2.1:80", target)).Header().Get("Guard"); got == "" {
			t.Errorf("%s: got skipped", target)
		}
		if w := serveTo(tenancy.Must(middleware.Skip(patterns))(&spy{}), from("192.0.2.1:80", target)); w.Code != 204 {
			t.Errorf("%s: got %d without guards", target, w.Code)
		}
	}
}

func TestSkipRefusesPatterns(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{
		"", "/", "//", "assets/", "*", "/assets//", "/assets/../", "/../", "/./", "/a/./b", "/assets%2f", `/assets\`, "/assets/{name}", "/a;b", "GET /assets/", "/a\x00",
	} {
		if m, err := middleware.Skip([]string{"/ok", pattern}); m != nil || !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid and no middleware", pattern, err)
		}
	}
}

// However a path is written: what skips the guards is below a pattern for everybody,
// decoded and cleaned any number of times.
func FuzzSkip(f *testing.F) {
	for _, seed := range []string{"/assets/x", "/assets/%2e%2e/x", "/assets/..%252f", "/favicon.ico", `/assets/\`, "/assets/a;b", "//assets/"} {
		f.Add(seed)
	}
	h := tenancy.Must(middleware.Skip(skipPatterns, mark("guard")))(&spy{})
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}})
		if w.Header().Get("Guard") != "" {
			return
		}
		for p := range map[string]bool{u.Path: true, u.EscapedPath(): true, u.RequestURI(): true} {
			p, _, _ = strings.Cut(p, "?")
			for range 4 {
				clean := path.Clean("/" + strings.ReplaceAll(p, `\`, "/"))
				if !strings.HasPrefix(clean+"/", "/assets/") && clean != "/favicon.ico" && !strings.HasPrefix(clean+"/", "/a.b-c_d~e/f g/") &&
					!strings.HasPrefix(clean, "/a.b-c_d~e/f%20g/") {
					t.Fatalf("%q skips the guards, and is %q for some", target, clean)
				}
				if p, err = url.PathUnescape(p); err != nil {
					break
				}
			}
		}
	})
}
