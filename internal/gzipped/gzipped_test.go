package gzipped_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/artflow-studio/tenancy/internal/gzipped"
)

func TestAccepted(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		"gzip": true, "br, GZIP;q=0.5": true, "gzip; q=0": false, "gzip;q=0.0": false, "br": false, "": false, "xgzip": false,
	} {
		if got := gzipped.Accepted(http.Header{"Accept-Encoding": {header}}); got != want {
			t.Errorf("%q: got %t, want %t", header, got, want)
		}
	}
}

// What is written is what the client reads, whether or not it was compressed on the way.
func TestWrite(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte("tenant "), 10_000)
	for _, c := range []struct {
		accepts string
		body    []byte
		coding  string
	}{{"gzip", long, "gzip"}, {"gzip", long, "gzip"}, {"gzip", []byte("short"), ""}, {"", long, ""}, {"br", long, ""}} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header.Set("Accept-Encoding", c.accepts)
		w := httptest.NewRecorder()
		if err := gzipped.Write(w, r, http.StatusAccepted, c.body); err != nil {
			t.Fatal(err)
		}
		res := w.Result()
		var from io.Reader = res.Body
		if c.coding != "" {
			if w.Body.Len() > len(c.body)/10 {
				t.Errorf("got %d bytes of %d, want a tenth", w.Body.Len(), len(c.body))
			}
			z, err := gzip.NewReader(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			from = z
		}
		got, err := io.ReadAll(from)
		if err != nil || !bytes.Equal(got, c.body) || res.StatusCode != http.StatusAccepted || res.Header.Get("Content-Encoding") != c.coding || res.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q, %d bytes: got %d %v, %d bytes, %v", c.accepts, len(c.body), res.StatusCode, res.Header, len(got), err)
		}
	}
}
