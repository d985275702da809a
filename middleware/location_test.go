package middleware_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

// A redirect that a handler makes leads to where the handler meant: it does not know
// of the prefix, and the client does.
func TestRedirectsStayBehindThePrefix(t *testing.T) {
	t.Parallel()
	find := newFinder(newTenant("acme", tenancy.StatusActive))
	redirect := func(to string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusSeeOther) })
	}
	locate := func(w http.ResponseWriter, to string) {
		w.Header().Set("Location", to)
		w.Header().Set("Content-Location", to)
	}
	set := func(to string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			locate(w, to)
			w.WriteHeader(http.StatusCreated)
		})
	}
	implicit := func(to string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			locate(w, to)
			fmt.Fprint(w, "x")
		})
	}
	flushed := func(to string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			locate(w, to)
			_ = http.NewResponseController(w).Flush()
			fmt.Fprint(w, "x")
		})
	}
	copied := func(to string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			locate(w, to)
			_, _ = io.Copy(w, strings.NewReader("x"))
		})
	}
	nothing := func(to string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { locate(w, to) })
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/assets/", func(http.ResponseWriter, *http.Request) {})
	files := http.FileServer(http.Dir("testdata"))
	for _, tt := range []struct {
		name    string
		handler http.Handler
		path    string // behind the prefix
		want    string // behind the prefix, or all of it if it does not begin with a slash
	}{
		{"relative", redirect("edit"), "/notes/7", "/notes/edit"},
		{"relative, at the root", redirect("edit"), "/", "/edit"},
		{"relative, at the prefix itself", redirect("edit"), "", "/edit"},
		{"absolute path", redirect("/notes"), "/notes/7", "/notes"},
		{"up", redirect("../x"), "/a/b/c", "/a/x"},
		{"too far up", redirect("../../../x"), "/a", "/x"},
		{"with a query", redirect("/notes?next=/a/../b#c"), "/", "/notes?next=/a/../b#c"},
		{"the root", redirect("/"), "/x", "/"},
		{"with the prefix, as PathPrefix has it", redirect("/t/acme/notes"), "/x", "/notes"},
		{"the prefix itself", redirect("/t/acme"), "/x", ""},
		{"like the prefix", redirect("/t/acme2"), "/x", "/t/acme2"},
		{"a URL", redirect("https://example.com/login"), "/x", "https://example.com/login"},
		{"another host", redirect("//example.com/login"), "/x", "//example.com/login"},
		{"of another kind", redirect("mailto:x@example.com"), "/x", "mailto:x@example.com"},
		{"created", set("/notes/8"), "/notes", "/notes/8"},
		{"set, relative", set("8"), "/notes/", "/notes/8"},
		{"set, relative to the prefix", set("edit"), "", "/edit"},
		{"set, a query", set("?page=2"), "/notes", "/notes?page=2"},
		{"set, dots", set("/../../globex/x"), "/x", "/globex/x"},
		{"set, relative dots", set("../../globex/x"), "/x", "/globex/x"},
		{"set, encoded dots", set("/%2e%2e/%2E%2e/globex"), "/x", "/globex"},
		{"set, the prefix and dots", set("/t/acme/../globex"), "/x", "/t/globex"},
		{"set, odd slashes", set(`/\example.com`), "/x", `/\example.com`},
		{"set, backslashes and dots", set(`/..\globex\x`), "/x", "/globex/x"},
		{"set, encoded backslashes and dots", set(`/a%5C..%5c%2e%2e%5Cglobex`), "/x", "/globex"},
		{"set, relative backslashes and dots", set(`..\..\globex/x?a=..\b`), "/x", `/globex/x?a=..\b`},
		{"set, a backslash without dots", set(`/a\b`), "/x", `/a\b`},
		{"set, dots with a tab between", set("/.\t./.\t./globex"), "/x", "/globex"},
		{"set, relative dots with a tab between", set(".\t./.\t./globex"), "/x", "/globex"},
		{"set, dots with a line break between", set("/.\r\n./globex"), "/x", "/globex"},
		{"set, dots behind a space", set(" /../globex"), "/x", "/globex"},
		{"set, dots behind a control character", set("\x01/../globex"), "/x", "/globex"},
		{"set, another host behind a tab", set("/\t/example.com"), "/x", "/example.com"},
		{"set, malformed and rooted", set("/%zz/a"), "/x", "/%25zz/a"},
		{"set, malformed, rooted and dots", set("/%zz/../t/globex/x"), "/x", "/t/globex/x"},
		{"set, malformed and relative dots", set("../../globex/%zz"), "/x", "/globex/%25zz"},
		{"set, a malformed fragment", set("/../globex#%zz"), "/x", "/globex#%25zz"},
		{"set, a control character", set("/../globex\x7f"), "/x", "/globex%7F"},
		{"set, a colon that ends no scheme", set("1:/../../../globex"), "/x", "/globex"},
		{"set, a malformed URL", set("https://example.com/%zz"), "/x", "https://example.com/%zz"},
		{"set, another host, malformed", set("//example.com:x/"), "/x", "//example.com:x/"},
		{"set, encoded", set("/a%20b/%E2%82%AC"), "/x", "/a%20b/%E2%82%AC"},
		{"set, a dot in front", set("/.well-known/a%2Fb"), "/x", "/.well-known/a%2Fb"},
		{"set, malformed", set("%zz"), "/x", "/%25zz"},
		{"set, none", set(""), "/x", "none"},
		{"by Write", implicit("/notes"), "/x", "/notes"},
		{"by Flush", flushed("/notes"), "/x", "/notes"},
		{"by Copy", copied("/notes"), "/x", "/notes"},
		{"by nothing", nothing("/notes"), "/x", "/notes"},
		{"of ServeMux", mux, "/assets", "/assets/"},
		{"of a file server", files, "/index.html", "/"},
	} {
		for _, by := range []struct {
			resolver resolver.Resolver
			prefix   string
		}{{byPath, "/t/acme"}, {tenancy.Must(resolver.NewPath("/", nil)), "/acme"}} {
			if strings.Contains(tt.name, "prefix") && by.prefix != "/t/acme" {
				continue
			}
			send := serve(t, tenancy.Must(middleware.Tenant(find, by.resolver, quiet))(tt.handler))
			_, from := send("GET " + by.prefix + tt.path + " HTTP/1.1\r\nHost: example.com\r\n\r\n")
			res, err := http.ReadResponse(from, nil)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			want := tt.want
			if tt.want == "" || tt.want[0] == '/' && !strings.HasPrefix(tt.want, "//") {
				want = by.prefix + tt.want
			}
			if got := res.Header.Get("Location"); got != want && (want != "none" || got != "") {
				t.Errorf("%s, behind %s: got %q, want %q", tt.name, by.prefix, got, want)
			}
			if got := res.Header.Get("Content-Location"); got != "" && got != want {
				t.Errorf("%s, behind %s: got the Content-Location %q, want %q", tt.name, by.prefix, got, want)
			}
		}
	}
}

