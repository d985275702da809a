// Package auth signs the service's operators in and says what each may do to which tenants.
//
// [New] keeps operators and sessions in a SQL database of the application's, in tables whose names begin with "tenancy_auth_" and
// that [Auth.Migrate] makes. Package admin mounts it over HTTP.
//
// A sign-in shows a password, which is kept as an Argon2id hash, and then a second factor: a time-based code or a recovery code,
// each of which works once. The session's token is kept as a hash. What an operator may do is looked up at each request, so a
// change of role or scope, and the end of a session, count from the next request on.
package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/logs"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
	"github.com/artflow-studio/tenancy/resolver"
)

// Options are the options of [New].
type Options struct {
	// Auditor writes an entry for each change, in the change's transaction, and for each refusal. Its database must be the one of
	// New. Default: no entries.
	Auditor tenancy.Auditor
	// Proxies are the reverse proxies whose word on a client's address, and on TLS, is taken. Default: none.
	Proxies *resolver.Proxies
	// Insecure lets operators sign in over plain HTTP from anywhere. Without it that works on loopback alone. The cookie then has
	// another name and lacks Secure. Default: false.
	Insecure bool
	// OptionalSecondFactor lets operators in who have no second factor. Default: false; they must enrol one first.
	OptionalSecondFactor bool
	// Key encrypts the secrets of second factors; it has 32 bytes. Without one, a key is made once and kept in the database beside
	// the secrets, which protects copies of single tables only. Default: none.
	Key []byte
	// Roles are the application's own, besides viewer, support, operator, security and owner, which it cannot replace. Default: none.
	Roles map[string]Permissions
	// Lifetime is how long a session lasts after its sign-in. Default: 12 hours.
	Lifetime time.Duration
	// IdleTimeout ends sessions that are not used. Default: 30 minutes.
	IdleTimeout time.Duration
	// StepUp is how long shown credentials count for actions that ask for them again. Default: 10 minutes.
	StepUp time.Duration
	// Name is the service's name, as authenticator apps show it. No password may contain it. Default: "tenancy".
	Name string
	// RefusePassword reports a password that nobody may have, such as one of a list. It is called by many goroutines at once.
	// Default: none.
	RefusePassword func(password string) bool
	// Authenticator is the application's own sign-in, in place of passwords, sessions and tokens; operators are the application's then.
	// Default: none.
	Authenticator Authenticator
	// Mail sends invitations, links to choose a new password, and notices. Without it they are shown once to the operator who asked.
	// Default: none.
	Mail Mailer
	// URL is the address of the console's page, such as https://console.example.com/, as links in mails have it. It is required with Mail. Default: none.
	URL string
	// PasswordWait is how long a sign-in waits for its turn to have a password checked: few are checked at once. Then it is refused.
	// Default: 2 seconds.
	PasswordWait time.Duration
	// Limiter counts sign-ins. Instances that share one in Redis count together. Default: a [ratelimit.Memory].
	Limiter ratelimit.Limiter
	// Logger gets what no answer says. Default: [slog.Default], asked at each message.
	Logger *slog.Logger
}

// complete fills in the defaults and checks the rest.
func (o *Options) complete(db *sqlx.DB) error {
	for _, d := range []struct {
		field   *time.Duration
		is      time.Duration
		whatFor string
	}{{&o.Lifetime, 12 * time.Hour, "Lifetime"}, {&o.IdleTimeout, 30 * time.Minute, "IdleTimeout"}, {&o.StepUp, 10 * time.Minute, "StepUp"}, {&o.PasswordWait, hashWait, "PasswordWait"}} {
		if *d.field < 0 {
			return fmt.Errorf("%w: negative %s", tenancy.ErrInvalid, d.whatFor)
		}
		if *d.field == 0 {
			*d.field = d.is
		}
	}
	if o.Name == "" {
		o.Name = "tenancy"
	}
	if u, err := url.Parse(o.URL); err != nil || o.URL != "" && (u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Fragment != "" || u.RawQuery != "") || o.Mail != nil && o.URL == "" {
		return fmt.Errorf("%w: URL %.200q", tenancy.ErrInvalid, o.URL)
	}
	if o.Limiter == nil {
		o.Limiter = ratelimit.NewMemory(nil)
	}
	o.Logger = logs.Or(o.Logger)
	roles := builtinRoles()
	for name, set := range o.Roles {
		if _, builtin := roles[name]; builtin || name == "" || len(name) > 64 || !AllPermissions().Includes(set) {
			return fmt.Errorf("%w: role %.80q", tenancy.ErrInvalid, name)
		}
	}
	maps.Copy(roles, o.Roles)
	o.Roles = roles
	if o.Auditor != nil {
		return tenancy.CheckAuditor(o.Auditor, db.DB)
	}
	return nil
}

// Auth is the operators of a service and their sessions. Its methods may be called by many goroutines, and by many processes on
// one database, at once.
type Auth struct {
	opts     Options
	store    *store
	sessions *sessions
	hasher   *hasher
	failures failures

	mails     chan *Mail     // wait to be sent
	forgotten chan forgotten // links that were asked for

	mu     sync.Mutex // guards sealer
	sealer *sealer    // nil until the key was read
}

