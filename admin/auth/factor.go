package auth

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// Misses of a second factor before it is locked, and for how long.
const (
	factorMisses  = 5
	factorLock    = 15 * time.Minute
	maxFactorLock = 24 * time.Hour
)

// lockAfter returns for how long a second factor is locked after so many misses.
func lockAfter(misses int64) time.Duration {
	if misses < factorMisses {
		return 0
	}
	lock := factorLock
	for range min(misses-factorMisses, 8) {
		lock *= 2
	}
	return min(lock, maxFactorLock)
}

// errFactor is the only error for a second factor that is wrong or was used before: it must not tell an attacker which.
var errFactor = fmt.Errorf("%w: wrong or used code", tenancy.ErrUnauthenticated)

// spend checks a second factor, a time-based or a recovery code, and uses it up. The attempt is counted before it is looked at, so
// that attempts at the same time cannot exceed the limit.
func (a *Auth) spend(ctx context.Context, operator, code string) error {
	row, err := a.attempt(ctx, operator)
	if err != nil {
		return err
	}
	code = canonicalCode(code)
	var n int64
	if len(code) == 6 {
		seal, err := a.seal(ctx)
		if err != nil {
			return err
		}
		secret, err := seal.open(row.TOTPSecret, operator)
		if err != nil {
			return err
		}
		if step, ok := totpStep(secret, code, time.Now()); ok {
			n, err = a.store.exec(ctx, a.store.db, `UPDATE tenancy_auth_operators SET totp_step = ? WHERE id = ? AND totp_step < ?`, step, operator, step)
			if err != nil {
				return err
			}
		}
	} else {
		n, err = a.store.exec(ctx, a.store.db, `DELETE FROM tenancy_auth_recovery_codes WHERE operator_id = ? AND code_hash = ?`,
			operator, tenancy.DigestOf(code).String())
		if err != nil {
			return err
		}
	}
	if n == 0 {
		if err := a.audit(ctx, nil, "session.second_factor", operator, tenancy.AuditDenied); err != nil {
			return err
		}
		return errFactor
	}
	_, err = a.store.exec(ctx, a.store.db, `UPDATE tenancy_auth_operators SET factor_misses = 0, factor_locked = 0 WHERE id = ?`, operator)
	return err
}

