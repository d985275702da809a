package middleware

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/credential"
	"github.com/artflow-studio/tenancy/internal/request"
)

// Principal is the sender of a request, as one tenant knows it.
//
// A *Principal from a context is shared and must not be modified.
type Principal struct {
	// Tenant is the tenant that the credentials belong to.
	Tenant tenancy.ID
	// ID is the ID of the key, token or session. It is not secret.
	ID string
	// Subject is the tenant's user, or "" for credentials that belong to no user, such
	// as an API key.
	Subject string
	// Scopes are what the credentials allow. What they mean is up to the application.
	Scopes []string
	// ExpiresAt is when the credentials stop being valid; the zero time is never.
	ExpiresAt time.Time
}

// Can reports whether the principal has the scope.
func (p *Principal) Can(scope string) bool { return slices.Contains(p.Scopes, scope) }

// Authenticator finds out who sent a request, by credentials of one kind.
//
// An implementation returns nil and no error when the request has no credentials of
// that kind, and an error that wraps [tenancy.ErrUnauthenticated] when they are not
// valid for this tenant, whatever the reason. The error must not contain the credentials.
// [Problem] answers other errors; one that wraps no sentinel is an internal error.
// Set Principal.Tenant from the credentials, never from t: Authenticate compares the two.
// An implementation keeps neither r nor t. Many goroutines call it at once.
type Authenticator interface {
	Authenticate(r *http.Request, t *tenancy.Tenant) (*Principal, error)
}

// AuthenticatorFunc is an [Authenticator] made of a function.
type AuthenticatorFunc func(r *http.Request, t *tenancy.Tenant) (*Principal, error)

// Authenticate calls f.
func (f AuthenticatorFunc) Authenticate(r *http.Request, t *tenancy.Tenant) (*Principal, error) {
	return f(r, t)
}

// FirstOf asks the authenticators in order. The first one that finds credentials of its
// kind decides, whether they are valid or not. Put a [KeyAuthenticator] before those that
// read bearer tokens: it refuses a request with both a key and a token, which the others
// do not notice.
func FirstOf(all ...Authenticator) Authenticator {
	all = slices.Clone(all)
	return AuthenticatorFunc(func(r *http.Request, t *tenancy.Tenant) (*Principal, error) {
		for _, each := range all {
			if p, err := each.Authenticate(r, t); p != nil || err != nil {
				return p, err
			}
		}
		return nil, nil
	})
}

var (
	errNoCredentials = fmt.Errorf("%w: no credentials", tenancy.ErrUnauthenticated)
	errForeign       = fmt.Errorf("%w: credentials of another tenant", tenancy.ErrUnauthenticated)
	errNoPrincipal   = errors.New("no principal in the context: want Authenticate in front")
)

// Authenticate serves requests whose sender the authenticator knows. The handler finds the sender with
// [PrincipalOf]. Put Authenticate behind [Tenant] or [Optional].
//
// It refuses requests without credentials, with invalid ones, and with credentials of another tenant, each with
// [tenancy.ErrUnauthenticated]. The log says which of the three it was; the answer does not.
//
// To serve requests without credentials too, end [FirstOf] with a function that returns a principal with the
// tenant's ID and neither subject nor ID of its own. The principal of an API key always has an ID.
//
// A nil authenticator is an error that wraps [tenancy.ErrInvalid].
func Authenticate(by Authenticator, opts *Options) (func(http.Handler) http.Handler, error) {
	return newAuthenticate(by, opts, false)
}

// newAuthenticate is Authenticate. With room set it stores the principal in the [identity] of the context, if
// there is one, and saves a copy of the request.
func newAuthenticate(by Authenticator, opts *Options, room bool) (func(http.Handler) http.Handler, error) {
	const op = "middleware.Authenticate"
	if by == nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: no authenticator", tenancy.ErrInvalid))
	}
	o := opts.complete()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			t, err := tenantOf(r, op)
			if err != nil {
				o.refuse(w, r, err)
				return
			}
			p, err := by.Authenticate(r, t)
			wanted := `Bearer error="invalid_token"`
			switch {
			case err != nil:
			case p == nil:
				wanted, err = "Bearer", errNoCredentials
			case p.Tenant != t.ID:
				err = errForeign
			case room && intoRoom(r.Context(), p):
				next.ServeHTTP(w, r)
				return
			default:
				request.Serve(context.WithValue(r.Context(), principalKey{}, p), next, w, r, nil)
				return
			}
			if Describe(r, err).Status == http.StatusUnauthorized {
				challenge(w, wanted)
			}
			o.refuseAt(slog.LevelInfo, w, r, tenancy.Wrap(op, t.ID, err))
		})
	}, nil
}