// New returns the operators in db, whose dialect is that of db.DriverName: pgx, postgres, mysql or sqlite. The caller keeps db.
// Nil options are the defaults. A malformed option is an error that wraps [tenancy.ErrInvalid].
func New(db *sqlx.DB, opts *Options) (*Auth, error) {
	const op = "auth.New"
	s, err := newStore(db)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	a := &Auth{store: s, mails: make(chan *Mail, mailQueue), forgotten: make(chan forgotten, mailQueue)}
	if opts != nil {
		a.opts = *opts
	}
	if err := a.opts.complete(db); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	if len(a.opts.Key) > 0 {
		if a.sealer, err = newSealer(a.opts.Key); err != nil {
			return nil, tenancy.Wrap(op, "", err)
		}
	}
	a.hasher, a.sessions = newHasher(a.opts.PasswordWait), newSessions(s, &a.opts)
	return a, nil
}

// Migrate makes the tables or brings them up to date. Many processes may call it at once.
func (a *Auth) Migrate(ctx context.Context) error {
	return tenancy.Wrap("auth.Auth.Migrate", "", a.store.migrate(ctx))
}

// runEvery is how often Run works.
const runEvery = 5 * time.Second

// Run removes what has expired, writes down failed sign-ins and sends mails until ctx ends; then it returns nil. Sessions end without it.
func (a *Auth) Run(ctx context.Context) error {
	var beside sync.WaitGroup
	beside.Go(func() { a.sendMails(ctx) })
	defer beside.Wait()
	tick := time.NewTicker(runEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
			defer cancel()
			return a.writeFailures(end)
		case <-tick.C:
			if err := a.runOnce(ctx); err != nil && ctx.Err() == nil {
				a.opts.Logger.WarnContext(ctx, "auth: cleaning up failed; trying again", "error", err)
			}
		}
	}
}

func (a *Auth) runOnce(ctx context.Context) error {
	_, err1 := a.store.exec(ctx, a.store.db, `DELETE FROM tenancy_auth_setup_tokens WHERE expires_at <= ?`, micro(now()))
	_, err2 := a.store.exec(ctx, a.store.db, `DELETE FROM tenancy_auth_invitations WHERE expires_at <= ?`, micro(now()))
	_, err3 := a.store.exec(ctx, a.store.db, `DELETE FROM tenancy_auth_links WHERE expires_at <= ? AND (kind = ? OR created_at <= ?)`,
		micro(now()), linkReset, micro(now().Add(-rescueRecent)))
	_, err4 := a.store.exec(ctx, a.store.db, `DELETE FROM tenancy_auth_tokens WHERE expires_at <= ?`, micro(now()))
	c, err5 := a.current(ctx)
	if err5 == nil {
		err5 = a.sessions.store.purge(ctx, c.idle)
	}
	return errors.Join(a.writeFailures(ctx), err1, err2, err3, err4, err5)
}

// Check reports whether the database answers.
func (a *Auth) Check(ctx context.Context) error {
	var n int
	return tenancy.Wrap("auth.Auth.Check", "", a.store.get(ctx, a.store.db, &n, `SELECT COUNT(*) FROM tenancy_auth_state`))
}

// KeyInDatabase reports whether the key of secrets lies beside them, because the options have none.
func (a *Auth) KeyInDatabase() bool { return len(a.opts.Key) == 0 }

// Own reports whether operators sign in here, rather than by the application's own sign-in.
func (a *Auth) Own() bool { return a.opts.Authenticator == nil }

// Mails reports whether there is a mailer.
func (a *Auth) Mails() bool { return a.opts.Mail != nil }

// SecondFactorOptional reports whether operators may do without a second factor.
func (a *Auth) SecondFactorOptional() bool { return a.opts.OptionalSecondFactor }

// Roles returns the roles and what each may do.
func (a *Auth) Roles() map[string]Permissions { return maps.Clone(a.opts.Roles) }

// seal returns the sealer, whose key is the options' or that of the database. Of processes that make one at once, one wins.
func (a *Auth) seal(ctx context.Context) (*sealer, error) {
	a.mu.Lock()
	have := a.sealer
	a.mu.Unlock()
	if have != nil {
		return have, nil
	}
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh) // never fails: crypto/rand
	if _, err := a.store.exec(ctx, a.store.db, `UPDATE tenancy_auth_state SET sealing_key = ? WHERE id = 1 AND sealing_key = ''`,
		base64.RawStdEncoding.EncodeToString(fresh)); err != nil {
		return nil, err
	}
	var kept string
	if err := a.store.get(ctx, a.store.db, &kept, `SELECT sealing_key FROM tenancy_auth_state WHERE id = 1`); err != nil {
		return nil, err
	}
	key, err := base64.RawStdEncoding.DecodeString(kept)
	if err != nil {
		return nil, errors.New("the key in the database is malformed")
	}
	made, err := newSealer(key)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sealer = made
	return made, nil
}

// maxObject is the length of the longest object of an entry. Addresses of e-mail may be longer.
const maxObject = 200

// audit writes an entry within tx, or by itself without one.
func (a *Auth) audit(ctx context.Context, tx *sqlx.Tx, action, object string, result tenancy.AuditResult, changes ...tenancy.FieldChange) error {
	if a.opts.Auditor == nil {
		return nil
	}
	e := tenancy.NewEntry(ctx, action, "")
	e.Object, e.Result = clip(object, maxObject), result
	slices.SortFunc(changes, func(x, y tenancy.FieldChange) int { return compare(x.Field, y.Field) })
	e.Changes = changes
	if tx == nil { // a client that goes away does not keep it from being written
		ctx, cancel := sqlkit.Outlast(ctx)
		defer cancel()
		return unavailable(a.opts.Auditor.Audit(ctx, nil, e))
	}
	return unavailable(a.opts.Auditor.Audit(ctx, tx.Tx, e))
}
