package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// Kinds of links, and how long they work.
const (
	linkReset    = "reset"
	linkRescue   = "rescue"
	resetLasts   = time.Hour
	rescueLasts  = 15 * time.Minute
	rescueRecent = 7 * 24 * time.Hour
)

// errLink is the only error for a link that does not work: it must not tell an attacker why.
var errLink = fmt.Errorf("%w: not a valid link", tenancy.ErrUnauthenticated)

// newLink adds a link for the operator within tx.
func (a *Auth) newLink(ctx context.Context, tx *sqlx.Tx, kind, operator, by string, lasts time.Duration) (token tenancy.Secret, expires time.Time, err error) {
	text := newToken()
	expires = now().Add(lasts)
	_, err = a.store.exec(ctx, tx, `INSERT INTO tenancy_auth_links (token_hash, kind, operator_id, made_by, created_at, expires_at, used_at) VALUES (?, ?, ?, ?, ?, ?, 0)`,
		tenancy.DigestOf(text).String(), kind, operator, by, micro(now()), micro(expires))
	return tenancy.NewSecret(text), expires, err
}

// linkRow is whose link it is, and which operator made it for them, or "".
type linkRow struct {
	Operator string `db:"operator_id"`
	By       string `db:"made_by"`
}

// linkOf returns the link of that token, if it can be used.
func (a *Auth) linkOf(ctx context.Context, kind, hash string) (link linkRow, err error) {
	err = a.store.get(ctx, a.store.db, &link, `SELECT operator_id, made_by FROM tenancy_auth_links WHERE token_hash = ? AND kind = ? AND used_at = 0 AND expires_at > ?`,
		hash, kind, micro(now()))
	if isNotFound(err) {
		err = errLink
	}
	return link, err
}

// mayReset refuses to let one operator make a link for another, who has more. Without a mailer the maker sees the link, and could sign in as an operator
// who has no second factor. Then only owners of all tenants make one: they can reset second factors, too.
func (a *Auth) mayReset(ctx context.Context, tx *sqlx.Tx, by string, row *operatorRow) error {
	o, err := row.operator()
	if err == nil {
		err = a.grants(ctx, tx, by, o.Role, o.Scope)
	}
	if err != nil || a.opts.Mail != nil || o.SecondFactor {
		return err
	}
	maker, err := a.store.operatorBy(ctx, tx, "id", by)
	if err != nil {
		return err
	}
	if who, err := maker.operator(); err != nil || !isOwner(who) {
		return cmp.Or(err, fmt.Errorf("%w: the operator has no second factor; an owner of all tenants makes this link", tenancy.ErrForbidden))
	}
	return nil
}

// spendLink uses a link up within tx, and with it all of the operator's that reset a password. Of many calls one wins.
func (a *Auth) spendLink(ctx context.Context, tx *sqlx.Tx, kind, hash, operator string) error {
	at := micro(now())
	n, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_links SET used_at = ? WHERE token_hash = ? AND kind = ? AND used_at = 0 AND expires_at > ?`, at, hash, kind, at)
	if err == nil && n == 0 {
		err = errLink
	}
	if err == nil {
		err = a.dropResets(ctx, tx, operator)
	}
	return err
}

// dropResets removes within tx all links with which the operator can choose a password. Those of a rescue stay: the overview shows them.
func (a *Auth) dropResets(ctx context.Context, tx *sqlx.Tx, operator string) error {
	_, err := a.store.exec(ctx, tx, `DELETE FROM tenancy_auth_links WHERE operator_id = ? AND kind = ?`, operator, linkReset)
	return err
}

// NewReset returns a token with which another operator, who has no more than the one who asks, chooses a new password, once, within an
// hour. If there is a mailer, it goes to that operator's address, and the token returned is empty; without one, only an owner of all tenants makes it
// for an operator who has no second factor. The link works as long as the one who asks may make it. An operator who has more, or who asks
// for themselves, is an error that wraps [tenancy.ErrForbidden].
func (a *Auth) NewReset(ctx context.Context, by *Identity, operator string) (token tenancy.Secret, expires time.Time, err error) {
	const op = "auth.Auth.NewReset"
	if by.Operator.ID == operator {
		return tenancy.Secret{}, time.Time{}, tenancy.Wrap(op, "", fmt.Errorf("%w: operators change their own password by the old one", tenancy.ErrForbidden))
	}
	var o *Operator
	err = a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_state SET changes = changes + 1 WHERE id = 1`); err != nil {
			return err
		}
		row, err := a.store.operatorBy(ctx, tx, "id", operator)
		if err != nil {
			return err
		}
		if o, err = row.operator(); err != nil {
			return err
		}
		if err := a.mayReset(ctx, tx, by.Operator.ID, row); err != nil {
			return err
		}
		if o.Disabled {
			return fmt.Errorf("%w: the operator is disabled", tenancy.ErrConflict)
		}
		if token, expires, err = a.newLink(ctx, tx, linkReset, operator, by.Operator.ID, resetLasts); err != nil {
			return err
		}
		return a.audit(ctx, tx, "operator.reset", operator, tenancy.AuditDone)
	})
	if err == nil && a.opts.Mail != nil {
		err = a.send(ctx, a.resetMail(o, token, expires))
		token = tenancy.Secret{}
	}
	if err != nil {
		return tenancy.Secret{}, time.Time{}, tenancy.Wrap(op, "", err)
	}
	return token, expires, nil
}

