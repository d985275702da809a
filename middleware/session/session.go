// Package session binds the sessions of an application's users to tenants, so that a session of one tenant is refused at another.
package session

import (
	"fmt"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/signed"
)

const (
	// maxLength bounds the text that Bind makes and Open looks at, in bytes. Browsers keep no longer cookies.
	maxLength = 4096
	// maxSession is the length of the longest session, in bytes: behind it come a dot and the signature.
	maxSession = maxLength - 1 - (signed.Size*8+5)/6
)

// purpose sets the signatures of sessions apart from others under the same key.
const purpose = "session"

// Binder binds sessions to tenants. Where all tenants share one store of sessions, or a cookie reaches several of them, nothing else keeps a
// client from presenting the session of one tenant at another.
//
// The application puts the text of [Binder.Bind] into its cookie in place of the session, and calls [Binder.Open] at each request, in its own
// middleware.Authenticator. Many goroutines may call the methods at once.
type Binder struct {
	keys []tenancy.Secret // the first signs, all verify
}

// Options are the options of [New].
type Options struct {
	// OldKeys still open sessions, and bind none. Default: none.
	OldKeys []tenancy.Secret
}

// New returns a Binder with that key, which has at least 32 bytes and comes from a random source. A shorter key is an error that wraps
// [tenancy.ErrInvalid].
func New(key tenancy.Secret, opts *Options) (*Binder, error) {
	b := &Binder{[]tenancy.Secret{key}}
	if opts != nil {
		b.keys = append(b.keys, opts.OldKeys...)
	}
	for _, k := range b.keys {
		if err := signed.CheckKey("session key", k); err != nil {
			return nil, tenancy.Wrap("session.New", "", err)
		}
	}
	return b, nil
}

// Bind returns the session with a signature that holds for that tenant alone: an HMAC-SHA-256 over both. The client can read the session.
// A session of more than 4,052 bytes, of which the text would be longer than 4,096, is an error that wraps [tenancy.ErrInvalid].
func (b *Binder) Bind(id tenancy.ID, session string) (string, error) {
	if len(session) > maxSession {
		return "", tenancy.Wrap("session.Binder.Bind", id, fmt.Errorf("%w: a session of %d bytes, want at most %d", tenancy.ErrInvalid, len(session), maxSession))
	}
	mac := signed.Of([]byte(b.keys[0].Reveal()), purpose, string(id), session) // one reading: an ID holds no NUL
	return session + "." + signed.Text(mac), nil
}

// Open returns the session that [Binder.Bind] bound to the tenant. Any other text, one bound to another tenant among them, is an error that
// wraps [tenancy.ErrUnauthenticated]. Open does not know whether the session exists: look it up.
func (b *Binder) Open(id tenancy.ID, bound string) (string, error) {
	i := strings.LastIndexByte(bound, '.')
	if i < 0 || len(bound) > maxLength {
		return "", errUnbound
	}
	session := bound[:i]
	mac, ok := signed.Parse(bound[i+1:])
	if !ok || !signed.Valid(mac, b.keys, purpose, string(id), session) {
		return "", errUnbound
	}
	return session, nil
}

var errUnbound = fmt.Errorf("%w: a session that is not bound to this tenant", tenancy.ErrUnauthenticated)
