package resolver

import (
	"net/http"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/credential"
)

// APIKey resolves by an API key, whose text names the tenant that it belongs to. The key is a bearer token in
// the header Authorization, or stands in X-API-Key.
//
// APIKey checks the form and the checksum alone, which tells typing errors and truncated keys from keys without
// I/O. middleware.KeyAuthenticator, behind the middleware that finds the tenant, decides whether the key is
// valid.
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

// Resolve returns the tenant that the key names. A token that does not begin with the prefix and an underscore
// is not a key. A malformed key is an error that wraps [tenancy.ErrUnauthenticated]. Several lines of one of
// the headers, and a key beside another token, are errors that wrap [tenancy.ErrInvalid].
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