func (a *Auth) resetMail(o *Operator, token tenancy.Secret, expires time.Time) *Mail {
	return &Mail{Kind: MailReset, To: o.Email, Name: o.Name, Link: a.link("reset", token), Expires: expires, Text: "With this link you choose a new password for " + a.opts.Name + ". It works once, for an hour. If you did not ask for it, do nothing."}
}

// Forgot asks for a link to choose a new password, for the operator with that address. It is sent by [Options.Mail], beside the request,
// so that whether there is such an operator does not show. Without a mailer it is an error that wraps [tenancy.ErrNotFound].
func (a *Auth) Forgot(r *http.Request, email string) error {
	const op = "auth.Auth.Forgot"
	if a.opts.Mail == nil {
		return tenancy.Wrap(op, "", fmt.Errorf("%w: no mailer", tenancy.ErrNotFound))
	}
	c, err := a.current(r.Context())
	if err == nil {
		err = a.entrance(r, c)
	}
	if err != nil {
		return tenancy.Wrap(op, "", err)
	}
	account, err := canonicalEmail(email)
	if err != nil {
		return tenancy.Wrap(op, "", &FieldError{"email", "malformed", err})
	}
	if err := a.limit(r.Context(), r, account, nil); err != nil {
		return tenancy.Wrap(op, "", err)
	}
	select {
	case a.forgotten <- forgotten{account, a.stranger(r)}:
		return nil
	default:
		return tenancy.Wrap(op, "", &limitedError{time.Minute})
	}
}

// forgotten is a link that somebody asked for by [Auth.Forgot].
type forgotten struct {
	email string
	by    tenancy.Actor
}

// stranger is the actor of a request that no session or link proves to be an operator's.
func (a *Auth) stranger(r *http.Request) tenancy.Actor {
	by := tenancy.ActorFrom(r.Context())
	by.Kind, by.ID = tenancy.ActorUnknown, ""
	by.Address = cmp.Or(by.Address, a.Client(r))
	return by
}

// mailReset sends the link that was asked for by [Auth.Forgot]. Anybody may ask, so the entry names no operator as the actor.
func (a *Auth) mailReset(ctx context.Context, f forgotten) error {
	row, err := a.store.operatorBy(ctx, a.store.db, "email", f.email)
	if isNotFound(err) || err == nil && row.DisabledAt != 0 {
		return nil
	}
	if err != nil {
		return err
	}
	o, err := row.operator()
	if err != nil {
		return err
	}
	var token tenancy.Secret
	var expires time.Time
	err = a.store.tx(tenancy.WithActor(ctx, f.by), func(ctx context.Context, tx *sqlx.Tx) error {
		if token, expires, err = a.newLink(ctx, tx, linkReset, o.ID, "", resetLasts); err != nil {
			return err
		}
		return a.audit(ctx, tx, "operator.reset", o.ID, tenancy.AuditDone)
	})
	if err != nil {
		return err
	}
	return a.send(ctx, a.resetMail(o, token, expires))
}

// Reset chooses the password of a link's operator, and ends all their sessions. A mail tells the operator, if there is a mailer, and
// signs in then, with the second factor. A link that does not work is an error that wraps [tenancy.ErrUnauthenticated]; a weak password is
// a [*FieldError], and the link can be used again.
func (a *Auth) Reset(r *http.Request, token, password tenancy.Secret) error {
	const op = "auth.Auth.Reset"
	row, link, hash, phc, err := a.beginReset(r, linkReset, token, password)
	if err != nil {
		return tenancy.Wrap(op, "", err)
	}
	ctx := tenancy.WithActor(r.Context(), tenancy.Actor{Kind: tenancy.ActorOperator, ID: row.ID})
	err = a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := a.stillMade(ctx, tx, link); err != nil {
			return err
		}
		if err := a.spendLink(ctx, tx, linkReset, hash, row.ID); err != nil {
			return err
		}
		n, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_operators SET password_hash = ?, failed_sign_ins = 0, version = version + 1, updated_at = ? WHERE id = ? AND disabled_at = 0`, phc, micro(now()), row.ID)
		if err == nil && n == 0 {
			err = errLink
		}
		if err == nil {
			_, err = a.store.exec(ctx, tx, `DELETE FROM tenancy_auth_sessions WHERE operator_id = ?`, row.ID)
		}
		if err != nil {
			return err
		}
		return a.audit(ctx, tx, "operator.password", row.ID, tenancy.AuditDone)
	})
	if err != nil {
		return tenancy.Wrap(op, "", err)
	}
	a.tellChanged(ctx, row)
	return nil
}

// stillMade refuses a link whose maker may not make it any more: they were disabled, or have less, or the other one has more, by now.
func (a *Auth) stillMade(ctx context.Context, tx *sqlx.Tx, link linkRow) error {
	if link.By == "" {
		return nil
	}
	if _, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_state SET changes = changes + 1 WHERE id = 1`); err != nil {
		return err
	}
	row, err := a.store.operatorBy(ctx, tx, "id", link.Operator)
	if err == nil {
		err = a.mayReset(ctx, tx, link.By, row)
	}
	if isNotFound(err) || errors.Is(err, tenancy.ErrForbidden) {
		err = errLink
	}
	return err
}