// Without a prefix nothing is rewritten.
func TestRedirectsWithoutAPrefix(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	tenancy.Must(middleware.Tenant(newFinder(newTenant("acme", tenancy.StatusActive)), bySubdomain, quiet))(http.RedirectHandler("/notes", http.StatusSeeOther)).
		ServeHTTP(w, get("http://acme.example.com/x"))
	if got := w.Header().Get("Location"); got != "/notes" {
		t.Errorf("got %q, want /notes", got)
	}
}

// Behind a prefix the writer can do what the server's can.
func TestWriterBehindAPrefix(t *testing.T) {
	t.Parallel()
	find := newFinder(newTenant("acme", tenancy.StatusActive))
	for proto, abilities := range map[string]func(w http.ResponseWriter) bool{
		"HTTP/1.1": func(w http.ResponseWriter) bool {
			_, flushes := w.(http.Flusher)
			_, hijacks := w.(http.Hijacker)
			_, reads := w.(io.ReaderFrom)
			_, pushes := w.(http.Pusher)
			return flushes && hijacks && reads && !pushes
		},
		"HTTP/2.0": func(w http.ResponseWriter) bool {
			_, flushes := w.(http.Flusher)
			_, hijacks := w.(http.Hijacker)
			_, pushes := w.(http.Pusher)
			return flushes && !hijacks && pushes
		},
	} {
		srv := httptest.NewUnstartedServer(tenancy.Must(middleware.Tenant(find, byPath, quiet))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, abilities(w), http.NewResponseController(w).Flush())
		})))
		srv.EnableHTTP2 = proto == "HTTP/2.0"
		srv.StartTLS()
		res, err := srv.Client().Get(srv.URL + "/t/acme/")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		srv.Close()
		if string(body) != "true <nil>" || res.Proto != proto {
			t.Errorf("%s: got %q, want the server's abilities", proto, body)
		}
	}
	// One that can nothing.
	bare := &writer{httptest.NewRecorder()}
	tenancy.Must(middleware.Tenant(find, byPath, quiet))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, ok := w.(http.Flusher); ok {
			t.Error("got a Flusher, want none")
		}
		if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("got %v, want ErrNotSupported", err)
		}
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("got %v, want ErrNotSupported", err)
		}
	})).ServeHTTP(bare, get("/t/acme"))
}

// wrapped is a writer of another middleware that flushes and hijacks, and can nothing else.
type wrapped struct {
	*httptest.ResponseRecorder

	hijacked bool
}

func (w *wrapped) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.hijacked = true
	return nil, nil, errors.New("no connection")
}

// wrapper hides the methods of a recorder that no server's writer has.
type wrapper struct {
	http.ResponseWriter
	http.Flusher
	http.Hijacker
}

// Behind a prefix and another middleware's writer, a handler still finds the Hijacker, as libraries for websockets
// look for it.
func TestHijackBehindAPrefixAndAWrapper(t *testing.T) {
	t.Parallel()
	w := &wrapped{ResponseRecorder: httptest.NewRecorder()}
	tenancy.Must(middleware.Tenant(newFinder(newTenant("acme", tenancy.StatusActive)), byPath, quiet))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, ok := w.(http.Flusher); !ok {
			t.Errorf("got a %T, want a Flusher", w)
		}
		if _, ok := w.(io.ReaderFrom); ok {
			t.Errorf("got a %T, want no ReaderFrom", w)
		}
		if hijacker, ok := w.(http.Hijacker); ok {
			_, _, _ = hijacker.Hijack()
		}
	})).ServeHTTP(wrapper{w, w, w}, get("/t/acme/"))
	if !w.hijacked {
		t.Error("the handler found no Hijacker")
	}
}

func TestHijackBehindAPrefix(t *testing.T) {
	t.Parallel()
	send := serve(t, tenancy.Must(middleware.Tenant(newFinder(newTenant("acme", tenancy.StatusActive)), byPath, quiet))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hijacker, ok := w.(http.Hijacker)
		if !ok {
			t.Errorf("got a %T, want a Hijacker", w)
			return
		}
		conn, rw, err := hijacker.Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "raw\n")
		_ = rw.Flush()
	})))
	_, from := send("GET /t/acme/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
	wantLine(t, bufio.NewReader(from), "raw")
}
