package request_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/artflow-studio/tenancy/internal/request"
)

func TestServeGivesBackTheValuesOfThePath(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, url string
		want         map[string]string
	}{
		{"/{$}", "/", map[string]string{"$": ""}},
		{"/notes/", "/notes/7", map[string]string{"": ""}},
		{"GET /notes/{id}", "/notes/7", map[string]string{"id": "7"}},
		{"example.com/{a}/{b}/{rest...}", "/1/2/3/4", map[string]string{"a": "1", "b": "2", "rest": "3/4"}},
		{"/files/{path...}", "/files/", map[string]string{"path": ""}},
	} {
		mux := http.NewServeMux()
		var saw map[string]string
		mux.HandleFunc(tt.pattern, func(_ http.ResponseWriter, r *http.Request) { saw = values(r, tt.want) })
		r := httptest.NewRequest(http.MethodGet, "http://example.com/x"+tt.url, nil)
		before := *r.URL
		request.Serve(t.Context(), mux, httptest.NewRecorder(), r, &url.URL{Path: tt.url})
		if diff := cmp.Diff(tt.want, saw); diff != "" {
			t.Errorf("%s: the handler saw (-want +got):\n%s", tt.pattern, diff)
		}
		if diff := cmp.Diff(tt.want, values(r, tt.want)); diff != "" || r.Pattern != tt.pattern {
			t.Errorf("%s: those in front see the pattern %q and (-want +got):\n%s", tt.pattern, r.Pattern, diff)
		}
		if *r.URL != before {
			t.Errorf("%s: got the URL %v, want %v", tt.pattern, r.URL, &before)
		}
	}
}

func values(r *http.Request, of map[string]string) map[string]string {
	got := maps.Clone(of)
	for name := range got {
		got[name] = r.PathValue(name)
	}
	return got
}

// A mux in front of the copy, and one behind it: the last pattern counts, as it does
// without a copy.
func TestServeBetweenTwoMuxes(t *testing.T) {
	t.Parallel()
	inner, outer := http.NewServeMux(), http.NewServeMux()
	inner.HandleFunc("/{tenant}/notes/{id}", func(http.ResponseWriter, *http.Request) {})
	outer.HandleFunc("/{tenant}/", func(w http.ResponseWriter, r *http.Request) { request.Serve(t.Context(), inner, w, r, nil) })
	r := httptest.NewRequest(http.MethodGet, "/acme/notes/7", nil)
	outer.ServeHTTP(httptest.NewRecorder(), r)
	if r.Pattern != "/{tenant}/notes/{id}" || r.PathValue("id") != "7" || r.PathValue("tenant") != "acme" {
		t.Errorf("got %q with the ID %q and the tenant %q", r.Pattern, r.PathValue("id"), r.PathValue("tenant"))
	}
}

// Other routers write patterns and values of their own.
func TestServeBehindAnotherRouter(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/notes/7", nil)
	request.Serve(t.Context(), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		r.Pattern = "/notes/{id:[0-9]+}"
		r.SetPathValue("id", "7")
	}), httptest.NewRecorder(), r, nil)
	if r.PathValue("id") != "7" {
		t.Errorf("got the ID %q, want 7", r.PathValue("id"))
	}
}

// Others may read the request while the handler runs, as they may without a copy: the
// race detector looks.
func TestServeWritesNothingThatWasNotWritten(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPost, "/notes", nil)
	read, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		<-read
		_, _, _, _ = r.Form, r.MultipartForm, r.Pattern, r.Context()
	}()
	request.Serve(t.Context(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(read) }), httptest.NewRecorder(), r, nil)
	<-done
	if r.Form != nil || r.MultipartForm != nil || r.Pattern != "" {
		t.Errorf("got the form %v and the pattern %q, want what the caller sent", r.Form, r.Pattern)
	}
}

func FuzzPattern(f *testing.F) {
	for _, pattern := range []string{"", "/{a}", "{", "}{", "{{a}}", "/{a...}/{", "/{:}", "/{$}"} {
		f.Add(pattern)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		request.Serve(t.Context(), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { r.Pattern = pattern }), httptest.NewRecorder(), r, nil)
		if r.Pattern != pattern {
			t.Errorf("got %q, want %q", r.Pattern, pattern)
		}
	})
}
