package middleware

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/credential"
	"github.com/artflow-studio/tenancy/internal/ipnet"
	"github.com/artflow-studio/tenancy/resolver"
)

// KeyAuthenticator authenticates by the API keys in the tenant's record, which catalog.KeyIssuer
// issues, so that it asks nobody. A request brings its key as [resolver.APIKey] says;
// whether the tenant was found by that or in another way makes no difference.
//
// The principal's ID is that of the key, and the request of a key has no subject.
// Shared caches keep no answers to requests with Authorization, but know nothing of
// X-API-Key: answers want a Cache-Control header that says private or no-store.
type KeyAuthenticator struct {
	prefix string
	opts   KeyAuthenticatorOptions
}

// KeyAuthenticatorOptions are the options of [NewKeyAuthenticator].
type KeyAuthenticatorOptions struct {
	// Proxies say which address a request came from, for keys that may be used
	// from some only. Default: the address that is connected.
	Proxies *resolver.Proxies
	// Used is called for each request whose key was good, before it is served, and
	// must not block: catalog.KeyIssuer.Used. Default: nothing is called.
	Used func(tenant tenancy.ID, key string, at time.Time)
}

// NewKeyAuthenticator returns an authenticator by API keys with that prefix. One that no key
// may have (see [resolver.NewAPIKey]) is an error that wraps
// [tenancy.ErrInvalid].
func NewKeyAuthenticator(prefix string, opts *KeyAuthenticatorOptions) (*KeyAuthenticator, error) {
	if err := credential.CheckPrefix(prefix); err != nil {
		return nil, tenancy.Wrap("middleware.NewKeyAuthenticator", "", err)
	}
	k := &KeyAuthenticator{prefix: prefix}
	if opts != nil {
		k.opts = *opts
	}
	return k, nil
}

// Authenticate implements [Authenticator]. A key that is malformed, unknown, expired
// or another tenant's is [tenancy.ErrUnauthenticated]. One that is good, but not from
// this address, is [tenancy.ErrForbidden]. Two keys are [tenancy.ErrInvalid].
func (k *KeyAuthenticator) Authenticate(r *http.Request, t *tenancy.Tenant) (*Principal, error) {
	sent, err := credential.KeyOf(r, k.prefix)
	if resolver.Unresolved(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if sent.Tenant != t.ID {
		return nil, errForeign
	}
	hash := tenancy.DigestOf(sent.Text)
	key := t.Access.Key(sent.ID)
	if key == nil || subtle.ConstantTimeCompare(hash[:], key.Hash[:]) != 1 {
		return nil, fmt.Errorf("%w: key %s is unknown, was revoked, or is not that key", tenancy.ErrUnauthenticated, sent.ID)
	}
	now := time.Now()
	if !key.ExpiresAt.IsZero() && !now.Before(key.ExpiresAt) {
		return nil, fmt.Errorf("%w: key %s has expired", tenancy.ErrUnauthenticated, key.ID)
	}
	if len(key.Allow) > 0 {
		from := k.opts.Proxies.Client(r)
		if !ipnet.Contains(key.Allow, from) {
			return nil, fmt.Errorf("%w: key %s from the address %v", tenancy.ErrForbidden, key.ID, from)
		}
	}
	if k.opts.Used != nil {
		k.opts.Used(t.ID, key.ID, now)
	}
	return &Principal{Tenant: t.ID, ID: key.ID, Scopes: key.Scopes, ExpiresAt: key.ExpiresAt}, nil
}
