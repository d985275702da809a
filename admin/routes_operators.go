package admin

import (
	"cmp"
	"errors"
	"net/http"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/internal/problem"
)

func (a *Admin) operatorRoutes() []route {
	return []route{
		{method: "GET", pattern: "operators", permission: auth.OperatorsRead, handle: a.listOperators},
		{method: "GET", pattern: "operators/{operator}", permission: auth.OperatorsRead, handle: a.readOperator},
		{method: "POST", pattern: "invitations", permission: auth.OperatorsWrite, stepUp: true, action: "operator.invite", handle: a.invite},
		{method: "PATCH", pattern: "operators/{operator}", permission: auth.OperatorsWrite, stepUp: true, action: "operator.update", handle: a.patchOperator},
		{method: "DELETE", pattern: "operators/{operator}/sessions", permission: auth.SessionsEnd, stepUp: true, action: "session.end_all", handle: a.endOperatorSessions},
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
	if err := c.onlyQuery("limit", "cursor"); err != nil {
		return err
	}
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
	found, err := a.auth.Operators(c.ctx(), after, limit+1)
	if err != nil {
		return err
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

func (a *Admin) readOperator(c *call) error {
	o, err := a.auth.Operator(c.ctx(), c.r.PathValue("operator"))
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
	o, err := a.auth.Operator(c.ctx(), c.r.PathValue("operator"))
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

// invite makes a link's token, which is shown once: to who asked. The page puts it into the fragment of a link, so that no log has it.
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
	return c.reply(http.StatusCreated, map[string]any{"token": token.Reveal(), "expires_at": expires})
}

func (a *Admin) endOperatorSessions(c *call) error {
	o, err := a.auth.Operator(c.ctx(), c.r.PathValue("operator"))
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