// challenge sets WWW-Authenticate, unless the application has set it. Source: RFC 6750, section 3.
func challenge(w http.ResponseWriter, text string) {
	if h := w.Header(); h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", text)
	}
}

type (
	principalKey struct{}
	identityKey  struct{}
)

// intoRoom stores the principal in the [identity] of the context, and reports whether the context has an empty
// one.
func intoRoom(ctx context.Context, p *Principal) bool {
	c, ok := ctx.Value(identityKey{}).(*identity)
	return ok && c.principal.CompareAndSwap(nil, p)
}

// identity is a context with room for the principal that [Standard] finds. It saves the copy of the request
// that a new context would need: a third of the memory that the whole chain allocates. Only Standard uses it:
// whatever happens in this context happens for that principal.
type identity struct {
	context.Context
	principal atomic.Pointer[Principal]
}

// Value returns the principal, if there is one, and the values of the parent context.
func (c *identity) Value(key any) any {
	switch key {
	case principalKey{}:
		if p := c.principal.Load(); p != nil {
			return p
		}
	case identityKey{}:
		return c
	}
	return c.Context.Value(key)
}

// PrincipalOf returns the principal that [Authenticate] found. It returns none if the context has meanwhile got
// another tenant.
func PrincipalOf(ctx context.Context) (*Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(*Principal)
	if !ok {
		return nil, false
	}
	if t, ok := tenancy.FromContext(ctx); !ok || t.ID != p.Tenant {
		return nil, false
	}
	return p, true
}

// RequireScope serves requests whose principal has the scope, and refuses others with [tenancy.ErrForbidden].
// Put it behind [Authenticate].
//
// A scope is one or more printable ASCII characters without space, quote and backslash (RFC 6749, section 3.3).
// Anything else is an error that wraps [tenancy.ErrInvalid].
func RequireScope(scope string, opts *Options) (func(http.Handler) http.Handler, error) {
	const op = "middleware.RequireScope"
	if !credential.IsScope(scope) {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: scope %q", tenancy.ErrInvalid, scope))
	}
	text := `Bearer error="insufficient_scope", scope="` + scope + `"`
	refusal := fmt.Errorf("%w: without the scope %s", tenancy.ErrForbidden, scope)
	return guardPrincipal(op, opts, func(w http.ResponseWriter, _ *http.Request, p *Principal, _ *tenancy.Tenant) error {
		if p.Can(scope) {
			return nil
		}
		challenge(w, text)
		return refusal
	}), nil
}

// Authorize serves requests for which may returns nil. Put it behind [Authenticate]. Here the application
// decides whether this user may use this tenant: a request that names a tenant in its path or in a header
// proves nothing about its sender.
//
// The error of may is answered as [Problem] says. Return [tenancy.ErrForbidden] to refuse,
// [tenancy.ErrUnauthenticated] if the sender should come back with credentials, and [tenancy.ErrNotFound] if
// only the log may show that the tenant exists.
//
// A nil function is an error that wraps [tenancy.ErrInvalid].
func Authorize(may func(ctx context.Context, p *Principal, t *tenancy.Tenant) error, opts *Options) (func(http.Handler) http.Handler, error) {
	const op = "middleware.Authorize"
	if may == nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: no function that says who may", tenancy.ErrInvalid))
	}
	return guardPrincipal(op, opts, func(_ http.ResponseWriter, r *http.Request, p *Principal, t *tenancy.Tenant) error {
		return may(r.Context(), p, t)
	}), nil
}

// guardPrincipal is guard for middleware that needs a principal.
func guardPrincipal(op string, opts *Options, check func(http.ResponseWriter, *http.Request, *Principal, *tenancy.Tenant) error) func(http.Handler) http.Handler {
	o := opts.complete()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			t, err := tenantOf(r, op)
			if err != nil {
				o.refuse(w, r, err)
				return
			}
			p, ok := PrincipalOf(r.Context())
			if !ok {
				err = errNoPrincipal
			} else {
				err = check(w, r, p, t)
			}
			if err != nil {
				o.refuseAt(slog.LevelInfo, w, r, tenancy.Wrap(op, t.ID, err))
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}
