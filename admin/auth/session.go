package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// Stage says how far a sign-in has come. What it does not reach is refused.
type Stage string

// The stages of a sign-in.
const (
	// StageFactor: the password was right, the second factor is missing.
	StageFactor Stage = "second-factor"
	// StageEnrol: the operator must set up a second factor first.
	StageEnrol Stage = "enrol"
	// StageFull: signed in.
	StageFull Stage = "full"
)

// Session is one browser, or cookie jar, in which an operator has signed in.
type Session struct {
	ID         string
	OperatorID string
	Stage      Stage
	// AuthenticatedAt is when credentials were shown last.
	AuthenticatedAt time.Time
	CreatedAt       time.Time
	LastSeenAt      time.Time // to the minute
	ExpiresAt       time.Time
	Address         netip.Addr
	UserAgent       string
	// Rescued says that the session was begun by a link of [Auth.Rescue]. Rules about addresses do not count for it.
	Rescued bool
}

// Keys of a session's values.
const (
	stageKey         = "stage"
	authenticatedKey = "authenticated"
	enrolKey         = "enrol" // the secret, encrypted, that is being enrolled
	rescuedKey       = "rescued"
)

// sessions signs operators in and out by cookies. It uses scs for tokens, values and cookies, and a store that closes what scs
// leaves open.
type sessions struct {
	manager  *scs.SessionManager
	store    *sessionStore
	insecure bool
}

const (
	cookieName         = "__Host-tenancy"
	insecureCookieName = "tenancy-insecure"
)

func newSessions(s *store, opts *Options) *sessions {
	st := &sessionStore{s}
	m := scs.New()
	m.Lifetime = opts.Lifetime
	m.IdleTimeout = 0 // the store's, or each request would write the session
	m.Store = st
	m.Codec = jsonCodec{}
	m.HashTokenInStore = true
	m.Cookie = scs.SessionCookie{Name: cookieName, Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode, Persist: true}
	if opts.Insecure {
		m.Cookie.Name, m.Cookie.Secure = insecureCookieName, false
	}
	return &sessions{m, st, opts.Insecure}
}

// jsonCodec keeps a session's values as JSON: gob needs types to be registered, and reads what it is given.
type jsonCodec struct{}

type encodedSession struct {
	Deadline time.Time      `json:"deadline"`
	Values   map[string]any `json:"values"`
}

func (jsonCodec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	return json.Marshal(encodedSession{deadline, values})
}

func (jsonCodec) Decode(b []byte) (time.Time, map[string]any, error) {
	var e encodedSession
	err := json.Unmarshal(b, &e)
	if e.Values == nil {
		e.Values = map[string]any{}
	}
	return e.Deadline, e.Values, err
}

// stageIn returns the stage among a session's values.
func stageIn(data []byte) Stage {
	_, values, err := jsonCodec{}.Decode(data)
	stage, _ := values[stageKey].(string)
	if err != nil {
		return ""
	}
	return Stage(stage)
}

// live is a session in a request: its context carries what scs has loaded.
type live struct {
	Session
	ctx context.Context // scs's, with the intent
	in  *intent
	// token and expiry are those of the cookie of a session that has just begun.
	token  tenancy.Secret
	expiry time.Time
}

// token returns the session cookie's value. Several are an error: which of them counts is a guess.
func (s *sessions) token(r *http.Request) (string, error) {
	found := r.CookiesNamed(s.manager.Cookie.Name)
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0].Value, nil
	}
	return "", fmt.Errorf("%w: several session cookies", tenancy.ErrInvalid)
}

// errNoSession is what a request gets that has none, or one that has ended.
var errNoSession = fmt.Errorf("%w: no session", tenancy.ErrUnauthenticated)

// find returns the request's session. No session is an error that wraps [tenancy.ErrUnauthenticated]; a database that does not
// answer one that wraps [tenancy.ErrUnavailable], so that nobody is signed out by a restart.
func (s *sessions) find(r *http.Request, idle time.Duration) (*live, error) {
	return s.findBy(r.Context(), r, &intent{idle: idle})
}

// findEnding finds the session that the request is about to end. It accepts the token before the newest one, because the answer with the
// newest may still be on its way, and a session that nobody has used for long.
func (s *sessions) findEnding(ctx context.Context, tx *sqlx.Tx, r *http.Request) (*live, error) {
	return s.findBy(ctx, r, &intent{idle: maxIdle, ending: true, tx: tx})
}

func (s *sessions) findBy(ctx context.Context, r *http.Request, in *intent) (*live, error) {
	token, err := s.token(r)
	if err != nil {
		return nil, err
	}
	return s.load(ctx, token, in)
}

// again returns the session with that ID, under whatever token it is now. The errors are those of find.
func (s *sessions) again(ctx context.Context, id string, idle time.Duration) (*live, error) {
	return s.load(ctx, id, &intent{idle: idle, id: id})
}

func (s *sessions) load(ctx context.Context, token string, in *intent) (*live, error) {
	if token == "" {
		return nil, errNoSession
	}
	ctx, err := s.manager.Load(withIntent(ctx, in), token)
	if err != nil {
		return nil, unavailable(err)
	}
	if in.found == nil {
		return nil, errNoSession
	}
	return &live{Session: s.describe(ctx, in.found), ctx: ctx, in: in}, nil
}

