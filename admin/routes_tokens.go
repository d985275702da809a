package admin

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
)

// tokenRoutes are the rows about tokens of machines. The text of a token is kept with the answer to an Idempotency-Key, encrypted: see sealed.
func (a *Admin) tokenRoutes() []route {
	return []route{
		{method: "GET", pattern: "tokens", query: "operator limit cursor", own: true, permission: auth.TokensWrite, handle: a.listTokens},
		{method: "POST", pattern: "tokens", body: true, idempotent: true, own: true, permission: auth.TokensWrite, stepUp: true, action: "token.issue", handle: a.issueToken},
		{method: "POST", pattern: "tokens/{token}/rotate", body: true, idempotent: true, own: true, permission: auth.TokensWrite, stepUp: true, action: "token.rotate", handle: a.rotateToken},
		{method: "DELETE", pattern: "tokens/{token}", own: true, permission: auth.TokensWrite, stepUp: true, action: "token.revoke", handle: a.revokeToken},
	}
}

// machineToken is a token as the API shows it. Its hash has no field.
type machineToken struct {
	ID          string           `json:"id"`
	Owner       operatorRef      `json:"owner"`
	Name        string           `json:"name"`
	Permissions auth.Permissions `json:"permissions"`
	StepUp      auth.Permissions `json:"step_up"`
	Scope       tenancy.Scope    `json:"scope"`
	Allow       []netip.Prefix   `json:"allow"`
	CreatedAt   time.Time        `json:"created_at"`
	ExpiresAt   time.Time        `json:"expires_at"`
	UsedAt      time.Time        `json:"used_at,omitzero"`
	UsedFrom    netip.Addr       `json:"used_from,omitzero"`
	ReplacedBy  string           `json:"replaced_by,omitempty"`
}

func tokenOf(t *auth.Token, owner *auth.Operator) machineToken {
	return machineToken{t.ID, refOf(owner), t.Name, t.Permissions, t.StepUp, t.Scope, append([]netip.Prefix{}, t.Allow...), t.CreatedAt, t.ExpiresAt, t.UsedAt, t.UsedFrom, t.ReplacedBy}
}

// listTokens lists the tokens of operators that may be seen.
func (a *Admin) listTokens(c *call) error {
	operator := c.r.URL.Query().Get("operator")
	query := "tokens?" + operator
	limit, err1 := c.limit()
	last, err2 := c.after(query, 1)
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	after := ""
	if last != nil {
		after = last[0]
	}
	out, owners := []machineToken{}, map[string]*auth.Operator{}
	more := true
	for more && len(out) <= limit {
		page, err := a.auth.Tokens(c.ctx(), operator, after, limit+1)
		if err != nil {
			return err
		}
		more = len(page) > limit
		for _, t := range page {
			after = t.ID
			owner, known := owners[t.OperatorID]
			if !known {
				if owner, err = a.auth.Operator(c.ctx(), t.OperatorID); err != nil {
					return err
				}
				owners[t.OperatorID] = owner
			}
			if c.sees(owner) && (owner.ID == c.id.Operator.ID || auth.Covers(c.id.Scope, t.Scope)) { // it may be wider than its owner's scope is by now
				out = append(out, tokenOf(t, owner))
			}
		}
	}
	next := tenancy.Cursor("")
	if len(out) > limit {
		out = out[:limit]
		next = tenancy.NewCursor(query, out[limit-1].ID)
	}
	return c.reply(http.StatusOK, map[string]any{"tokens": out, "next": next})
}

func (a *Admin) issueToken(c *call) error {
	var in struct {
		Name        string           `json:"name"`
		Permissions auth.Permissions `json:"permissions"`
		StepUp      auth.Permissions `json:"step_up"`
		Scope       *tenancy.Scope   `json:"scope"`
		Allow       []string         `json:"allow"`
		TTL         int64            `json:"ttl"` // seconds
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	ttl, err1 := seconds("ttl", in.TTL)
	allow, err2 := prefixes("allow", in.Allow)
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	spec := auth.TokenSpec{Name: in.Name, Permissions: in.Permissions, StepUp: in.StepUp, Scope: c.id.Scope, Allow: allow, TTL: ttl}
	if in.Scope != nil {
		spec.Scope = *in.Scope
	}
	text, t, err := a.auth.IssueToken(c.ctx(), c.id, spec)
	if errors.Is(err, tenancy.ErrConflict) {
		err = &stateError{"You have as many tokens as an operator may have. Revoke one first.", err}
	}
	return c.replyToken(text, t, err)
}

// replyToken answers with a token's text, which nobody is shown again.
func (c *call) replyToken(text tenancy.Secret, t *auth.Token, err error) error {
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, map[string]any{"text": text.Reveal(), "token": tokenOf(t, c.id.Operator)})
}

func (a *Admin) rotateToken(c *call) error {
	var in struct {
		After int64 `json:"after"` // seconds for which the old token stays valid
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	after, err := seconds("after", in.After)
	if err != nil {
		return err
	}
	text, t, err := a.auth.RotateToken(c.ctx(), c.id, c.r.PathValue("token"), after)
	return c.replyToken(text, t, err)
}

func (a *Admin) revokeToken(c *call) error {
	id := c.r.PathValue("token")
	t, err := a.auth.Token(c.ctx(), id)
	if err == nil {
		var owner *auth.Operator
		if owner, err = a.auth.Operator(c.ctx(), t.OperatorID); err == nil && !c.sees(owner) {
			err = fmt.Errorf("%w: outside of the scope", tenancy.ErrNotFound)
		}
	}
	if err == nil {
		err = a.auth.RevokeToken(c.ctx(), c.id, id)
	}
	if err != nil {
		return err
	}
	return c.noContent()
}