// attempt counts an attempt, and locks the second factor after too many.
func (a *Auth) attempt(ctx context.Context, operator string) (row *operatorRow, err error) {
	err = a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		at := now()
		n, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_operators SET factor_misses = factor_misses + 1 WHERE id = ? AND factor_locked <= ? AND totp_confirmed <> 0`,
			operator, micro(at))
		if err != nil {
			return err
		}
		if row, err = a.store.operatorBy(ctx, tx, "id", operator); err != nil {
			return hide(err)
		}
		if n == 0 {
			if row.TOTPConfirmed == 0 {
				return errFactor
			}
			return &limitedError{max(fromMicro(row.FactorLocked).Sub(at), time.Second)}
		}
		if lock := lockAfter(row.FactorMisses); lock > 0 {
			_, err = a.store.exec(ctx, tx, `UPDATE tenancy_auth_operators SET factor_locked = ? WHERE id = ?`, micro(at.Add(lock)), operator)
		}
		return err
	})
	return row, err
}

// SecondFactor ends a sign-in whose stage is [StageFactor] with a time-based or a recovery code. The session gets a new token. A
// wrong or used code is an error that wraps [tenancy.ErrUnauthenticated]; after five, it is one that wraps [tenancy.ErrLimited].
func (a *Auth) SecondFactor(w http.ResponseWriter, r *http.Request, code tenancy.Secret) (*Identity, error) {
	const op = "auth.Auth.SecondFactor"
	id, err := a.identify(r)
	if err == nil && id.Session.Stage != StageFactor {
		err = fmt.Errorf("%w: no second factor is due", tenancy.ErrConflict)
	}
	if err == nil {
		err = a.spend(tenancy.WithActor(r.Context(), id.Actor()), id.Operator.ID, code.Reveal())
	}
	if err == nil {
		err = a.finish(w, r, id)
	}
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return id, nil
}

// finish makes the session a full one, under a new token.
func (a *Auth) finish(w http.ResponseWriter, r *http.Request, id *Identity) error {
	if err := a.raise(tenancy.WithActor(r.Context(), id.Actor()), w, id, "session.second_factor"); err != nil {
		return err
	}
	return a.makeKnown(w, r, id.Operator.ID)
}

// raise makes the session a full one, under a new token, whose credentials are fresh. The entry, which says that credentials were shown, is
// written first: without it the session stays as it is.
func (a *Auth) raise(ctx context.Context, w http.ResponseWriter, id *Identity, action string) error {
	if err := a.audit(ctx, nil, action, id.Operator.ID, tenancy.AuditDone); err != nil {
		return err
	}
	if err := a.sessions.raise(w, id.live, StageFull); err != nil {
		return err
	}
	id.Session = id.live.Session
	return nil
}

// StepUp shows the credentials of a full session again, so that actions which ask for that are open for a while. The session gets a
// new token. The code may be empty for operators without a second factor.
func (a *Auth) StepUp(w http.ResponseWriter, r *http.Request, password, code tenancy.Secret) (*Identity, error) {
	const op = "auth.Auth.StepUp"
	id, err := a.stepUp(w, r, password, code)
	return id, tenancy.Wrap(op, "", err)
}

func (a *Auth) stepUp(w http.ResponseWriter, r *http.Request, password, code tenancy.Secret) (*Identity, error) {
	id, err := a.identify(r)
	if err != nil {
		return nil, err
	}
	ctx := tenancy.WithActor(r.Context(), id.Actor())
	if id.Session.Stage != StageFull {
		return nil, fmt.Errorf("%w: the sign-in is not complete", tenancy.ErrUnauthenticated)
	}
	if err := a.limit(ctx, r, id.Operator.Email, a.knownAs(ctx, r, id.Operator.ID)); err != nil {
		return nil, err
	}
	row, err := a.store.operatorBy(ctx, a.store.db, "id", id.Operator.ID)
	if err != nil {
		return nil, hide(err)
	}
	ok, _, err := a.verify(ctx, row, password, true)
	if err == nil && !ok {
		err = errCredentials
		if e := a.audit(ctx, nil, "session.step_up", id.Operator.ID, tenancy.AuditDenied); e != nil {
			err = e
		}
	}
	if err == nil && row.TOTPConfirmed != 0 {
		err = a.spend(ctx, id.Operator.ID, code.Reveal())
	}
	if err == nil {
		err = a.raise(ctx, w, id, "session.step_up")
	}
	if err != nil {
		return nil, err
	}
	return id, nil
}

// Enrolment is what an authenticator app needs.
type Enrolment struct {
	Secret tenancy.Secret // base32
	URL    tenancy.Secret // otpauth://…, for a QR code
}

// BeginEnrol returns a new secret for the operator's second factor. It counts once [Auth.Enrol] is called with a code of it. An operator
// who has a second factor gets an error that wraps [tenancy.ErrConflict].
func (a *Auth) BeginEnrol(_ http.ResponseWriter, r *http.Request) (*Enrolment, error) {
	const op = "auth.Auth.BeginEnrol"
	id, err := a.enrolling(r)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	secret, url, err := newTOTP(a.opts.Name, id.Operator.Email)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	seal, err := a.seal(r.Context())
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	a.sessions.manager.Put(id.live.ctx, enrolKey, seal.seal(secret, id.Operator.ID))
	if err := a.sessions.commit(id.live.ctx, nil); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return &Enrolment{tenancy.NewSecret(secret), tenancy.NewSecret(url)}, nil
}

// enrolling returns the identity of somebody who may enrol a second factor now.
func (a *Auth) enrolling(r *http.Request) (*Identity, error) {
	id, err := a.identify(r)
	if err != nil {
		return nil, err
	}
	if id.Session.Stage == StageFactor || id.Operator.SecondFactor {
		return nil, fmt.Errorf("%w: there is a second factor", tenancy.ErrConflict)
	}
	if !id.Fresh() {
		return nil, fmt.Errorf("%w: sign in again", tenancy.ErrUnauthenticated)
	}
	return id, nil
}

// Enrol makes the secret of [Auth.BeginEnrol] the operator's second factor, after a code of it was shown, completes the sign-in under a new
// token and returns ten recovery codes, which nobody sees again. Their other sessions end. A wrong code is an error that wraps [tenancy.ErrUnauthenticated].
func (a *Auth) Enrol(w http.ResponseWriter, r *http.Request, code tenancy.Secret) (*Identity, []tenancy.Secret, error) {
	const op = "auth.Auth.Enrol"
	id, err := a.enrolling(r)
	if err != nil {
		return nil, nil, tenancy.Wrap(op, "", err)
	}
	codes, err := a.enrol(r.Context(), id, code.Reveal())
	if err == nil {
		err = a.finish(w, r, id)
	}
	if err != nil {
		return nil, nil, tenancy.Wrap(op, "", err)
	}
	id.Operator.SecondFactor = true
	return id, codes, nil
}

func (a *Auth) enrol(ctx context.Context, id *Identity, code string) ([]tenancy.Secret, error) {
	sealed := a.sessions.manager.GetString(id.live.ctx, enrolKey)
	if sealed == "" {
		return nil, fmt.Errorf("%w: no enrolment was begun", tenancy.ErrConflict)
	}
	seal, err := a.seal(ctx)
	if err != nil {
		return nil, err
	}
	secret, err := seal.open(sealed, id.Operator.ID)
	if err != nil {
		return nil, err
	}
	step, ok := totpStep(secret, canonicalCode(code), time.Now())
	if !ok {
		return nil, errFactor
	}
	var codes []tenancy.Secret
	err = a.store.tx(tenancy.WithActor(ctx, id.Actor()), func(ctx context.Context, tx *sqlx.Tx) error {
		n, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_operators SET totp_secret = ?, totp_confirmed = ?, totp_step = ?, factor_misses = 0, factor_locked = 0
			WHERE id = ? AND totp_confirmed = 0`, sealed, micro(now()), step, id.Operator.ID)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: there is a second factor", tenancy.ErrConflict)
		}
		if err == nil {
			codes, err = a.replaceCodes(ctx, tx, id.Operator.ID)
		}
		if err == nil { // they began with a password alone
			_, err = a.store.exec(ctx, tx, `DELETE FROM tenancy_auth_sessions WHERE operator_id = ? AND id <> ?`, id.Operator.ID, id.Session.ID)
		}
		if err != nil {
			return err
		}
		return a.audit(ctx, tx, "operator.enrol", id.Operator.ID, tenancy.AuditDone)
	})
	return codes, err
}

