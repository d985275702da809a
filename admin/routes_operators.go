package admin

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/internal/problem"
)

func (a *Admin) operatorRoutes() []route {
	return []route{
		{method: "GET", pattern: "operators", query: "limit cursor", own: true, permission: auth.OperatorsRead, handle: a.listOperators},
		{method: "GET", pattern: "operators/{operator}", own: true, permission: auth.OperatorsRead, handle: a.readOperator},
		{method: "POST", pattern: "invitations", body: true, idempotent: true, own: true, permission: auth.OperatorsWrite, stepUp: true, action: "operator.invite", handle: a.invite},
		{method: "PATCH", pattern: "operators/{operator}", body: true, match: true, own: true, permission: auth.OperatorsWrite, stepUp: true, action: "operator.update", handle: a.patchOperator},
		{method: "DELETE", pattern: "operators/{operator}/sessions", own: true, permission: auth.SessionsEnd, stepUp: true, action: "session.end_all", handle: a.endOperatorSessions},
		{method: "GET", pattern: "operators/{operator}/sessions", own: true, permission: auth.OperatorsRead, handle: a.listOperatorSessions},
		{method: "DELETE", pattern: "operators/{operator}/sessions/{session}", own: true, permission: auth.SessionsEnd, stepUp: true, action: "session.end", handle: a.endOperatorSession},
		{method: "GET", pattern: "invitations", own: true, permission: auth.OperatorsRead, handle: a.listInvitations},
		{method: "DELETE", pattern: "invitations/{invitation}", own: true, permission: auth.OperatorsWrite, stepUp: true, action: "operator.uninvite", handle: a.revokeInvitation},
	}
}

// operator is an operator as the API shows them.
type operator struct {
	operatorRef
	Role         string        `json:"role"`
	Scope        tenancy.Scope `json:"scope"`
	Disabled     bool          `json:"disabled"`
	SecondFactor bool          `json:"second_factor"`
	Version      int64         `json:"version"`
	CreatedAt    time.Time     `json:"created_at"`
	UpdatedAt    time.Time     `json:"updated_at"`
	SignedInAt   time.Time     `json:"signed_in_at,omitzero"`
}

func operatorOf(o *auth.Operator) operator {
	return operator{refOf(o), o.Role, o.Scope, o.Disabled, o.SecondFactor, o.Version, o.CreatedAt, o.UpdatedAt, o.SignedInAt}
}

func (a *Admin) listOperators(c *call) error {
	const query = "operators"
	limit, err1 := c.limit()
	last, err2 := c.after(query, 1)
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	after := ""
	if last != nil {
		after = last[0]
	}
	var found []*auth.Operator
	for len(found) <= limit { // those that are not to be seen leave places in a page
		page, err := a.auth.Operators(c.ctx(), after, limit+1)
		if err != nil {
			return err
		}
		for _, o := range page {
			if c.sees(o) {
				found = append(found, o)
			}
			after = o.ID
		}
		if len(page) <= limit {
			break
		}
	}
	next := tenancy.Cursor("")
	if len(found) > limit {
		found = found[:limit]
		next = tenancy.NewCursor(query, found[limit-1].ID)
	}
	out := make([]operator, len(found))
	for i, o := range found {
		out[i] = operatorOf(o)
	}
	return c.reply(http.StatusOK, map[string]any{"operators": out, "next": next})
}

// sees reports whether the other operator may be seen. A scope that reaches beyond one's own names tenants that are not one's business.
func (c *call) sees(o *auth.Operator) bool {
	return o.ID == c.id.Operator.ID || auth.Covers(c.id.Scope, o.Scope)
}

// operatorOf returns the operator in the path. One who is not to be seen is not found.
func (c *call) operatorOf() (*auth.Operator, error) {
	o, err := c.admin.auth.Operator(c.ctx(), c.r.PathValue("operator"))
	if err == nil && !c.sees(o) {
		err = fmt.Errorf("%w: outside of the scope", tenancy.ErrNotFound)
	}
	return o, err
}

