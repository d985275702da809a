package middleware_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

// noEditor is the editor of a gate that changes nothing.
type noEditor struct{}

func (noEditor) Edit(context.Context, tenancy.ID, func(*tenancy.Tenant) error) (*tenancy.Tenant, error) {
	return nil, tenancy.ErrInvalid
}

// wrapping is a middleware that gives the handler a request of its own.
type wrapping struct {
	name   string
	wrap   func(http.Handler) http.Handler
	method string
	url    string
}

// copying returns every middleware of the library that does, each as it is used.
func copying(t *testing.T) []wrapping {
	t.Helper()
	acme, readOnly := newTenant("acme", tenancy.StatusActive), newTenant("frozen", tenancy.StatusActive)
	readOnly.Access.Maintenance = &tenancy.Maintenance{Mode: tenancy.MaintenanceReadOnly, Generation: "1"}
	find := newFinder(acme, readOnly)
	gate, err := maintenance.NewGate(noEditor{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	anybody := middleware.AuthenticatorFunc(func(_ *http.Request, t *tenancy.Tenant) (*middleware.Principal, error) {
		return &middleware.Principal{Tenant: t.ID, ID: "1"}, nil
	})
	tenant := tenancy.Must(middleware.Tenant(find, resolver.First(bySubdomain, byPath), quiet))
	authenticate := tenancy.Must(middleware.Authenticate(anybody, quiet))
	webSocket := func(h http.Handler) http.Handler {
		bearer := middleware.WebSocketBearer(quiet)(h)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Upgrade", "websocket") // here, because HTTP/2 has no such header
			r.Header.Set("Sec-Websocket-Protocol", "chat, tenancy.bearer.x")
			bearer.ServeHTTP(w, r)
		})
	}
	return []wrapping{
		{"RequestID", middleware.RequestID(nil), http.MethodPost, "http://example.com/notes/7"},
		{"WebSocketBearer", webSocket, http.MethodGet, "http://example.com/notes/7"},
		{"Tenant", tenant, http.MethodPost, "http://acme.example.com/notes/7"},
		{"Tenant, path", tenant, http.MethodPost, "http://example.com/t/acme/notes/7"},
		{"Optional, no tenant", tenancy.Must(middleware.Optional(find, bySubdomain, quiet)), http.MethodPost, "http://example.com/notes/7"},
		{"Authenticate", func(h http.Handler) http.Handler { return tenant(authenticate(h)) }, http.MethodPost, "http://acme.example.com/notes/7"},
		{"Standard", tenancy.Must(middleware.Standard(find, bySubdomain, &middleware.StandardOptions{Options: *quiet, Authenticate: anybody})), http.MethodPost, "http://acme.example.com/notes/7"},
		{"read-only", func(h http.Handler) http.Handler { return tenant(gate.Guard(h)) }, http.MethodGet, "http://frozen.example.com/notes/7"},
	}
}

// upload returns a request with a field and a file.
func upload(t *testing.T, method, url string) *http.Request {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	if err := form.WriteField("field", "value"); err != nil {
		t.Fatal(err)
	}
	file, err := form.CreateFormFile("file", "notes.txt")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(file, strings.Repeat("x", 100_000))
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(method, url, &body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", form.FormDataContentType())
	return r
}

// takesUploads is a handler that has the file written to a temporary one.
func takesUploads(after func(w http.ResponseWriter)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/notes/{id}", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1); err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		after(w)
	})
	return mux
}

// Not parallel: it counts the temporary files.
func TestUploadsAreRemovedAfterTheRequest(t *testing.T) {
	for _, each := range copying(t) {
		for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
			for name, after := range map[string]func(http.ResponseWriter){
				"answered":    func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
				"interrupted": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
			} {
				t.Run(each.name+", "+proto+", "+name, func(t *testing.T) {
					dir := t.TempDir()
					t.Setenv("TMPDIR", dir)
					seen := 0
					handler := takesUploads(func(w http.ResponseWriter) {
						seen = len(files(t, dir))
						after(w)
					})
					recovering := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						defer func() {
							if recover() != nil { // as many services have in front
								w.WriteHeader(http.StatusNoContent)
							}
						}()
						each.wrap(handler).ServeHTTP(w, r)
					})
					srv := httptest.NewUnstartedServer(recovering)
					srv.EnableHTTP2 = proto == "HTTP/2.0"
					srv.StartTLS()
					defer srv.Close()
					r := upload(t, each.method, each.url)
					r.Host = r.URL.Host
					r.URL.Scheme, r.URL.Host = "https", srv.Listener.Addr().String()
					res, err := srv.Client().Do(r)
					if err != nil {
						t.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, res.Body)
					res.Body.Close()
					srv.Close() // waits for the request to end
					if res.StatusCode != http.StatusNoContent || res.Proto != proto || seen != 1 {
						t.Fatalf("got status %d of %s and %d temporary files, want 204 of %s and one", res.StatusCode, res.Proto, seen, proto)
					}
					if left := files(t, dir); len(left) > 0 {
						t.Errorf("got %q after the request, want no file", left)
					}
				})
			}
		}
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Error(err)
	}
	return found
}

// What stands in front, such as a log or a tracer, sees what net/http and a ServeMux
// wrote into the request, and neither the handler's context nor its path.
func TestThoseInFrontSeeWhatWasWrittenIntoTheRequest(t *testing.T) {
	t.Parallel()
	for _, each := range copying(t) {
		t.Run(each.name, func(t *testing.T) {
			t.Parallel()
			r := upload(t, each.method, each.url)
			r.Host = r.URL.Host
			ctx, path := r.Context(), r.URL.Path
			w := httptest.NewRecorder()
			each.wrap(takesUploads(func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) })).ServeHTTP(w, r)
			if w.Code != http.StatusNoContent {
				t.Fatalf("got status %d: %s", w.Code, w.Body)
			}
			if r.Pattern != "/notes/{id}" || r.PathValue("id") != "7" {
				t.Errorf("got the pattern %q with the ID %q, want /notes/{id} with 7", r.Pattern, r.PathValue("id"))
			}
			if r.MultipartForm == nil || len(r.MultipartForm.File["file"]) != 1 {
				t.Errorf("got the form %v, want one with a file", r.MultipartForm)
			} else if err := r.MultipartForm.RemoveAll(); err != nil {
				t.Error(err)
			}
			if r.Form.Get("field") != "value" || r.PostForm.Get("field") != "value" {
				t.Errorf("got the forms %v and %v, want the field", r.Form, r.PostForm)
			}
			if r.Context() != ctx || r.URL.Path != path {
				t.Errorf("got the path %q, want the context and the path of before", r.URL.Path)
			}
		})
	}
}

// net/http writes trailers that were not announced into the request that it made.
func TestHandlersSeeTrailers(t *testing.T) {
	t.Parallel()
	for _, each := range copying(t) {
		t.Run(each.name, func(t *testing.T) {
			t.Parallel()
			send := serve(t, each.wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				fmt.Fprintln(w, r.Trailer.Get("Checksum"))
			})))
			host, path, _ := strings.Cut(strings.TrimPrefix(each.url, "http://"), "/")
			_, from := send(each.method + " /" + path + " HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nChecksum: abc\r\n\r\n")
			res, err := http.ReadResponse(from, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body, err := io.ReadAll(res.Body); string(body) != "abc\n" {
				t.Errorf("got the trailer %q, %v, want abc", body, err)
			}
		})
	}
}
