package auth

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/resolver"
)

// Principal is an operator whom the application's own sign-in knows.
type Principal struct {
	// ID names the operator in the audit and in rules about addresses. It never changes: 1 to 200 bytes.
	ID string
	// Email and Name are for people.
	Email, Name string
	Permissions Permissions
	Scope       tenancy.Scope
	// AuthenticatedAt is when credentials were shown last. Actions that ask for fresh ones are refused after [Options.StepUp], and always
	// if it is the zero time.
	AuthenticatedAt time.Time
}

// Authenticator is the application's own sign-in. It is called at each request, and each second for a stream, by many goroutines at once.
//
// Nobody is an error that wraps [tenancy.ErrUnauthenticated], and a service that does not answer one that wraps [tenancy.ErrUnavailable].
// What it goes by must not be something that a browser sends by itself from other sites' pages: a cookie wants SameSite.
type Authenticator interface {
	Authenticate(r *http.Request) (*Principal, error)
}

// maxPrincipal is the length of the longest ID of an operator of the application's, in bytes.
const maxPrincipal = 200

// identifyBy returns the identity of somebody whom the application's own sign-in knows.
func (a *Auth) identifyBy(r *http.Request, c *current) (*Identity, error) {
	p, err := a.opts.Authenticator.Authenticate(r)
	if err != nil {
		return nil, err
	}
	if p == nil || p.ID == "" || len(p.ID) > maxPrincipal || !AllPermissions().Includes(p.Permissions) {
		return nil, fmt.Errorf("%w: the authenticator returned nobody, or somebody with a malformed ID or permissions", tenancy.ErrUnavailable)
	}
	o := &Operator{ID: p.ID, Email: p.Email, Name: p.Name, Scope: p.Scope, SecondFactor: true}
	id := &Identity{
		Operator: o, Permissions: p.Permissions, Scope: p.Scope, Settings: c.settings, Address: a.Client(r), stepUp: c.stepUp,
		Session: Session{OperatorID: p.ID, Stage: StageFull, AuthenticatedAt: p.AuthenticatedAt},
	}
	if !c.admits(o, id.Address) {
		return nil, a.refuseAddress(r.Context(), id)
	}
	return id, nil
}

// trustedHeader is the Authenticator of [TrustedHeader].
type trustedHeader struct {
	proxies *resolver.Proxies
	header  string
	who     func(ctx context.Context, user string) (*Principal, error)
}

// TrustedHeader returns the sign-in of an application behind a proxy that signs people in and names them in a header, such as
// X-Forwarded-Email. The header counts in requests that come from one of the proxies themselves, and in no others: a client that reaches the
// console past the proxy is nobody. The proxy must remove the header from what clients send.
//
// who returns the operator with that name, or an error that wraps [tenancy.ErrUnauthenticated]. If it leaves AuthenticatedAt at the zero
// time, credentials count as fresh: the proxy is asked for them at each request.
func TrustedHeader(proxies *resolver.Proxies, header string, who func(ctx context.Context, user string) (*Principal, error)) (Authenticator, error) {
	if proxies == nil || header == "" || who == nil {
		return nil, tenancy.Wrap("auth.TrustedHeader", "", fmt.Errorf("%w: want proxies, a header and a function", tenancy.ErrInvalid))
	}
	return &trustedHeader{proxies, http.CanonicalHeaderKey(header), who}, nil
}

// Authenticate implements [Authenticator].
func (h *trustedHeader) Authenticate(r *http.Request) (*Principal, error) {
	if !h.proxies.Trusts(r) {
		return nil, fmt.Errorf("%w: the request does not come from the proxy that signs people in", tenancy.ErrUnauthenticated)
	}
	values := r.Header[h.header]
	if len(values) != 1 || values[0] == "" {
		return nil, fmt.Errorf("%w: %d values of %s, want one", tenancy.ErrUnauthenticated, len(values), h.header)
	}
	p, err := h.who(r.Context(), values[0])
	if err != nil || p == nil {
		return nil, err
	}
	if p.AuthenticatedAt.IsZero() {
		fresh := *p
		fresh.AuthenticatedAt = time.Now()
		p = &fresh
	}
	return p, nil
}
