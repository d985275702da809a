package admin

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
)

// authRoutes are the rows by which operators sign in and out.
func (a *Admin) authRoutes() []route {
	return []route{
		{method: "POST", pattern: "auth/setup", body: true, own: true, audience: everybody, action: "operator.create", handle: a.setup},
		{method: "POST", pattern: "auth/accept", body: true, own: true, audience: everybody, action: "operator.create", handle: a.accept},
		{method: "POST", pattern: "auth/sign-in", body: true, own: true, audience: everybody, action: "session.sign_in", handle: a.signIn},
		{method: "POST", pattern: "auth/sign-out", own: true, audience: everybody, action: "session.sign_out", handle: a.signOut},
		{method: "POST", pattern: "auth/second-factor", body: true, own: true, audience: signingIn, action: "session.second_factor", handle: a.secondFactor},
		{method: "POST", pattern: "auth/enrolment", own: true, audience: signingIn, action: "operator.enrol", handle: a.beginEnrolment},
		{method: "POST", pattern: "auth/enrolment/confirm", body: true, own: true, audience: signingIn, action: "operator.enrol", handle: a.enrol},
		{method: "POST", pattern: "auth/step-up", body: true, own: true, audience: signedInTo, action: "session.step_up", handle: a.stepUp},
		{method: "GET", pattern: "sessions", own: true, audience: signedInTo, handle: a.listSessions},
		{method: "DELETE", pattern: "sessions", own: true, audience: signedInTo, action: "session.end_all", handle: a.endSessions},
		{method: "DELETE", pattern: "sessions/{session}", own: true, audience: signedInTo, action: "session.end", handle: a.endSession},
	}
}

// signedIn says how far a sign-in has come.
type signedIn struct {
	// Next is what is missing: "second-factor" or "enrol", or "" when the operator is signed in.
	Next           string      `json:"next"`
	Operator       operatorRef `json:"operator"`
	FailedAttempts int64       `json:"failed_attempts"`
	ExpiresAt      time.Time   `json:"expires_at"`
}

type operatorRef struct {
	ID    string `json:"id"`
	Email string `json:"email"`
	Name  string `json:"name"`
}

func refOf(o *auth.Operator) operatorRef { return operatorRef{o.ID, o.Email, o.Name} }

func (c *call) replySignedIn(id *auth.Identity) error {
	out := signedIn{Operator: refOf(id.Operator), FailedAttempts: id.FailedSignIns, ExpiresAt: id.Session.ExpiresAt}
	if id.Session.Stage != auth.StageFull {
		out.Next = string(id.Session.Stage)
	}
	return c.reply(http.StatusOK, out)
}

func (a *Admin) setup(c *call) error {
	var in struct {
		Token    string `json:"token"`
		Email    string `json:"email"`
		Name     string `json:"name"`
		Password string `json:"password"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	id, err := a.auth.Setup(c.w, c.r, tenancy.NewSecret(in.Token), auth.OperatorSpec{Email: in.Email, Name: in.Name, Password: in.Password})
	if err != nil {
		return err
	}
	return c.replySignedIn(id)
}

// accept makes the operator of an invitation.
func (a *Admin) accept(c *call) error {
	var in struct {
		Token    string `json:"token"`
		Password string `json:"password"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	id, err := a.auth.Accept(c.w, c.r, tenancy.NewSecret(in.Token), tenancy.NewSecret(in.Password))
	if err != nil {
		return err
	}
	return c.replySignedIn(id)
}

func (a *Admin) signIn(c *call) error {
	var in struct {
		Email    string `json:"email"`
		Password string `json:"password"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	id, err := a.auth.SignIn(c.w, c.r, in.Email, tenancy.NewSecret(in.Password))
	a.metrics.signIn(c.ctx(), err)
	if err != nil {
		return err
	}
	return c.replySignedIn(id)
}

func (a *Admin) signOut(c *call) error {
	if err := a.auth.SignOut(c.w, c.r); err != nil {
		return err
	}
	return c.noContent()
}

// codeInput is a second factor: a time-based code or a recovery code.
type codeInput struct {
	Code string `json:"code"`
}

func (a *Admin) secondFactor(c *call) error {
	var in codeInput
	if err := c.decode(&in); err != nil {
		return err
	}
	id, err := a.auth.SecondFactor(c.w, c.r, tenancy.NewSecret(in.Code))
	if err != nil {
		return err
	}
	return c.replySignedIn(id)
}

func (a *Admin) beginEnrolment(c *call) error {
	e, err := a.auth.BeginEnrol(c.w, c.r)
	if err != nil {
		return err
	}
	code, err := newQRCode(e.URL.Reveal())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]any{"secret": e.Secret.Reveal(), "url": e.URL.Reveal(), "qr": code})
}

func (a *Admin) enrol(c *call) error {
	var in codeInput
	if err := c.decode(&in); err != nil {
		return err
	}
	_, codes, err := a.auth.Enrol(c.w, c.r, tenancy.NewSecret(in.Code))
	if err != nil {
		return err
	}
	return c.replyCodes(codes)
}

func (a *Admin) stepUp(c *call) error {
	var in struct {
		Password string `json:"password"`
		Code     string `json:"code"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	id, err := a.auth.StepUp(c.w, c.r, tenancy.NewSecret(in.Password), tenancy.NewSecret(in.Code))
	if err != nil {
		return err
	}
	return c.replySignedIn(id)
}

// session is a session of the operator who asks.
type session struct {
	ID         string     `json:"id"`
	Current    bool       `json:"current"`
	CreatedAt  time.Time  `json:"created_at"`
	LastSeenAt time.Time  `json:"last_seen_at"`
	ExpiresAt  time.Time  `json:"expires_at"`
	Address    netip.Addr `json:"address,omitzero"`
	UserAgent  string     `json:"user_agent,omitempty"`
}

func (a *Admin) listSessions(c *call) error { return a.replySessions(c, c.id.Operator.ID) }

func (a *Admin) replySessions(c *call, operator string) error {
	found, err := a.auth.Sessions(c.ctx(), operator)
	if err != nil {
		return err
	}
	out := make([]session, len(found))
	for i, s := range found {
		out[i] = session{s.ID, s.ID == c.id.Session.ID, s.CreatedAt, s.LastSeenAt, s.ExpiresAt, s.Address, s.UserAgent}
	}
	return c.reply(http.StatusOK, map[string]any{"sessions": out})
}

// endSessions ends all sessions of the operator except the one that asks.
func (a *Admin) endSessions(c *call) error {
	n, err := a.auth.EndSessions(c.ctx(), c.id.Operator.ID, c.id.Session.ID)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]int64{"ended": n})
}

func (a *Admin) endSession(c *call) error {
	if err := a.auth.EndSession(c.ctx(), c.id.Operator.ID, c.r.PathValue("session")); err != nil {
		return err
	}
	return c.noContent()
}