// replaceCodes makes recovery codes in place of those that the operator has.
func (a *Auth) replaceCodes(ctx context.Context, tx *sqlx.Tx, operator string) ([]tenancy.Secret, error) {
	if _, err := a.store.exec(ctx, tx, `DELETE FROM tenancy_auth_recovery_codes WHERE operator_id = ?`, operator); err != nil {
		return nil, err
	}
	codes := make([]tenancy.Secret, recoveryCodes)
	for i := range codes {
		text := newRecoveryCode()
		codes[i] = tenancy.NewSecret(text)
		if _, err := a.store.exec(ctx, tx, `INSERT INTO tenancy_auth_recovery_codes (operator_id, code_hash) VALUES (?, ?)`,
			operator, tenancy.DigestOf(canonicalCode(text)).String()); err != nil {
			return nil, err
		}
	}
	return codes, nil
}

// NewRecoveryCodes returns ten recovery codes of the operator who asks, which nobody sees again; the earlier ones stop working, and a mail says so. The caller checks that
// their credentials are fresh. An operator without a second factor gets an error that wraps [tenancy.ErrConflict].
func (a *Auth) NewRecoveryCodes(ctx context.Context, by *Identity) ([]tenancy.Secret, error) {
	var codes []tenancy.Secret
	err := a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		n, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_operators SET version = version + 1, updated_at = ? WHERE id = ? AND totp_confirmed <> 0 AND disabled_at = 0`,
			micro(now()), by.Operator.ID)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: there is no second factor", tenancy.ErrConflict)
		}
		if err == nil {
			codes, err = a.replaceCodes(ctx, tx, by.Operator.ID)
		}
		if err != nil {
			return err
		}
		return a.audit(ctx, tx, "operator.recovery_codes", by.Operator.ID, tenancy.AuditDone)
	})
	if err == nil {
		a.tell(ctx, &Mail{Kind: MailRecoveryCodes, To: by.Operator.Email, Name: by.Operator.Name,
			Text: "New recovery codes were made for your second factor at " + a.opts.Name + ", and the earlier ones stop working. If it was not you, tell the operators of the service at once."})
	}
	return codes, tenancy.Wrap("auth.Auth.NewRecoveryCodes", "", err)
}

// ResetSecondFactor removes the second factor and the recovery codes of another operator, who has lost them, and ends all their sessions and links to choose a password. They enrol a
// new one after their next sign-in. A mail tells them, if there is a mailer. The caller checks that the credentials of the one who asks are fresh.
// An operator who is no owner of all tenants, or asks for themselves, is an error that wraps [tenancy.ErrForbidden]; without a second factor
// it is one that wraps [tenancy.ErrConflict].
func (a *Auth) ResetSecondFactor(ctx context.Context, by *Identity, operator string) error {
	const op = "auth.Auth.ResetSecondFactor"
	if by.Token != nil || by.Operator.ID == operator {
		return tenancy.Wrap(op, "", fmt.Errorf("%w: another owner resets it", tenancy.ErrForbidden))
	}
	var row *operatorRow
	err := a.store.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_state SET changes = changes + 1 WHERE id = 1`); err != nil {
			return err
		}
		asks, err := a.store.operatorBy(ctx, tx, "id", by.Operator.ID)
		if err != nil {
			return hide(err)
		}
		who, err := asks.operator()
		if err == nil && !isOwner(who) { // whoever can make a reset link too could otherwise act as somebody with the same rights
			err = fmt.Errorf("%w: owners of all tenants reset second factors", tenancy.ErrForbidden)
		}
		if err != nil {
			return err
		}
		if row, err = a.store.operatorBy(ctx, tx, "id", operator); err != nil {
			return err
		}
		n, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_operators SET totp_secret = '', totp_confirmed = 0, totp_step = 0, factor_misses = 0, factor_locked = 0,
			version = version + 1, updated_at = ? WHERE id = ? AND totp_confirmed <> 0`, micro(now()), operator)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: there is no second factor", tenancy.ErrConflict)
		}
		for _, table := range []string{"tenancy_auth_recovery_codes", "tenancy_auth_sessions"} {
			if err == nil {
				_, err = a.store.exec(ctx, tx, `DELETE FROM `+table+` WHERE operator_id = ?`, operator)
			}
		}
		if err == nil {
			err = a.dropResets(ctx, tx, operator)
		}
		if err != nil {
			return err
		}
		return a.audit(ctx, tx, "operator.factor_reset", operator, tenancy.AuditDone)
	})
	if err == nil {
		a.tell(ctx, &Mail{Kind: MailFactorReset, To: row.Email, Name: row.Name,
			Text: "An owner of " + a.opts.Name + " has removed your second factor. You set up a new one after your next sign-in. If you did not ask for it, tell the operators of the service at once."})
	}
	return tenancy.Wrap(op, "", err)
}
