package middleware

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/artflow-studio/tenancy"
)

// maxSession bounds what is looked at: browsers keep cookies of 4,096 bytes.
const maxSession = 4096

// Sessions binds the sessions of an application's users to tenants. Where all tenants share
// one store of sessions, or a cookie reaches several of them, nothing else keeps a
// session of one from being presented at another.
//
// The application puts what Bind returns into its cookie in place of the session, and asks
// Open at each request, in an [Authenticator] of its own.
type Sessions struct {
	keys []tenancy.Secret // the first signs, all verify
}

// SessionsOptions are the options of [NewSessions].
type SessionsOptions struct {
	// OldKeys still open sessions, and bind none.
	OldKeys []tenancy.Secret
}

// NewSessions returns what binds sessions with that key. It has at least 32 bytes
// and comes from a random source; a shorter one is an error that wraps
// [tenancy.ErrInvalid].
func NewSessions(key tenancy.Secret, opts *SessionsOptions) (*Sessions, error) {
	s := &Sessions{[]tenancy.Secret{key}}
	if opts != nil {
		s.keys = append(s.keys, opts.OldKeys...)
	}
	for _, k := range s.keys {
		if n := len(k.Reveal()); n < sha256.Size { // RFC 2104, section 3
			return nil, tenancy.Wrap("middleware.NewSessions", "", fmt.Errorf("%w: key of %d bytes, want at least %d", tenancy.ErrInvalid, n, sha256.Size))
		}
	}
	return s, nil
}

// Bind returns the session with a signature that holds for the tenant alone: an
// HMAC-SHA256 over both. The session itself can be read.
func (s *Sessions) Bind(id tenancy.ID, session string) string {
	return session + "." + sign(s.keys[0], id, session)
}

// Open returns the session that was bound to the tenant. What was bound to another,
// or by nobody, is an error that wraps [tenancy.ErrUnauthenticated]. Whether
// there is such a session is for the application to look up.
func (s *Sessions) Open(id tenancy.ID, bound string) (string, error) {
	i := strings.LastIndexByte(bound, '.')
	if i < 0 || len(bound) > maxSession {
		return "", errUnbound
	}
	session, mac := bound[:i], []byte(bound[i+1:])
	if !slices.ContainsFunc(s.keys, func(key tenancy.Secret) bool { return hmac.Equal(mac, []byte(sign(key, id, session))) }) {
		return "", errUnbound
	}
	return session, nil
}

var errUnbound = fmt.Errorf("%w: a session that is not bound to this tenant", tenancy.ErrUnauthenticated)

// sign returns the signature as a text, so that each has one spelling. What it is
// over has no two readings: an ID holds no NUL.
func sign(key tenancy.Secret, id tenancy.ID, session string) string {
	h := hmac.New(sha256.New, []byte(key.Reveal()))
	fmt.Fprintf(h, "tenancy session\x00%s\x00%s", id, session)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
