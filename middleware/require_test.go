package middleware_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
)

func TestAccess(t *testing.T) {
	t.Parallel()
	find := newFinder(newTenant("acme", tenancy.StatusActive), newTenant("closed", tenancy.StatusSuspended))
	suspended := answer{403, "suspended", ""}
	bare := func(h http.Handler) http.Handler { return h }
	for _, tt := range []struct {
		name                 string
		outer                func(http.Handler) http.Handler
		host                 string
		require, centralOnly answer
	}{
		{"Optional, tenant", tenancy.Must(middleware.Optional(find, bySubdomain, quiet)), "acme.example.com", passed, unknown},
		{"Optional, central", tenancy.Must(middleware.Optional(find, bySubdomain, quiet)), "example.com", unresolved, passed},
		{"Optional, unknown", tenancy.Must(middleware.Optional(find, bySubdomain, quiet)), "ghost.example.com", unknown, unknown},
		{"Optional, not active", tenancy.Must(middleware.Optional(find, bySubdomain, quiet)), "closed.example.com", suspended, suspended},
		{"Optional, malformed", tenancy.Must(middleware.Optional(find, bySubdomain, quiet)), "a_b.example.com", invalid, invalid},
		{"Optional, catalog down", tenancy.Must(middleware.Optional(failing(tenancy.ErrUnavailable), bySubdomain, quiet)), "acme.example.com", down, down},
		{"Tenant, tenant", tenancy.Must(middleware.Tenant(find, bySubdomain, quiet)), "acme.example.com", passed, unknown},
		{"Tenant, central", tenancy.Must(middleware.Tenant(find, bySubdomain, quiet)), "example.com", unresolved, unresolved},
		{"no resolution", bare, "acme.example.com", internal, internal},
		{"no resolution, central host", bare, "example.com", internal, internal},
	} {
		for name, guard := range map[string]struct {
			guard func(*middleware.Options) func(http.Handler) http.Handler
			want  answer
		}{"Require": {middleware.Require, tt.require}, "CentralOnly": {middleware.CentralOnly, tt.centralOnly}} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := get("/")
				r.Host = tt.host
				next := &spy{}
				if got := ask(t, tt.outer(guard.guard(quiet)(next)), r); got != guard.want {
					t.Errorf("got %+v, want %+v", got, guard.want)
				}
				if (len(next.got) == 1) != (guard.want == passed) {
					t.Errorf("got %d calls of the handler beside %+v", len(next.got), guard.want)
				}
			})
		}
	}
}

func TestRequireIsContentWithATenantFromElsewhere(t *testing.T) {
	t.Parallel()
	r := get("/")
	r = r.WithContext(tenancy.NewContext(r.Context(), newTenant("acme", tenancy.StatusActive)))
	if got := ask(t, middleware.Require(quiet)(&spy{}), r); got != passed {
		t.Errorf("Require: got %+v, want %+v", got, passed)
	}
	if got := ask(t, middleware.CentralOnly(quiet)(&spy{}), r); got != unknown {
		t.Errorf("CentralOnly: got %+v, want %+v", got, unknown)
	}
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	var (
		got  error
		gotR *http.Request
	)
	opts := &middleware.Options{Logger: quiet.Logger, Refuse: func(w http.ResponseWriter, r *http.Request, err error) {
		got, gotR = err, r
		w.WriteHeader(http.StatusTeapot)
	}}
	find := newFinder(newTenant("acme", tenancy.StatusActive), newTenant("closed", tenancy.StatusBlocked))
	central := tenancy.Must(middleware.Optional(find, bySubdomain, quiet))
	for name, tt := range map[string]struct {
		h      http.Handler
		host   string
		want   error
		tenant tenancy.ID
	}{
		"Tenant, unresolved":      {tenancy.Must(middleware.Tenant(find, bySubdomain, opts))(&spy{}), "example.com", tenancy.ErrUnresolved, ""},
		"Tenant, not active":      {tenancy.Must(middleware.Tenant(find, bySubdomain, opts))(&spy{}), "closed.example.com", tenancy.ErrNotActive, "id-closed"},
		"Optional, unknown":       {tenancy.Must(middleware.Optional(find, bySubdomain, opts))(&spy{}), "ghost.example.com", tenancy.ErrNotFound, ""},
		"Optional, odd":           {tenancy.Must(middleware.Optional(failing(errOdd), bySubdomain, opts))(&spy{}), "acme.example.com", errOdd, ""},
		"Require, central":        {central(middleware.Require(opts)(&spy{})), "example.com", tenancy.ErrUnresolved, ""},
		"Require, bare":           {middleware.Require(opts)(&spy{}), "example.com", tenancy.ErrNoTenant, ""},
		"CentralOnly with tenant": {central(middleware.CentralOnly(opts)(&spy{})), "acme.example.com", tenancy.ErrNotFound, "id-acme"},
		"CentralOnly, bare":       {middleware.CentralOnly(opts)(&spy{}), "acme.example.com", tenancy.ErrNoTenant, ""},
	} {
		got, gotR = nil, nil
		r := get("/")
		r.Host = tt.host
		w := httptest.NewRecorder()
		tt.h.ServeHTTP(w, r)
		if !errors.Is(got, tt.want) || gotR == nil || gotR.Host != tt.host {
			t.Errorf("%s: Refuse got %v, want %v", name, got, tt.want)
		}
		if w.Code != http.StatusTeapot || len(w.Header()) != 0 || w.Body.Len() != 0 {
			t.Errorf("%s: got %d %v %q, want what Refuse wrote alone", name, w.Code, w.Header(), w.Body)
		}
		var e *tenancy.Error
		if id := tt.tenant; id != "" && (!errors.As(got, &e) || e.Tenant != id) {
			t.Errorf("%s: got %v, want an error of tenant %s", name, got, id)
		}
	}
}

func TestRefuseForAHandler(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	opts := logTo(&b)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		middleware.Refuse(w, r, fmt.Errorf("planted: %w", tenancy.ErrConflict), opts)
	})
	if got, want := ask(t, h, get("/notes/7")), (answer{409, "conflict", ""}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	want := record{"INFO", "request refused", "planted: changed meanwhile", "GET", "example.com", "/notes/7", 409}
	if got := readRecord(t, &b); got != want {
		t.Errorf("got the log %+v, want %+v", got, want)
	}
	b.Reset()
	opts.Refuse = func(w http.ResponseWriter, _ *http.Request, err error) {
		if !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("got %v, want ErrConflict", err)
		}
		w.WriteHeader(http.StatusTeapot)
	}
	if got, want := ask(t, h, get("/")), (answer{Code: http.StatusTeapot}); got != want || b.Len() == 0 {
		t.Errorf("got %+v and %d bytes of log, want %+v and some", got, b.Len(), want)
	}
}

func TestOptionsAreCopied(t *testing.T) {
	t.Parallel()
	opts := *quiet
	h := middleware.Require(&opts)(&spy{})
	opts.Refuse = func(http.ResponseWriter, *http.Request, error) { t.Error("got a call of an option that was set later") }
	if got := ask(t, h, get("/")); got != internal {
		t.Errorf("got %+v, want %+v", got, internal)
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