func (s *sessions) describe(ctx context.Context, row *sessionRow) Session {
	out := row.session()
	out.Stage = Stage(s.manager.GetString(ctx, stageKey))
	out.Rescued = s.manager.GetBool(ctx, rescuedKey)
	out.AuthenticatedAt, _ = time.Parse(time.RFC3339Nano, s.manager.GetString(ctx, authenticatedKey))
	return out
}

func (row *sessionRow) session() Session {
	addr, _ := netip.ParseAddr(row.Address)
	return Session{
		ID: row.ID, OperatorID: row.OperatorID, CreatedAt: fromMicro(row.CreatedAt), LastSeenAt: fromMicro(row.LastSeenAt),
		ExpiresAt: fromMicro(row.ExpiresAt), Address: addr, UserAgent: row.UserAgent,
	}
}

// begin makes a new session for the operator within tx. Its cookie is set by [sessions.give], once tx is committed. Whatever session the
// request came with is ended: a token that somebody planted is worth nothing.
func (s *sessions) begin(ctx context.Context, tx *sqlx.Tx, r *http.Request, operator string, stage Stage, from netip.Addr, c *current, rescued bool) (*live, error) {
	old, err := s.findEnding(ctx, tx, r)
	switch {
	case err == nil:
		err = s.manager.Destroy(old.ctx)
	case errors.Is(err, tenancy.ErrUnauthenticated), errors.Is(err, tenancy.ErrInvalid): // none, or several cookies
		err = nil
	}
	if err != nil {
		return nil, unavailable(err)
	}
	at := now()
	row := &sessionRow{
		ID: string(tenancy.NewID()), OperatorID: operator, CreatedAt: micro(at), LastSeenAt: micro(at), ExpiresAt: micro(at.Add(c.lifetime)),
		UserAgent: clip(r.UserAgent(), 512),
	}
	if from.IsValid() {
		row.Address = from.String()
	}
	in := &intent{create: row, found: row, idle: c.idle, tx: tx}
	ctx, err = s.manager.Load(withIntent(ctx, in), "")
	if err != nil {
		return nil, unavailable(err)
	}
	s.manager.SetDeadline(ctx, at.Add(c.lifetime))
	s.manager.Put(ctx, stageKey, string(stage))
	s.manager.Put(ctx, authenticatedKey, at.Format(time.RFC3339Nano))
	if rescued {
		s.manager.Put(ctx, rescuedKey, true)
	}
	token, expiry, err := s.manager.Commit(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	in.create, in.tx = nil, nil
	return &live{s.describe(ctx, row), context.WithoutCancel(ctx), in, tenancy.NewSecret(token), expiry}, nil
}

// give sets the cookie of a session that has begun.
func (s *sessions) give(w http.ResponseWriter, l *live) {
	s.manager.WriteSessionCookie(l.ctx, w, l.token.Reveal(), l.expiry)
}

// commit writes the session and, where there is a writer, its cookie.
func (s *sessions) commit(ctx context.Context, w http.ResponseWriter) error {
	token, expiry, err := s.manager.Commit(ctx)
	if err != nil {
		return unavailable(err)
	}
	if w != nil {
		s.manager.WriteSessionCookie(ctx, w, token, expiry)
	}
	return nil
}

// renew gives the session a new token, and what change puts into it. Its lifetime goes on as it was.
func (s *sessions) renew(w http.ResponseWriter, l *live, change func(ctx context.Context)) error {
	deadline := s.manager.Deadline(l.ctx)
	l.in.renew = true
	defer func() { l.in.renew = false }()
	if err := s.manager.RenewToken(l.ctx); err != nil {
		return unavailable(err)
	}
	s.manager.SetDeadline(l.ctx, deadline) // RenewToken begins a new one
	change(l.ctx)
	return s.commit(l.ctx, w)
}

// raise is renew after credentials were shown.
func (s *sessions) raise(w http.ResponseWriter, l *live, stage Stage) error {
	at := now()
	err := s.renew(w, l, func(ctx context.Context) {
		s.manager.Put(ctx, stageKey, string(stage))
		s.manager.Put(ctx, authenticatedKey, at.Format(time.RFC3339Nano))
		s.manager.Remove(ctx, enrolKey)
	})
	if err == nil {
		l.Stage, l.AuthenticatedAt = stage, at
	}
	return err
}

// end ends the session and removes its cookie.
func (s *sessions) end(w http.ResponseWriter, l *live) error {
	if err := s.manager.Destroy(l.ctx); err != nil {
		return unavailable(err)
	}
	s.manager.WriteSessionCookie(l.ctx, w, "", time.Time{})
	return nil
}

// clip cuts a text that a client sent to so many bytes, at a character, and makes control characters harmless.
func clip(s string, most int) string {
	out := make([]rune, 0, min(len(s), most))
	n := 0
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			r = ' '
		}
		if n += len(string(r)); n > most {
			break
		}
		out = append(out, r)
	}
	return string(out)
}
