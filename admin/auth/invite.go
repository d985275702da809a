package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// invitationLasts is how long an invitation works.
const invitationLasts = 24 * time.Hour

// errInvitation is the only error for an invitation that does not work: it must not tell an attacker why.
var errInvitation = fmt.Errorf("%w: not a valid invitation", tenancy.ErrUnauthenticated)

// invitationRow is a row of tenancy_auth_invitations without its token.
type invitationRow struct {
	Email     string `db:"email"`
	Name      string `db:"name"`
	Role      string `db:"role"`
	Scope     string `db:"scope"`
	InvitedBy string `db:"invited_by"`
}

// MayGrant reports whether an operator has all of a role and scope themselves; nobody grants more. The error wraps
// [tenancy.ErrForbidden].
func (a *Auth) MayGrant(by *Operator, role string, scope tenancy.Scope) error {
	if by.Disabled || !a.opts.Roles[by.Role].Includes(a.opts.Roles[role]) {
		return fmt.Errorf("%w: role %.80q has permissions that the operator lacks", tenancy.ErrForbidden, role)
	}
	if !covers(by.Scope, scope) {
		return fmt.Errorf("%w: the scope is wider than the operator's", tenancy.ErrForbidden)
	}
	return nil
}

// covers reports whether every tenant of inner is certainly one of outer.
func covers(outer, inner tenancy.Scope) bool {
	if outer.IsAll() || inner.IsZero() {
		return true
	}
	if inner.IsAll() {
		return false
	}
	tags, ids := outer.Tags(), outer.IDs()
	return !slices.ContainsFunc(inner.Tags(), func(tag string) bool { return !slices.Contains(tags, tag) }) &&
		!slices.ContainsFunc(inner.IDs(), func(id tenancy.ID) bool { return !slices.Contains(ids, id) })
}

