package auth

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/credential"
)

// Identity is who asks, and what they may do. It was true when the request began.
type Identity struct {
	Operator    *Operator
	Session     Session
	Permissions Permissions
	// Scope says to which tenants the permissions apply.
	Scope tenancy.Scope
	// FailedSignIns counts the sign-ins that failed since the last one; only the sign-in itself knows them.
	FailedSignIns int64

	live   *live
	stepUp time.Duration
}

// Fresh reports whether credentials were shown lately enough for an action that asks for that.
func (id *Identity) Fresh() bool { return now().Sub(id.Session.AuthenticatedAt) < id.stepUp }

// Actor returns the operator as the audit names them.
func (id *Identity) Actor() tenancy.Actor {
	return tenancy.Actor{Kind: tenancy.ActorOperator, ID: id.Operator.ID}
}

// Identify returns who sends the request, by its session cookie. Their session may be at an earlier stage than [StageFull]; then
// they may do nothing but go on signing in. No valid session is an error that wraps [tenancy.ErrUnauthenticated], a cookie beside
// a bearer token one that wraps [tenancy.ErrInvalid], and a database that does not answer one that wraps [tenancy.ErrUnavailable].
func (a *Auth) Identify(r *http.Request) (*Identity, error) {
	id, err := a.identify(r)
	return id, tenancy.Wrap("auth.Auth.Identify", "", err)
}

func (a *Auth) identify(r *http.Request) (*Identity, error) {
	bearer, err := credential.Bearer(r)
	if err != nil {
		return nil, err
	}
	if bearer != "" {
		if token, _ := a.sessions.token(r); token != "" {
			return nil, fmt.Errorf("%w: a session cookie and a bearer token", tenancy.ErrInvalid)
		}
		return nil, fmt.Errorf("%w: bearer tokens are not accepted", tenancy.ErrUnauthenticated)
	}
	l, err := a.sessions.find(r)
	if err != nil {
		return nil, err
	}
	row, err := a.store.operatorBy(r.Context(), a.store.db, "id", l.OperatorID)
	if err == nil && row.DisabledAt != 0 {
		err = tenancy.ErrNotFound
	}
	if err != nil {
		return nil, hide(err)
	}
	o, err := row.operator()
	if err != nil {
		return nil, err
	}
	if l.Stage == StageEnrol && row.TOTPConfirmed != 0 {
		l.Stage = StageFactor // enrolled meanwhile, elsewhere
	}
	return a.identity(o, l), nil
}

// hide makes an operator that does not exist one that is not signed in.
func hide(err error) error {
	if isNotFound(err) {
		return fmt.Errorf("%w: no such operator", tenancy.ErrUnauthenticated)
	}
	return err
}

func (a *Auth) identity(o *Operator, l *live) *Identity {
	return &Identity{Operator: o, Session: l.Session, Permissions: a.opts.Roles[o.Role], Scope: o.Scope, live: l, stepUp: a.opts.StepUp}
}

// Active notes that a person is at work, at most once a minute, so that the session does not become idle. Do not call it for
// requests that a page makes by itself.
func (a *Auth) Active(ctx context.Context, id *Identity) error {
	return tenancy.Wrap("auth.Auth.Active", "", a.sessions.store.touch(ctx, id.live.in.found))
}

// Client returns the address that the request comes from, as far as trusted proxies tell.
func (a *Auth) Client(r *http.Request) netip.Addr { return a.opts.Proxies.Client(r) }

// mayCarryCredentials refuses plain HTTP, except within this machine.
func (a *Auth) mayCarryCredentials(r *http.Request) error {
	if a.opts.Insecure || a.opts.Proxies.Secure(r) || IsLocal(r) {
		return nil
	}
	return fmt.Errorf("%w: credentials over plain HTTP", tenancy.ErrForbidden)
}

// IsLocal reports whether the request comes from this machine and asks for it by a name such as localhost. A request that a proxy says it
// passed on does not, even if the proxy is on this machine: the client may be anywhere.
func IsLocal(r *http.Request) bool {
	for name := range r.Header {
		if name == "Forwarded" || name == "Via" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-") {
			return false
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return isLoopbackName(host)
}

// isLoopbackName reports whether a host name without port names this machine.
func isLoopbackName(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}
