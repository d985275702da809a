package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// setupLasts is how long a setup token works.
const setupLasts = time.Hour

// newToken returns a random text of 256 bits.
func newToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}

// NewSetupToken returns a token with which somebody makes the first owner, within an hour. Each call makes another; of all tokens,
// instances and callers one wins. Once there is an owner, it is an error that wraps [tenancy.ErrExists].
func (a *Auth) NewSetupToken(ctx context.Context) (tenancy.Secret, error) {
	const op = "auth.Auth.NewSetupToken"
	var claimed int64
	if err := a.store.get(ctx, a.store.db, &claimed, `SELECT claimed_at FROM tenancy_auth_state WHERE id = 1`); err != nil {
		return tenancy.Secret{}, tenancy.Wrap(op, "", err)
	}
	if claimed != 0 {
		return tenancy.Secret{}, tenancy.Wrap(op, "", fmt.Errorf("%w: an owner", tenancy.ErrExists))
	}
	token := newToken()
	_, err := a.store.exec(ctx, a.store.db, `INSERT INTO tenancy_auth_setup_tokens (token_hash, expires_at) VALUES (?, ?)`,
		tenancy.DigestOf(token).String(), micro(now().Add(setupLasts)))
	if err != nil {
		return tenancy.Secret{}, tenancy.Wrap(op, "", err)
	}
	return tenancy.NewSecret(token), nil
}

// errSetup is the only error for a setup token that does not work: it must not tell an attacker why.
var errSetup = fmt.Errorf("%w: not a valid setup token", tenancy.ErrUnauthenticated)

// Setup makes the first owner with a token of [Auth.NewSetupToken], and signs them in. A token that does not work is an error that
// wraps [tenancy.ErrUnauthenticated]; a malformed field is a [*FieldError], and the token can be used again.
func (a *Auth) Setup(w http.ResponseWriter, r *http.Request, token tenancy.Secret, spec OperatorSpec) (*Identity, error) {
	const op = "auth.Auth.Setup"
	ctx := r.Context()
	c, err := a.admit(r)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	hash := tenancy.DigestOf(token.Reveal()).String()
	const valid = `SELECT COUNT(*) FROM tenancy_auth_setup_tokens WHERE token_hash = ? AND expires_at > ?`
	var n int
	if err := a.store.get(ctx, a.store.db, &n, valid, hash, micro(now())); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	if n == 0 {
		return nil, tenancy.Wrap(op, "", errSetup)
	}
	spec.Role, spec.Scope = RoleOwner, tenancy.AllTenants()
	if err := a.check(&spec); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	password, err := a.hasher.Hash(ctx, spec.Password)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	var id *Identity
	err = a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		n, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_state SET claimed_at = ? WHERE id = 1 AND claimed_at = 0`, micro(now()))
		if err == nil && n == 1 {
			n, err = a.store.exec(ctx, tx, `DELETE FROM tenancy_auth_setup_tokens WHERE token_hash = ? AND expires_at > ?`, hash, micro(now()))
		}
		if err == nil && n == 0 {
			err = errSetup
		}
		if err == nil {
			_, err = a.store.exec(ctx, tx, `DELETE FROM tenancy_auth_setup_tokens`)
		}
		var made *Operator
		if err == nil {
			made, err = a.insert(ctx, tx, &spec, password)
		}
		if err == nil {
			id, err = a.open(ctx, tx, r, made, c, opening{})
		}
		return err
	})
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return id, tenancy.Wrap(op, "", a.welcome(w, r, id))
}