// Invite returns a token with which somebody becomes an operator with that role and scope, once, within 24 hours; the spec has no
// password. If there is a mailer, it goes to the address in the spec, and the token returned is empty. Whether the address has an account already does not show. A role or scope that the inviting operator lacks is an error that
// wraps [tenancy.ErrForbidden]; a malformed field is a [*FieldError].
func (a *Auth) Invite(ctx context.Context, by *Operator, spec OperatorSpec) (token tenancy.Secret, expires time.Time, err error) {
	const op = "auth.Auth.Invite"
	if err := a.checkWho(&spec); err != nil {
		return tenancy.Secret{}, time.Time{}, tenancy.Wrap(op, "", err)
	}
	if err := a.MayGrant(by, spec.Role, spec.Scope); err != nil {
		return tenancy.Secret{}, time.Time{}, tenancy.Wrap(op, "", err)
	}
	scope, err := json.Marshal(spec.Scope)
	if err != nil {
		return tenancy.Secret{}, time.Time{}, tenancy.Wrap(op, "", err)
	}
	text := newToken()
	expires = now().Add(invitationLasts)
	err = a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		_, err := a.store.exec(ctx, tx, `INSERT INTO tenancy_auth_invitations (token_hash, email, name, role, scope, invited_by, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			tenancy.DigestOf(text).String(), spec.Email, spec.Name, spec.Role, string(scope), by.ID, micro(expires))
		if err != nil {
			return err
		}
		return a.audit(ctx, tx, "operator.invite", spec.Email, tenancy.AuditDone, change("role", nil, spec.Role), change("scope", nil, spec.Scope))
	})
	if err != nil {
		return tenancy.Secret{}, time.Time{}, tenancy.Wrap(op, "", err)
	}
	token = tenancy.NewSecret(text)
	if a.opts.Mail != nil {
		err = a.send(ctx, &Mail{Kind: MailInvitation, To: spec.Email, Name: spec.Name, Link: a.link("invitation", token), Expires: expires,
			Text: "You are invited to " + a.opts.Name + ". With this link you choose a password. It works once, for 24 hours."})
		token = tenancy.Secret{}
	}
	return token, expires, tenancy.Wrap(op, "", err)
}

// Accept makes the operator of an invitation, with that password, and signs them in. Of many calls with one token one wins. An invitation
// that does not work, also because the inviter may not invite any more, is an error that wraps [tenancy.ErrUnauthenticated]; a weak
// password is a [*FieldError], and the invitation can be used again.
func (a *Auth) Accept(w http.ResponseWriter, r *http.Request, token, password tenancy.Secret) (*Identity, error) {
	const op = "auth.Auth.Accept"
	ctx := r.Context()
	c, err := a.admit(r)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	hash := tenancy.DigestOf(token.Reveal()).String()
	var row invitationRow
	err = a.store.get(ctx, a.store.db, &row, `SELECT email, name, role, scope, invited_by FROM tenancy_auth_invitations WHERE token_hash = ? AND expires_at > ?`, hash, micro(now()))
	if isNotFound(err) {
		err = errInvitation
	}
	if err == nil && !within(c.rules.Roles[row.Role], a.Client(r)) { // the invitation can be used again, from elsewhere
		err = errAddress
	}
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	spec := OperatorSpec{Email: row.Email, Name: row.Name, Role: row.Role, Password: password.Reveal()}
	if err := json.Unmarshal([]byte(row.Scope), &spec.Scope); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	if err := a.check(&spec); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	phc, err := a.hasher.Hash(ctx, spec.Password)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	var id *Identity
	err = a.store.tx(tenancy.WithActor(ctx, a.stranger(r)), func(ctx context.Context, tx *sqlx.Tx) error {
		n, err := a.store.exec(ctx, tx, `DELETE FROM tenancy_auth_invitations WHERE token_hash = ? AND expires_at > ?`, hash, micro(now()))
		if err == nil && n == 0 {
			err = errInvitation
		}
		if err == nil {
			err = a.grants(ctx, tx, row.InvitedBy, row.Role, spec.Scope)
		}
		var made *Operator
		if err == nil {
			made, err = a.insert(ctx, tx, &spec, phc, change("invited_by", nil, row.InvitedBy))
		}
		if err == nil {
			id, err = a.open(ctx, tx, r, made, c, opening{})
		}
		return err
	})
	if errors.Is(err, tenancy.ErrExists) || errors.Is(err, tenancy.ErrForbidden) { // whether an address has an account is nobody's business
		err = errInvitation
	}
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return id, tenancy.Wrap(op, "", a.welcome(w, r, id))
}

// grants reports whether the operator with that ID, as they are in the transaction, may give somebody that role and scope. The error
// wraps [tenancy.ErrForbidden].
func (a *Auth) grants(ctx context.Context, tx *sqlx.Tx, by, role string, scope tenancy.Scope) error {
	row, err := a.store.operatorBy(ctx, tx, "id", by)
	if isNotFound(err) {
		return fmt.Errorf("%w: no operator %.80q", tenancy.ErrForbidden, by)
	}
	if err != nil {
		return err
	}
	o, err := row.operator()
	if err != nil {
		return err
	}
	if !a.opts.Roles[o.Role].Has(OperatorsWrite) {
		return fmt.Errorf("%w: permission %s is missing", tenancy.ErrForbidden, OperatorsWrite)
	}
	return a.MayGrant(o, role, scope)
}

// Invitation is an invitation that can be used.
type Invitation struct {
	// ID names it; it is not the token.
	ID        string
	Email     string
	Name      string
	Role      string
	Scope     tenancy.Scope
	InvitedBy string // an operator
	ExpiresAt time.Time
}

// invitationID returns the name of an invitation, which says nothing about its token.
func invitationID(hash string) string { return tenancy.DigestOf(hash).String()[:24] }

// Invitations returns the invitations that can be used, those that expire first in front; 1,000 at most.
func (a *Auth) Invitations(ctx context.Context) ([]Invitation, error) {
	const op = "auth.Auth.Invitations"
	var rows []struct {
		Hash string `db:"token_hash"`
		invitationRow
		ExpiresAt int64 `db:"expires_at"`
	}
	err := a.store.db.SelectContext(ctx, &rows, a.store.dialect.Rebind(`SELECT token_hash, email, name, role, scope, invited_by, expires_at FROM tenancy_auth_invitations
		WHERE expires_at > ? ORDER BY expires_at, token_hash LIMIT 1000`), micro(now()))
	if err != nil {
		return nil, tenancy.Wrap(op, "", unavailable(err))
	}
	out := make([]Invitation, len(rows))
	for i, r := range rows {
		out[i] = Invitation{ID: invitationID(r.Hash), Email: r.Email, Name: r.Name, Role: r.Role, InvitedBy: r.InvitedBy, ExpiresAt: fromMicro(r.ExpiresAt)}
		if err := json.Unmarshal([]byte(r.Scope), &out[i].Scope); err != nil {
			return nil, tenancy.Wrap(op, "", err)
		}
	}
	return out, nil
}

// RevokeInvitation removes an invitation that an operator who asks may have made. One that is not there is an error that wraps
// [tenancy.ErrNotFound], and so is one whose scope reaches beyond the operator's; one to a role that has more is [tenancy.ErrForbidden].
func (a *Auth) RevokeInvitation(ctx context.Context, by *Operator, id string) error {
	const op = "auth.Auth.RevokeInvitation"
	var hashes []string
	if err := a.store.db.SelectContext(ctx, &hashes, `SELECT token_hash FROM tenancy_auth_invitations`); err != nil {
		return tenancy.Wrap(op, "", unavailable(err))
	}
	i := slices.IndexFunc(hashes, func(hash string) bool { return invitationID(hash) == id })
	if i < 0 {
		return tenancy.Wrap(op, "", fmt.Errorf("%w: invitation %.80q", tenancy.ErrNotFound, id))
	}
	return tenancy.Wrap(op, "", a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_state SET changes = changes + 1 WHERE id = 1`); err != nil {
			return err
		}
		var row invitationRow
		if err := a.store.get(ctx, tx, &row, `SELECT email, name, role, scope, invited_by FROM tenancy_auth_invitations WHERE token_hash = ?`, hashes[i]); err != nil {
			return err
		}
		var scope tenancy.Scope
		if err := json.Unmarshal([]byte(row.Scope), &scope); err != nil {
			return err
		}
		if !covers(by.Scope, scope) {
			return fmt.Errorf("%w: invitation %.80q to more tenants than the operator may see", tenancy.ErrNotFound, id)
		}
		if err := a.grants(ctx, tx, by.ID, row.Role, scope); err != nil {
			return err
		}
		if _, err := a.store.exec(ctx, tx, `DELETE FROM tenancy_auth_invitations WHERE token_hash = ?`, hashes[i]); err != nil {
			return err
		}
		return a.audit(ctx, tx, "operator.uninvite", row.Email, tenancy.AuditDone)
	}))
}
