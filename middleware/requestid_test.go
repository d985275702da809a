package middleware_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

func proxiesOf(t *testing.T, prefix string) *resolver.Proxies {
	t.Helper()
	p, err := resolver.NewProxies([]netip.Prefix{netip.MustParsePrefix(prefix)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 128)
	for what, tt := range map[string]struct {
		peer string
		sent []string
		kept bool
	}{
		"from a proxy":      {"192.0.2.1:1", []string{"req-1_A.b:c+d/e="}, true},
		"longest":           {"192.0.2.1:1", []string{long}, true},
		"from a client":     {"198.51.100.1:1", []string{"req-1"}, false},
		"none":              {"192.0.2.1:1", nil, false},
		"empty":             {"192.0.2.1:1", []string{""}, false},
		"two":               {"192.0.2.1:1", []string{"a", "b"}, false},
		"too long":          {"192.0.2.1:1", []string{long + "a"}, false},
		"with a space":      {"192.0.2.1:1", []string{"a b"}, false},
		"with a line break": {"192.0.2.1:1", []string{"a\nb"}, false},
		"not ASCII":         {"192.0.2.1:1", []string{"é"}, false},
		"no address":        {"@", []string{"req-1"}, false},
	} {
		var got tenancy.RequestInfo
		h := middleware.RequestID(&middleware.RequestIDOptions{Proxies: proxiesOf(t, "192.0.2.0/24")})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got, _ = tenancy.RequestFrom(r.Context())
		}))
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.RemoteAddr = tt.peer
		r.Header["X-Request-Id"] = tt.sent
		r.Header.Set("User-Agent", "curl")
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if kept := len(tt.sent) == 1 && got.ID == tt.sent[0]; kept != tt.kept {
			t.Errorf("%s: got the ID %q, kept %v, want %v", what, got.ID, kept, tt.kept)
		}
		if got.ID == "" || w.Header().Get("X-Request-Id") != got.ID || got.UserAgent != "curl" {
			t.Errorf("%s: got %+v and the header %q", what, got, w.Header().Get("X-Request-Id"))
		}
		want := netip.MustParseAddr("203.0.113.9") // what the proxy says
		switch tt.peer {
		case "198.51.100.1:1":
			want = netip.MustParseAddr("198.51.100.1")
		case "@":
			want = netip.Addr{}
		}
		if got.Address != want {
			t.Errorf("%s: got the address %v, want %v", what, got.Address, want)
		}
	}
}

func TestRequestIDOptions(t *testing.T) {
	t.Parallel()
	var inner, outer string
	see := func(id *string, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			info, _ := tenancy.RequestFrom(r.Context())
			*id = info.ID
			if next != nil {
				next.ServeHTTP(w, r)
			}
		})
	}
	one := middleware.RequestID(nil)
	other := middleware.RequestID(&middleware.RequestIDOptions{Header: "correlation-id"})
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("X-Request-Id", "sent")
	one(see(&outer, other(see(&inner, nil)))).ServeHTTP(w, r)
	if outer != inner || outer == "sent" || outer == "" || w.Header().Get("Correlation-Id") != "" {
		t.Errorf("one in the other: got %q and %q, want one ID of its own", outer, inner)
	}
	w = httptest.NewRecorder()
	other(see(&inner, nil)).ServeHTTP(w, r)
	if inner == outer || w.Header().Get("Correlation-Id") != inner || w.Header().Get("X-Request-Id") != "" {
		t.Errorf("another header: got %v", w.Header())
	}
}

// The chain's refusals show the request's ID to the client and in the log, and
// handlers find it.
func TestStandardHasRequestID(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var served tenancy.RequestInfo
	opts := &middleware.StandardOptions{
		Options: middleware.Options{Logger: slog.New(tenancy.NewLogHandler(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))},
		Proxies: proxiesOf(t, "192.0.2.0/24"), Optional: true,
	}
	h := tenancy.Must(middleware.Standard(newFinder(newTenant("acme", tenancy.StatusActive), newTenant("asleep", tenancy.StatusSuspended)), bySubdomain, opts))(
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { served, _ = tenancy.RequestFrom(r.Context()) }))
	get := func(host string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "http://"+host+"/", http.NoBody)
		r.Header.Set("X-Request-Id", "req-"+host)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r) // httptest's client is 192.0.2.1
		return w
	}
	for _, host := range []string{"acme.example.com", "example.com"} {
		if w := get(host); w.Code != http.StatusOK || served.ID != "req-"+host || w.Header().Get("X-Request-Id") != served.ID {
			t.Errorf("%s: got %d, %+v, %v", host, w.Code, served, w.Header())
		}
	}
	w := get("asleep.example.com")
	var problem struct {
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil || problem.RequestID != "req-asleep.example.com" {
		t.Errorf("got %d %s, %v, want the request's ID", w.Code, w.Body, err)
	}
	if !strings.Contains(log.String(), `"request_id":"req-asleep.example.com"`) {
		t.Errorf("got the log %s, want the request's ID", &log)
	}
}
