package admin

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/internal/problem"
)

// passwordRoutes are the rows by which passwords and second factors are changed, and operators get in again.
func (a *Admin) passwordRoutes() []route {
	return []route{
		{method: "POST", pattern: "auth/password", body: true, own: true, audience: signedInTo, action: "operator.password", handle: a.changePassword},
		{method: "POST", pattern: "auth/forgot", body: true, own: true, audience: everybody, action: "operator.reset", part: partMail, handle: a.forgot},
		{method: "POST", pattern: "auth/reset", body: true, own: true, audience: everybody, action: "operator.password", handle: a.reset},
		{method: "POST", pattern: "auth/rescue", body: true, own: true, audience: everybody, action: "operator.rescued", handle: a.rescue},
		{method: "POST", pattern: "operators/{operator}/reset", idempotent: true, own: true, permission: auth.OperatorsWrite, stepUp: true, action: "operator.reset", handle: a.resetOperator},
		{method: "DELETE", pattern: "operators/{operator}/second-factor", own: true, permission: auth.OperatorsWrite, stepUp: true, action: "operator.factor_reset", handle: a.resetFactor},
		{method: "POST", pattern: "auth/recovery-codes", own: true, audience: signedInTo, action: "operator.recovery_codes", handle: a.newRecoveryCodes},
	}
}

func (a *Admin) changePassword(c *call) error {
	var in struct {
		Current  string `json:"current"`
		Password string `json:"password"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := a.auth.ChangePassword(c.w, c.r, tenancy.NewSecret(in.Current), tenancy.NewSecret(in.Password)); err != nil {
		return err
	}
	return c.noContent()
}

// forgot says nothing about whether there is such an operator.
func (a *Admin) forgot(c *call) error {
	var in struct {
		Email string `json:"email"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := a.auth.Forgot(c.r, in.Email); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

// linkInput is a link's token and the password that its operator chooses.
type linkInput struct {
	Token    string `json:"token"`
	Password string `json:"password"`
}

func (a *Admin) reset(c *call) error {
	var in linkInput
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := a.auth.Reset(c.r, tenancy.NewSecret(in.Token), tenancy.NewSecret(in.Password)); err != nil {
		return err
	}
	return c.noContent()
}

func (a *Admin) rescue(c *call) error {
	var in linkInput
	if err := c.decode(&in); err != nil {
		return err
	}
	id, err := a.auth.UseRescue(c.w, c.r, tenancy.NewSecret(in.Token), tenancy.NewSecret(in.Password))
	if err != nil {
		return err
	}
	return c.replySignedIn(id)
}

func (a *Admin) resetOperator(c *call) error {
	o, err := c.operatorOf()
	if err != nil {
		return err
	}
	token, expires, err := a.auth.NewReset(c.ctx(), c.id, o.ID)
	if err != nil {
		return err
	}
	return c.replyLink(token, expires)
}

func (a *Admin) resetFactor(c *call) error {
	o, err := c.operatorOf()
	if err != nil {
		return err
	}
	if err := a.auth.ResetSecondFactor(c.ctx(), c.id, o.ID); err != nil {
		return withoutFactor(err)
	}
	return c.noContent()
}

// newRecoveryCodes wants fresh credentials, as every row that makes credentials does; a session that somebody else found open is not enough.
func (a *Admin) newRecoveryCodes(c *call) error {
	if !c.id.Fresh() {
		return problem.New(problem.StepUp, fmt.Errorf("%w: credentials were shown at %v", tenancy.ErrForbidden, c.id.Session.AuthenticatedAt))
	}
	codes, err := a.auth.NewRecoveryCodes(c.ctx(), c.id)
	if err != nil {
		return withoutFactor(err)
	}
	return c.replyCodes(codes)
}

func withoutFactor(err error) error {
	if errors.Is(err, tenancy.ErrConflict) {
		return &stateError{"There is no second factor.", err}
	}
	return err
}

// replyCodes answers with recovery codes, which nobody is shown again.
func (c *call) replyCodes(codes []tenancy.Secret) error {
	shown := make([]string, len(codes))
	for i, code := range codes {
		shown[i] = code.Reveal()
	}
	return c.reply(http.StatusOK, map[string][]string{"recovery_codes": shown})
}
