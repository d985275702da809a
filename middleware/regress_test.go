package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

// An outage is not "names no tenant", whatever else the error says.
func TestOutageIsNotCentral(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("%w: %w", tenancy.ErrUnavailable, tenancy.ErrUnresolved)
	claims := tenancy.Must(resolver.NewClaim("tid", func(*http.Request) (map[string]any, error) { return nil, err }, nil))
	for name, by := range map[string]resolver.Resolver{
		"resolver":      resolver.Func(func(*http.Request) (resolver.Match, error) { return resolver.Match{}, err }),
		"Claim":         claims,
		"First, Claim":  resolver.First(claims, bySubdomain),
		"Agree, finder": tenancy.Must(resolver.Agree(failing(err), byHost, byPath)),
	} {
		r := get("/t/acme")
		r.Host = "acme.test"
		if got := ask(t, tenancy.Must(middleware.Optional(newFinder(), by, quiet))(middleware.CentralOnly(quiet)(&spy{})), r); got != down {
			t.Errorf("%s: got %+v, want %+v", name, got, down)
		}
	}
}

// CentralOnly sees a tenant whichever middleware found it.
func TestCentralOnlyRefusesATenantFromAnyMiddleware(t *testing.T) {
	t.Parallel()
	find := newFinder(newTenant("acme", tenancy.StatusActive))
	h := tenancy.Must(middleware.Tenant(find, bySubdomain, quiet))(tenancy.Must(middleware.Optional(find, byPath, quiet))(middleware.CentralOnly(quiet)(&spy{})))
	if got := ask(t, h, get("http://acme.example.com/signup")); got != unknown {
		t.Errorf("Tenant, then Optional: got %+v, want %+v", got, unknown)
	}
	h = tenancy.Must(middleware.Optional(find, bySubdomain, quiet))(tenancy.Must(middleware.Tenant(find, byPath, quiet))(middleware.CentralOnly(quiet)(&spy{})))
	if got := ask(t, h, get("http://example.com/t/acme")); got != unknown {
		t.Errorf("Optional, then Tenant: got %+v, want %+v", got, unknown)
	}
}

// The method too is a client's text, of up to the server's 1 MB of header.
func TestLongMethodInLog(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	done := make(chan struct{})
	h := tenancy.Must(middleware.Tenant(newFinder(), bySubdomain, logTo(&b)))(&spy{})
	send := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r); close(done) }))
	send(strings.Repeat("M", 900<<10) + " / HTTP/1.1\r\nHost: ghost.example.com\r\n\r\n")
	<-done
	if b.Len() > 4096 {
		t.Errorf("got %d bytes of log, want at most 4096", b.Len())
	}
}

// A resolver of the application may return a prefix that is not how the path begins.
func TestForeignPrefixIsRefused(t *testing.T) {
	t.Parallel()
	by := resolver.Func(func(*http.Request) (resolver.Match, error) {
		return resolver.Match{Ref: tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"}, Prefix: "/t/acme"}, nil
	})
	next := &spy{}
	ask(t, tenancy.Must(middleware.Tenant(newFinder(newTenant("acme", tenancy.StatusActive)), by, quiet))(next), get("/x"))
	if len(next.got) == 1 && next.got[0].URL.Path == "" {
		t.Errorf("got the empty path in the handler, want a refusal")
	}
}

// RFC 9110, section 15.5.2: a 401 MUST have WWW-Authenticate.
func TestUnauthenticatedNamesAScheme(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	middleware.Problem(w, get("/"), tenancy.ErrUnauthenticated)
	if w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("got %d with %v, want WWW-Authenticate", w.Code, w.Header())
	}
}

// A cancellation that is not the client's is an outage to a client that waits.
func TestCancellationThatIsNotTheClients(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	got := ask(t, tenancy.Must(middleware.Tenant(failing(context.Canceled), bySubdomain, logTo(&b)))(&spy{}), get("http://acme.example.com/"))
	if got != down || readRecord(t, &b).Level != "ERROR" {
		t.Errorf("got %+v, %s, want %+v at ERROR", got, &b, down)
	}
}

// Whatever fails in a way of its own after the client went away is no failure of
// the service.
func TestErrorsAfterTheClientLeft(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r := get("/").WithContext(ctx)
	odd := errors.New("canceling statement due to user request")
	if got := middleware.Describe(r, odd); got.Status != 500 {
		t.Errorf("while the client waits: got %d, want 500", got.Status)
	}
	cancel()
	if got := middleware.Describe(r, odd); got.Status != 499 {
		t.Errorf("after it left: got %d, want 499", got.Status)
	}
	if got := middleware.Describe(r, tenancy.ErrForbidden); got.Status != 403 {
		t.Errorf("an error with a meaning, after it left: got %d, want 403", got.Status)
	}
}

// An outage that joins ErrNotFound is no contradiction.
func TestAgreeOutage(t *testing.T) {
	t.Parallel()
	both := failing(errors.Join(tenancy.ErrNotFound, tenancy.ErrUnavailable))
	r := get("/t/acme")
	r.Host = "acme.test"
	if got := ask(t, tenancy.Must(middleware.Tenant(both, tenancy.Must(resolver.Agree(both, byHost, byPath)), quiet))(&spy{}), r); got != down {
		t.Errorf("got %+v, want %+v", got, down)
	}
}

// Anything at all means JSON, with its weight.
func TestAcceptWeighs(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]string{
		"text/html;q=0.1, */*": "application/problem+json",
		"text/html, */*;q=0.8": "text/html; charset=utf-8",
	} {
		w := httptest.NewRecorder()
		r := get("/")
		r.Header.Set("Accept", accept)
		middleware.Problem(w, r, tenancy.ErrNotFound)
		if got := w.Header().Get("Content-Type"); got != want {
			t.Errorf("%s: got %s, want %s", accept, got, want)
		}
	}
}

// A finder that returns nothing at all is a mistake, not a panic.
func TestFinderWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("got a panic with %v, want 500", p)
		}
	}()
	none := findFunc(func(context.Context, tenancy.Ref) (*tenancy.Tenant, error) { return nil, nil })
	ask(t, tenancy.Must(middleware.Tenant(none, bySubdomain, quiet))(&spy{}), get("http://acme.example.com/"))
}

// A finder cannot say that a request names nothing.
func TestFinderCannotMakeARequestCentral(t *testing.T) {
	t.Parallel()
	odd := failing(tenancy.ErrUnresolved)
	r := get("/t/acme")
	r.Host = "acme.test"
	h := tenancy.Must(middleware.Optional(odd, tenancy.Must(resolver.Agree(odd, byHost, byPath)), quiet))(middleware.CentralOnly(quiet)(&spy{}))
	if got := ask(t, h, r); got != down {
		t.Errorf("got %+v, want %+v", got, down)
	}
}
