package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
)

func isNotFound(err error) bool { return errors.Is(err, tenancy.ErrNotFound) }

// How many sign-ins are looked at: from one address, and for one account.
var (
	addressRate = ratelimit.Rate{Limit: 30, Period: time.Minute, Burst: 20}
	accountRate = ratelimit.Rate{Limit: 6, Period: time.Minute, Burst: 10}
)

// limitedError knows when to come back. It wraps [tenancy.ErrLimited].
type limitedError struct{ after time.Duration }

func (*limitedError) Error() string               { return "too many sign-ins" }
func (*limitedError) Unwrap() error               { return tenancy.ErrLimited }
func (e *limitedError) RetryAfter() time.Duration { return e.after }

// limit counts a sign-in. Accounts that do not exist are counted like those that do.
// A browser in which the operator has signed in before has a bucket of its own, which no stranger empties.
func (a *Auth) limit(ctx context.Context, r *http.Request, account string, from *known) error {
	limits := []ratelimit.Limit{{Kind: ratelimit.Address, Class: "sign-in", Address: ratelimit.AddressOf(a.Client(r)), Rate: addressRate}}
	if from != nil {
		limits = []ratelimit.Limit{{Kind: ratelimit.Key, Class: "sign-in", Key: tenancy.DigestOf("known " + from.operator + " " + from.id).String(), Rate: accountRate}}
	} else if account != "" {
		limits = append(limits, ratelimit.Limit{Kind: ratelimit.Key, Class: "sign-in", Key: tenancy.DigestOf(account).String(), Rate: accountRate})
	}
	ok, err := a.opts.Limiter.Take(ctx, limits)
	if err != nil || ok {
		return err
	}
	after := time.Second
	for _, l := range limits {
		if l.Remaining == 0 {
			after = max(after, l.After)
		}
	}
	return &limitedError{after}
}

// errCredentials is the only error for a sign-in that fails: it must not tell an attacker whether the address is known.
var errCredentials = fmt.Errorf("%w: wrong address or password", tenancy.ErrUnauthenticated)

// SignIn checks an operator's password and begins a session. Its stage says what is missing: [StageFactor] or [StageEnrol].
// Known and unknown addresses take the same time and give the same error, which wraps [tenancy.ErrUnauthenticated]. Too many
// sign-ins are an error that wraps [tenancy.ErrLimited], plain HTTP from elsewhere one that wraps [tenancy.ErrForbidden].
func (a *Auth) SignIn(w http.ResponseWriter, r *http.Request, email string, password tenancy.Secret) (*Identity, error) {
	const op = "auth.Auth.SignIn"
	id, err := a.signIn(w, r, email, password)
	return id, tenancy.Wrap(op, "", err)
}

