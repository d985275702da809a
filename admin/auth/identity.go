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
	"github.com/artflow-studio/tenancy/internal/ipnet"
)

// Identity is who asks, and what they may do. It was true when the request began.
type Identity struct {
	Operator *Operator
	Session  Session // of a token, the zero session at its last stage
	// Token is set for a machine: Operator is its owner then.
	Token       *Token
	Permissions Permissions
	// Scope says to which tenants the permissions apply.
	Scope tenancy.Scope
	// FailedSignIns counts the sign-ins that failed since the last one; only the sign-in itself knows them.
	FailedSignIns int64
	// Settings are those that operators have decided on.
	Settings Settings
	// Address is where the request comes from.
	Address netip.Addr

	live         *live
	stepUp, idle time.Duration
}

// IdleAt is when the session ends if nobody uses it until then, to the minute. That of a token is the zero time.
func (id *Identity) IdleAt() time.Time {
	if id.live == nil || id.idle <= 0 {
		return time.Time{}
	}
	return id.Session.LastSeenAt.Add(id.idle)
}

// Fresh reports whether credentials were shown lately enough for an action that asks for that.
func (id *Identity) Fresh() bool {
	return id.Token == nil && now().Sub(id.Session.AuthenticatedAt) < id.stepUp
}

// FreshFor reports whether an action that asks for fresh credentials may go on: those of a person were shown lately, and to a machine the
// permission was granted by name.
func (id *Identity) FreshFor(p Permission) bool {
	return id.Fresh() || id.Token != nil && id.Token.StepUp.Has(p)
}

// Subject returns a name for who asks, by which their requests are counted: the operator's ID, or that of the token.
func (id *Identity) Subject() string {
	if id.Token != nil {
		return "token:" + id.Token.ID
	}
	return id.Operator.ID
}

// Actor returns the operator or the token as the audit names them.
func (id *Identity) Actor() tenancy.Actor {
	if id.Token != nil {
		return tenancy.Actor{Kind: tenancy.ActorToken, ID: id.Token.ID}
	}
	return tenancy.Actor{Kind: tenancy.ActorOperator, ID: id.Operator.ID}
}

// Identify returns who sends the request, by its session cookie or by a bearer token of a machine. Their session may be at an earlier stage than [StageFull]; then
// they may do nothing but go on signing in. No valid session or token is an error that wraps [tenancy.ErrUnauthenticated], a cookie beside
// a bearer token one that wraps [tenancy.ErrInvalid], and a database that does not answer one that wraps [tenancy.ErrUnavailable].
func (a *Auth) Identify(r *http.Request) (*Identity, error) {
	id, err := a.identify(r)
	return id, tenancy.Wrap("auth.Auth.Identify", "", err)
}

// IdentifyAgain identifies the sender of a long request again; before is what [Auth.Identify] returned when the request began. The session
// counts, not the token that its cookie has: a step-up gives it a new one meanwhile. The credentials of that step-up do not count for the
// request. The errors are those of Identify.
func (a *Auth) IdentifyAgain(r *http.Request, before *Identity) (*Identity, error) {
	id, err := a.identifyBefore(r, before)
	return id, tenancy.Wrap("auth.Auth.IdentifyAgain", "", err)
}

func (a *Auth) identify(r *http.Request) (*Identity, error) { return a.identifyBefore(r, nil) }

// identifyBefore is identify for who was identified before, or nil.
func (a *Auth) identifyBefore(r *http.Request, before *Identity) (*Identity, error) {
	bearer, err := credential.Bearer(r)
	if err != nil && a.opts.Authenticator == nil {
		return nil, err
	}
	if bearer != "" && a.opts.Authenticator == nil {
		if token, _ := a.sessions.token(r); token != "" {
			return nil, fmt.Errorf("%w: a session cookie and a bearer token", tenancy.ErrInvalid)
		}
	}
	c, err := a.current(r.Context())
	if err != nil {
		return nil, err
	}
	if a.opts.Authenticator != nil {
		return a.identifyBy(r, c)
	}
	if bearer != "" {
		return a.identifyToken(r, bearer, c)
	}
	var l *live
	if before != nil && before.live != nil {
		l, err = a.sessions.again(r.Context(), before.Session.ID, c.idle)
		if began := before.Session.AuthenticatedAt; err == nil && l.AuthenticatedAt.After(began) {
			l.AuthenticatedAt = began
		}
	} else {
		l, err = a.sessions.find(r, c.idle)
	}
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
	l.Stage = c.stage(l.Stage, row.TOTPConfirmed != 0)
	id := a.identity(o, l, c, a.Client(r))
	if !l.Rescued && !c.admits(o, id.Address) {
		return nil, a.refuseAddress(r.Context(), id)
	}
	return id, nil
}

// errAddress is what requests get from an address that rules leave out.
var errAddress = fmt.Errorf("%w: the console is not to be used from this address", tenancy.ErrForbidden)

// entrance refuses requests of somebody who is not known yet from an address that the rules for all leave out. It is asked before any
// account or link is looked up, so the answer tells no more than that there is a rule.
func (a *Auth) entrance(r *http.Request, c *current) error {
	if !within(c.rules.All, a.Client(r)) {
		return errAddress
	}
	return nil
}

// admit checks a request that carries a one-time token and no session: nobody reads credentials on the way, the rules allow the
// address, and there are not too many such requests.
func (a *Auth) admit(r *http.Request) (*current, error) {
	if err := a.mayCarryCredentials(r); err != nil {
		return nil, err
	}
	c, err := a.current(r.Context())
	if err == nil {
		err = a.entrance(r, c)
	}
	if err == nil {
		err = a.limit(r.Context(), r, "", nil)
	}
	return c, err
}

// refuseAddress writes the entry of a request from an address that rules leave out.
func (a *Auth) refuseAddress(ctx context.Context, id *Identity) error {
	if err := a.audit(tenancy.WithActor(ctx, id.Actor()), nil, "session.address", id.Subject(), tenancy.AuditDenied); err != nil {
		return err
	}
	return errAddress
}

// hide makes an operator that does not exist one that is not signed in.
func hide(err error) error {
	if isNotFound(err) {
		return fmt.Errorf("%w: no such operator", tenancy.ErrUnauthenticated)
	}
	return err
}

func (a *Auth) identity(o *Operator, l *live, c *current, addr netip.Addr) *Identity {
	return &Identity{Operator: o, Session: l.Session, Permissions: a.opts.Roles[o.Role], Scope: o.Scope, Settings: c.settings, Address: addr, live: l, stepUp: c.stepUp, idle: c.idle}
}

// Active notes that a person is at work, at most once a minute, so that the session does not become idle. Do not call it for
// requests that a page makes by itself. A token is never idle.
func (a *Auth) Active(ctx context.Context, id *Identity) error {
	if id.live == nil {
		return nil
	}
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
	if !ipnet.Peer(r).IsLoopback() {
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