func (a *Auth) tellChanged(ctx context.Context, row *operatorRow) {
	a.tell(ctx, &Mail{Kind: MailPasswordChanged, To: row.Email, Name: row.Name,
		Text: "Your password for " + a.opts.Name + " was changed. If it was not you, tell the operators of the service at once."})
}

// beginReset checks a link and the new password of its operator, and hashes it.
func (a *Auth) beginReset(r *http.Request, kind string, token, password tenancy.Secret) (row *operatorRow, link linkRow, hash, phc string, err error) {
	ctx := r.Context()
	if err := a.mayCarryCredentials(r); err != nil {
		return nil, link, "", "", err
	}
	c, err := a.current(ctx)
	if err == nil && kind != linkRescue { // a rescue passes the rules about addresses
		err = a.entrance(r, c)
	}
	if err == nil {
		err = a.limit(ctx, r, "", nil)
	}
	if err != nil {
		return nil, link, "", "", err
	}
	hash = tenancy.DigestOf(token.Reveal()).String()
	if link, err = a.linkOf(ctx, kind, hash); err != nil {
		return nil, link, "", "", err
	}
	row, err = a.store.operatorBy(ctx, a.store.db, "id", link.Operator)
	if isNotFound(err) {
		err = errLink
	}
	if err == nil && kind != linkRescue && !c.rules.admits(row.Role, row.ID, a.Client(r)) {
		if err = a.audit(ctx, nil, "session.address", row.ID, tenancy.AuditDenied); err == nil {
			err = errAddress
		}
	}
	if err == nil {
		err = a.checkPassword(password.Reveal(), row.Email)
	}
	if err == nil {
		phc, err = a.hasher.Hash(ctx, password.Reveal())
	}
	return row, link, hash, phc, err
}

// ChangePassword changes the password of the operator whose session the request has, after the old one was shown. Their other sessions
// end, and this one gets a new token. A wrong old password is an error that wraps [tenancy.ErrUnauthenticated]; a weak new one is a
// [*FieldError].
func (a *Auth) ChangePassword(w http.ResponseWriter, r *http.Request, old, password tenancy.Secret) error {
	const op = "auth.Auth.ChangePassword"
	return tenancy.Wrap(op, "", a.changePassword(w, r, old, password))
}

func (a *Auth) changePassword(w http.ResponseWriter, r *http.Request, old, password tenancy.Secret) error {
	id, err := a.identify(r)
	if err == nil && (id.Token != nil || id.Session.Stage != StageFull) {
		err = fmt.Errorf("%w: the sign-in is not complete", tenancy.ErrUnauthenticated)
	}
	if err != nil {
		return err
	}
	ctx := tenancy.WithActor(r.Context(), id.Actor())
	if err := a.limit(ctx, r, id.Operator.Email, a.knownAs(ctx, r, id.Operator.ID)); err != nil {
		return err
	}
	row, err := a.store.operatorBy(ctx, a.store.db, "id", id.Operator.ID)
	if err != nil {
		return hide(err)
	}
	ok, _, err := a.verify(ctx, row, old, true)
	if err == nil && !ok {
		if err = a.audit(ctx, nil, "operator.password", row.ID, tenancy.AuditDenied); err == nil {
			err = errCredentials
		}
	}
	if err == nil {
		err = a.checkPassword(password.Reveal(), row.Email)
	}
	if err != nil {
		return err
	}
	phc, err := a.hasher.Hash(ctx, password.Reveal())
	if err != nil {
		return err
	}
	err = a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		n, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_operators SET password_hash = ?, version = version + 1, updated_at = ? WHERE id = ? AND password_hash = ?`, phc, micro(now()), row.ID, row.PasswordHash)
		if err == nil && n == 0 {
			err = errCredentials
		}
		if err == nil {
			_, err = a.store.exec(ctx, tx, `DELETE FROM tenancy_auth_sessions WHERE operator_id = ? AND id <> ?`, row.ID, id.Session.ID)
		}
		if err == nil {
			err = a.dropResets(ctx, tx, row.ID)
		}
		if err != nil {
			return err
		}
		return a.audit(ctx, tx, "operator.password", row.ID, tenancy.AuditDone)
	})
	if err != nil {
		return err
	}
	a.tellChanged(ctx, row)
	return a.sessions.renew(w, id.live, func(context.Context) {})
}
