package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
)

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
