package auth

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// Rescue returns a token for an owner who cannot get in any more, by whatever cause: a lost password, a lost second factor, or rules about
// addresses. It works once, for 15 minutes, with [Auth.UseRescue]. A program that can call it, such as a command on the service's own machine,
// has the database in any case; the entry in the audit names the context's actor, and [Auth.Rescues] lists it for a week. An
// address that is no owner's is an error that wraps [tenancy.ErrNotFound].
func (a *Auth) Rescue(ctx context.Context, email string) (token tenancy.Secret, expires time.Time, err error) {
	const op = "auth.Auth.Rescue"
	account, err := canonicalEmail(email)
	if err != nil {
		return tenancy.Secret{}, time.Time{}, tenancy.Wrap(op, "", &FieldError{"email", "malformed", err})
	}
	err = a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_state SET changes = changes + 1 WHERE id = 1`); err != nil {
			return err
		}
		row, err := a.store.operatorBy(ctx, tx, "email", account)
		if err != nil {
			return err
		}
		o, err := row.operator()
		if err != nil {
			return err
		}
		if !isOwner(o) {
			return fmt.Errorf("%w: no owner with that address", tenancy.ErrNotFound)
		}
		if token, expires, err = a.newLink(ctx, tx, linkRescue, o.ID, "", rescueLasts); err != nil {
			return err
		}
		return a.audit(ctx, tx, "operator.rescue", o.ID, tenancy.AuditDone)
	})
	if err != nil {
		return tenancy.Secret{}, time.Time{}, tenancy.Wrap(op, "", err)
	}
	return token, expires, nil
}

// UseRescue lets the owner of a link of [Auth.Rescue] in, with a new password: their second factor and recovery codes are gone, and a new one
// is enrolled next; all their sessions end. The new session passes the rules about addresses. The errors are those of [Auth.Reset].
func (a *Auth) UseRescue(w http.ResponseWriter, r *http.Request, token, password tenancy.Secret) (*Identity, error) {
	const op = "auth.Auth.UseRescue"
	row, _, hash, phc, err := a.beginReset(r, linkRescue, token, password)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	ctx := tenancy.WithActor(r.Context(), tenancy.Actor{Kind: tenancy.ActorOperator, ID: row.ID})
	var id *Identity
	err = a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := a.spendLink(ctx, tx, linkRescue, hash, row.ID); err != nil {
			return err
		}
		n, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_operators SET password_hash = ?, totp_secret = '', totp_confirmed = 0, totp_step = 0, factor_misses = 0, factor_locked = 0,
			failed_sign_ins = 0, version = version + 1, updated_at = ? WHERE id = ? AND role = ? AND disabled_at = 0`, phc, micro(now()), row.ID, RoleOwner)
		if err == nil && n == 0 {
			err = errLink
		}
		for _, table := range []string{"tenancy_auth_recovery_codes", "tenancy_auth_sessions"} {
			if err == nil {
				_, err = a.store.exec(ctx, tx, `DELETE FROM `+table+` WHERE operator_id = ?`, row.ID)
			}
		}
		if err != nil {
			return err
		}
		again, err := a.store.operatorBy(ctx, tx, "id", row.ID)
		if err != nil {
			return err
		}
		o, err := again.operator()
		if err != nil {
			return err
		}
		c, err := a.currentOn(ctx, tx)
		if err != nil {
			return err
		}
		if id, err = a.open(ctx, tx, r, o, c, opening{rescue: true}); err != nil {
			return err
		}
		return a.audit(ctx, tx, "operator.rescued", row.ID, tenancy.AuditDone)
	})
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	a.tell(ctx, &Mail{Kind: MailRescue, To: row.Email, Name: row.Name, Text: "Somebody with access to the machine of " + a.opts.Name + " has let themselves in as you. If it was not you, act at once."})
	return id, tenancy.Wrap(op, "", a.welcome(w, r, id))
}

// Rescued is a link of [Auth.Rescue].
type Rescued struct {
	OperatorID string
	MadeAt     time.Time
	UsedAt     time.Time // the zero time: not yet
}

// Rescues returns the links of the last week, the newest first. They need attention.
func (a *Auth) Rescues(ctx context.Context) ([]Rescued, error) {
	var rows []struct {
		Operator string `db:"operator_id"`
		Created  int64  `db:"created_at"`
		Used     int64  `db:"used_at"`
	}
	err := a.store.db.SelectContext(ctx, &rows, a.store.dialect.Rebind(`SELECT operator_id, created_at, used_at FROM tenancy_auth_links WHERE kind = ? AND created_at > ? ORDER BY created_at DESC LIMIT 20`),
		linkRescue, micro(now().Add(-rescueRecent)))
	out := make([]Rescued, len(rows))
	for i, r := range rows {
		out[i] = Rescued{r.Operator, fromMicro(r.Created), fromMicro(r.Used)}
	}
	return out, tenancy.Wrap("auth.Auth.Rescues", "", unavailable(err))
}
