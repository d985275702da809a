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

// Principal is who sent a request, as far as the tenant is concerned.
//
// A *Principal that came from a context is shared and must not be modified.
type Principal struct {
	// Tenant is the tenant that the credentials belong to.
	Tenant tenancy.ID
	// ID is that of the key, token or session. It is not secret.
	ID string
	// Subject is the tenant's user, or "" for credentials that belong to no user, such
	// as an API key.
	Subject string
	// Scopes are what the credentials allow. What they mean is up to the application.
	Scopes []string
	// ExpiresAt is when the credentials stop being valid; the zero time is never.
	ExpiresAt time.Time
}

// Can reports whether the scope is among those of the principal.
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

// AuthenticatorFunc is a function that is an [Authenticator].
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

// Authenticate lets a request pass whose sender is known to the tenant in the
// context, and which the handler finds with [PrincipalOf]. It stands behind [Tenant]
// or [Optional]. Requests without credentials, with some that are not valid, and with
// those of another tenant are refused with [tenancy.ErrUnauthenticated]; the answer
// does not say which of them it was, the log does.
//
// An application that lets strangers in adds to [FirstOf], as the last, a function that
// returns a principal of the tenant with neither subject nor ID. That of an API key has
// an ID.
//
// A nil authenticator is an error that wraps [tenancy.ErrInvalid].
func Authenticate(by Authenticator, opts *Options) (func(http.Handler) http.Handler, error) {
	return newAuthenticate(by, opts, false)
}

// newAuthenticate is Authenticate, which puts the principal into the room that the
// context has for it if it may.
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

// challenge tells a client what credentials are wanted, unless the application does.
// Source: RFC 6750, section 3.
func challenge(w http.ResponseWriter, text string) {
	if h := w.Header(); h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", text)
	}
}

type (
	principalKey struct{}
	identityKey  struct{}
)

// intoRoom puts the principal into the context if it has room for it, as that of a
// tenant in [Standard] has, and reports whether it did.
func intoRoom(ctx context.Context, p *Principal) bool {
	c, ok := ctx.Value(identityKey{}).(*identity)
	return ok && c.principal.CompareAndSwap(nil, p)
}

// identity is a context with room for the principal that [Standard] finds, so that
// the request need not be copied again for it: that is a third of what the whole
// chain takes from memory. Others, who may stand where the chain did not ask, do not
// use it: all that happens in this context would be their principal's.
type identity struct {
	context.Context
	principal atomic.Pointer[Principal]
}

// Value returns the principal, once there is one, and what the context has.
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

// PrincipalOf returns the principal that [Authenticate] found, if the context is
// still one of the principal's own tenant.
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

// RequireScope lets a request pass whose principal has the scope, behind
// [Authenticate]; others are refused with [tenancy.ErrForbidden].
//
// A scope is one or more printable ASCII characters without space, quote and backslash
// (RFC 6749, section 3.3). Anything else is an error that wraps [tenancy.ErrInvalid].
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

// Authorize lets a request pass that the function has no error for, behind
// [Authenticate]. It is where an application says whether this user may use this tenant:
// that a request names one, in a path or a header, says nothing about that. The
// error is answered as [Problem] says; [tenancy.ErrForbidden] is a refusal,
// [tenancy.ErrUnauthenticated] one of a stranger who may come back with credentials,
// and [tenancy.ErrNotFound] one that tells the log alone that there is such a tenant.
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

// guardPrincipal is guard for what stands behind Authenticate.
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