func (a *Auth) signIn(w http.ResponseWriter, r *http.Request, email string, password tenancy.Secret) (*Identity, error) {
	ctx := r.Context()
	if err := a.mayCarryCredentials(r); err != nil {
		return nil, err
	}
	account, err := canonicalEmail(email)
	object := account
	if err != nil { // it may be the password, typed too early: it is counted, and kept nowhere
		account, object = clip(email, maxEmail), ""
	}
	maybe := a.maybeKnown(r)
	if !maybe { // strangers are counted before anything is looked up
		if err := a.limit(ctx, r, account, nil); err != nil {
			return nil, err
		}
	}
	c, err := a.current(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.entrance(r, c); err != nil {
		return nil, err
	}
	row, err := a.store.operatorBy(ctx, a.store.db, "email", account)
	if isNotFound(err) {
		row, err = &operatorRow{}, nil
	}
	if err != nil {
		return nil, err
	}
	if row.DisabledAt != 0 {
		row = &operatorRow{}
	}
	var from *known
	if maybe {
		from = a.knownAs(ctx, r, row.ID)
		if err := a.limit(ctx, r, account, from); err != nil {
			return nil, err
		}
	}
	ok, outdated, err := a.verify(ctx, row, password, from != nil)
	if err != nil {
		return nil, err
	}
	if !ok {
		a.failures.add(row.ID)
		if err := a.audit(ctx, nil, "session.sign_in", object, tenancy.AuditDenied); err != nil {
			return nil, err
		}
		return nil, errCredentials
	}
	o, err := row.operator()
	if err != nil {
		return nil, err
	}
	if !c.admits(o, a.Client(r)) { // the same answer as for a wrong password: it says nothing about this one
		if err := a.audit(ctx, nil, "session.address", o.ID, tenancy.AuditDenied); err != nil {
			return nil, err
		}
		return nil, errCredentials
	}
	hash := row.PasswordHash
	if outdated {
		if hash, err = a.hasher.Hash(ctx, password.Reveal()); err != nil {
			return nil, err
		}
	}
	if err := a.writeFailures(ctx); err != nil {
		return nil, err
	}
	var id *Identity
	err = a.store.tx(tenancy.WithActor(ctx, tenancy.Actor{Kind: tenancy.ActorOperator, ID: o.ID}), func(ctx context.Context, tx *sqlx.Tx) error {
		// The version in the condition: a password that was changed meanwhile is not signed in with.
		n, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_operators SET password_hash = ?, signed_in_at = ? WHERE id = ? AND password_hash = ? AND disabled_at = 0`,
			hash, micro(now()), o.ID, row.PasswordHash)
		if err == nil && n == 0 {
			err = errCredentials
		}
		if err != nil {
			return err
		}
		var row struct {
			Failed   int64 `db:"failed_sign_ins"`
			Enrolled int64 `db:"totp_confirmed"`
		}
		if err := a.store.get(ctx, tx, &row, `SELECT failed_sign_ins, totp_confirmed FROM tenancy_auth_operators WHERE id = ?`, o.ID); err != nil {
			return err
		}
		if _, err := a.store.exec(ctx, tx, `UPDATE tenancy_auth_operators SET failed_sign_ins = 0 WHERE id = ?`, o.ID); err != nil {
			return err
		}
		// In this transaction, so that a later change of the password, or enrolment, ends this session, too.
		if id, err = a.open(ctx, tx, r, o, c, opening{enrolled: row.Enrolled != 0, failed: row.Failed}); err != nil {
			return err
		}
		return a.audit(ctx, tx, "session.sign_in", o.ID, tenancy.AuditDone)
	})
	if err != nil {
		return nil, err
	}
	return id, a.welcome(w, r, id)
}

// verify checks a password. A password that is longer than any is nobody's, and takes the time of one.
// known says that the caller is no stranger: they do not wait behind those.
func (a *Auth) verify(ctx context.Context, row *operatorRow, password tenancy.Secret, known bool) (ok, outdated bool, err error) {
	text, hash := password.Reveal(), row.PasswordHash
	if len(text) > 4*maxPassword {
		text, hash = "", ""
	}
	return a.hasher.Verify(ctx, hash, text, known)
}

// opening says how a session begins.
type opening struct {
	enrolled bool  // there is a second factor, which is asked for
	failed   int64 // sign-ins since the last one
	rescue   bool  // by a link of Rescue
}

// open begins within tx the session of somebody whose password was right. [Auth.welcome] comes after tx.
func (a *Auth) open(ctx context.Context, tx *sqlx.Tx, r *http.Request, o *Operator, c *current, how opening) (*Identity, error) {
	stage := StageFactor
	if !how.enrolled {
		stage = c.stage(StageFull, false)
	}
	l, err := a.sessions.begin(ctx, tx, r, o.ID, stage, a.Client(r), c, how.rescue)
	if err != nil {
		return nil, err
	}
	id := a.identity(o, l, c, a.Client(r))
	id.FailedSignIns = how.failed
	return id, nil
}

// welcome gives the browser the cookies of a session that [Auth.open] began.
func (a *Auth) welcome(w http.ResponseWriter, r *http.Request, id *Identity) error {
	a.sessions.give(w, id.live)
	if id.Session.Stage != StageFull {
		return nil
	}
	return a.makeKnown(w, r, id.Operator.ID)
}

// maxIdle is no limit: a session that is idle for too long is ended all the same.
const maxIdle = 365 * 24 * time.Hour

// SignOut ends the request's session and removes its cookie. A session whose token is renewed at the same time ends, too. Without a session it
// does nothing.
func (a *Auth) SignOut(w http.ResponseWriter, r *http.Request) error {
	const op = "auth.Auth.SignOut"
	l, err := a.sessions.findEnding(r.Context(), nil, r)
	if errors.Is(err, tenancy.ErrUnauthenticated) {
		return nil
	}
	if err == nil {
		err = a.sessions.end(w, l)
	}
	if err == nil {
		err = a.audit(tenancy.WithActor(r.Context(), tenancy.Actor{Kind: tenancy.ActorOperator, ID: l.OperatorID}), nil, "session.sign_out", l.OperatorID, tenancy.AuditDone)
	}
	return tenancy.Wrap(op, "", err)
}

// failures counts failed sign-ins of operators until they are written. Writing at once would show which accounts exist, by time.
type failures struct {
	mu sync.Mutex // guards of
	of map[string]int64
}

// add counts a failure. The ID of no operator is counted nowhere.
func (f *failures) add(id string) {
	if id == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil {
		f.of = map[string]int64{}
	}
	f.of[id]++
}

func (f *failures) take() map[string]int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	of := f.of
	f.of = nil
	return of
}

// writeFailures writes what was counted. What could not be written is counted again.
func (a *Auth) writeFailures(ctx context.Context) error {
	var failed error
	for id, n := range a.failures.take() {
		if failed == nil {
			_, failed = a.store.exec(ctx, a.store.db, `UPDATE tenancy_auth_operators SET failed_sign_ins = failed_sign_ins + ? WHERE id = ?`, n, id)
		}
		if failed != nil {
			a.failures.mu.Lock()
			if a.failures.of == nil {
				a.failures.of = map[string]int64{}
			}
			a.failures.of[id] += n
			a.failures.mu.Unlock()
		}
	}
	return failed
}
