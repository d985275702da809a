package resolver

import (
	"net/http"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/credential"
)

// APIKey resolves by an API key, whose text names the tenant that it belongs to.
// The key stands in the header Authorization as a bearer token, or in X-API-Key.
//
// Only its form and its checksum are looked at: that tells typing errors and
// truncated keys apart from keys without asking anybody. Whether the key is valid
// is for middleware.KeyAuthenticator to say, behind the middleware that finds the tenant.
type APIKey struct{ prefix string }

// NewAPIKey returns a resolver by API keys with that prefix, such as "acme_live":
// 1 to 32 lower-case letters, digits and inner underscores, the first a letter. Any
// other is an error that wraps [tenancy.ErrInvalid].
func NewAPIKey(prefix string) (*APIKey, error) {
	if err := credential.CheckPrefix(prefix); err != nil {
		return nil, tenancy.Wrap("resolver.NewAPIKey", "", err)
	}
	return &APIKey{prefix}, nil
}

// Resolve returns the tenant that the key names. What does not begin with the
// prefix and an underscore is no key. A malformed key is an error that wraps
// [tenancy.ErrUnauthenticated]. Several lines of one of the headers are one that
// wraps [tenancy.ErrInvalid], and so is a key beside another token.
func (a *APIKey) Resolve(r *http.Request) (Match, error) {
	key, err := credential.KeyOf(r, a.prefix)
	if err != nil {
		return Match{}, err
	}
	if !key.Genuine() {
		return Match{}, credential.ErrMalformed
	}
	return Match{Ref: tenancy.Ref{Kind: tenancy.RefID, Value: string(key.Tenant)}}, nil
}
