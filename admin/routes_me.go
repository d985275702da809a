package admin

import (
	"net/http"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
)

func (a *Admin) meRoutes() []route {
	return []route{
		{method: "GET", pattern: "me", audience: signingIn, machine: true, reach: pageSelf, handle: a.me},
		{method: "GET", pattern: "roles", audience: signedInTo, machine: true, handle: a.roles},
	}
}

// meAnswer is who asks, what they may do, and which parts there are.
type meAnswer struct {
	operatorRef
	Role         string           `json:"role"`
	Next         string           `json:"next"`
	Permissions  auth.Permissions `json:"permissions"`
	Scope        tenancy.Scope    `json:"scope"`
	SecondFactor bool             `json:"second_factor"`
	Session      meSession        `json:"session"`
	Parts        []string         `json:"parts"`
	Demo         bool             `json:"demo"`
	// OwnSignIn says that operators, sessions and tokens are the console's own.
	OwnSignIn bool `json:"own_sign_in"`
	// Token is that of a machine which asks.
	Token   *meToken `json:"token,omitempty"`
	Version int      `json:"version"`
}

type meToken struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	ExpiresAt time.Time `json:"expires_at"`
}

type meSession struct {
	ID              string    `json:"id"`
	AuthenticatedAt time.Time `json:"authenticated_at"`
	ExpiresAt       time.Time `json:"expires_at"`
	// IdleAt is when the session ends if nobody uses it until then.
	IdleAt time.Time `json:"idle_at,omitzero"`
	Fresh  bool      `json:"fresh"`
}

// me answers at every stage of a sign-in, so that a page knows what comes next. What an operator may do it says once they are in.
func (a *Admin) me(c *call) error {
	id := c.id
	out := meAnswer{
		operatorRef: refOf(id.Operator), Role: id.Operator.Role, SecondFactor: id.Operator.SecondFactor, Demo: a.opts.Demo, Version: 1, Parts: []string{}, OwnSignIn: a.auth.Own(),
		Session: meSession{id.Session.ID, id.Session.AuthenticatedAt, id.Session.ExpiresAt, id.IdleAt(), id.Fresh()},
	}
	if t := id.Token; t != nil {
		out.Token = &meToken{t.ID, t.Name, t.ExpiresAt}
	}
	if id.Session.Stage == auth.StageFull {
		out.Permissions, out.Scope, out.Parts = id.Permissions, id.Scope, a.parts()
	} else {
		out.Next = string(id.Session.Stage)
	}
	return c.reply(http.StatusOK, out)
}

func (a *Admin) roles(c *call) error {
	return c.reply(http.StatusOK, map[string]any{"roles": a.auth.Roles(), "permissions": auth.AllPermissions(), "for_tokens": auth.AllPermissions() &^ auth.NeverForTokens()})
}
