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

// KeyAuthenticator authenticates requests by API keys that catalog.KeyIssuer has issued. It compares them with
// the keys in the tenant's record and asks no server. [resolver.APIKey] says where in a request the key stands.
// Any resolver may find the tenant.
//
// The principal's ID is the ID of the key; it has no subject. Shared caches do not store answers to requests
// with Authorization, but they do not know X-API-Key: set Cache-Control to private or no-store in your answers.
type KeyAuthenticator struct {
	prefix string
	opts   KeyAuthenticatorOptions
}

// KeyAuthenticatorOptions are the options of [NewKeyAuthenticator].
type KeyAuthenticatorOptions struct {
	// Proxies are the reverse proxies whose word on the client's address is trusted. It matters for keys that
	// are restricted to some addresses. Default: none; the address is that of the connected peer.
	Proxies *resolver.Proxies
	// Used is called with each valid key before its request is served, and must not block. Pass
	// catalog.KeyIssuer.Used. Default: nothing is called.
	Used func(tenant tenancy.ID, key string, at time.Time)
}

// NewKeyAuthenticator returns an authenticator for API keys with that prefix. A prefix that
// [resolver.NewAPIKey] refuses is an error that wraps [tenancy.ErrInvalid].
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

// Authenticate implements [Authenticator]. A malformed, unknown or expired key, and one of another tenant, are
// [tenancy.ErrUnauthenticated]. A valid key from an address that it may not be used from is
// [tenancy.ErrForbidden]. Two keys in one request are [tenancy.ErrInvalid].
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