func (a *Admin) readOperator(c *call) error {
	o, err := c.operatorOf()
	if err != nil {
		return err
	}
	c.setVersion(o.Version)
	return c.reply(http.StatusOK, operatorOf(o))
}

func (a *Admin) patchOperator(c *call) error {
	var in struct {
		Name     *string        `json:"name"`
		Role     *string        `json:"role"`
		Scope    *tenancy.Scope `json:"scope"`
		Disabled *bool          `json:"disabled"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	o, err := c.operatorOf()
	if err != nil {
		return err
	}
	if err := c.ifMatch(o.Version); err != nil {
		return err
	}
	changed, err := a.auth.UpdateOperator(c.ctx(), o.ID, o.Version, c.id.Operator.ID,
		auth.OperatorChange{Name: in.Name, Role: in.Role, Scope: in.Scope, Disabled: in.Disabled})
	if errors.Is(err, tenancy.ErrConflict) {
		return problem.New(problem.Precondition, err)
	}
	if err != nil {
		return err
	}
	c.setVersion(changed.Version)
	return c.reply(http.StatusOK, operatorOf(changed))
}

// invite makes a link's token, which is mailed, or shown once to who asked.
func (a *Admin) invite(c *call) error {
	var in struct {
		Email string        `json:"email"`
		Name  string        `json:"name"`
		Role  string        `json:"role"`
		Scope tenancy.Scope `json:"scope"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	token, expires, err := a.auth.Invite(c.ctx(), c.id.Operator, auth.OperatorSpec{Email: in.Email, Name: in.Name, Role: in.Role, Scope: in.Scope})
	if err != nil {
		return err
	}
	return c.replyLink(token, expires)
}

// linkShown is a link's token, or says that it was sent. The page puts the token into the fragment of a link, so that no log has it.
type linkShown struct {
	Token     string    `json:"token,omitempty"`
	Sent      bool      `json:"sent"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (c *call) replyLink(token tenancy.Secret, expires time.Time) error {
	return c.reply(http.StatusCreated, linkShown{token.Reveal(), token.Reveal() == "", expires})
}

func (a *Admin) endOperatorSessions(c *call) error {
	o, err := c.operatorOf()
	if err != nil {
		return err
	}
	if err := a.auth.MayGrant(c.id.Operator, o.Role, o.Scope); err != nil {
		return err
	}
	n, err := a.auth.EndSessions(c.ctx(), o.ID, c.id.Session.ID)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]int64{"ended": n})
}

func (a *Admin) listOperatorSessions(c *call) error {
	o, err := c.operatorOf()
	if err != nil {
		return err
	}
	return a.replySessions(c, o.ID)
}

func (a *Admin) endOperatorSession(c *call) error {
	o, err := c.operatorOf()
	if err == nil {
		err = a.auth.MayGrant(c.id.Operator, o.Role, o.Scope)
	}
	if err == nil {
		err = a.auth.EndSession(c.ctx(), o.ID, c.r.PathValue("session"))
	}
	if err != nil {
		return err
	}
	return c.noContent()
}

// invitation is an invitation as the API shows it. Its token has no field.
type invitation struct {
	ID        string        `json:"id"`
	Email     string        `json:"email"`
	Name      string        `json:"name"`
	Role      string        `json:"role"`
	Scope     tenancy.Scope `json:"scope"`
	InvitedBy string        `json:"invited_by"`
	ExpiresAt time.Time     `json:"expires_at"`
}

func (a *Admin) listInvitations(c *call) error {
	found, err := a.auth.Invitations(c.ctx())
	if err != nil {
		return err
	}
	out := []invitation{}
	for _, i := range found {
		if auth.Covers(c.id.Scope, i.Scope) {
			out = append(out, invitation{i.ID, i.Email, i.Name, i.Role, i.Scope, i.InvitedBy, i.ExpiresAt})
		}
	}
	return c.reply(http.StatusOK, map[string]any{"invitations": out})
}

func (a *Admin) revokeInvitation(c *call) error {
	if err := a.auth.RevokeInvitation(c.ctx(), c.id.Operator, c.r.PathValue("invitation")); err != nil {
		return err
	}
	return c.noContent()
}
