package resolver

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/hostname"
)

// Origin resolves by the Origin header, for a page at acme.example.com that
// calls an API at api.example.com. Browsers set the header and scripts in them
// cannot change it; other clients send what they like.
type Origin struct {
	by HostResolver
}

// NewOrigin returns a resolver that hands the origin's host to by: a [Host] or
// a [Subdomain]. A nil resolver is an error that wraps [tenancy.ErrInvalid].
func NewOrigin(by HostResolver) (*Origin, error) {
	if by == nil {
		return nil, tenancy.Wrap("resolver.NewOrigin", "", fmt.Errorf("%w: no host resolver", tenancy.ErrInvalid))
	}
	return &Origin{by}, nil
}

// Resolve returns what the origin's host names. A request without an Origin,
// or with the opaque origin "null", names none.
func (o *Origin) Resolve(r *http.Request) (Match, error) {
	values := r.Header["Origin"]
	if len(values) == 0 || len(values) == 1 && values[0] == "null" {
		return Match{}, tenancy.ErrUnresolved
	}
	if len(values) > 1 {
		return Match{}, fmt.Errorf("%w: several Origin headers", tenancy.ErrInvalid)
	}
	u, err := url.Parse(values[0])
	if err == nil && u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		return Match{}, tenancy.ErrUnresolved // of an app or an extension
	}
	if err != nil || u.Scheme == "" || u.Host == "" || values[0] != u.Scheme+"://"+u.Host {
		return Match{}, fmt.Errorf("%w: Origin %q", tenancy.ErrInvalid, hostname.Clip(values[0]))
	}
	return o.by.ResolveHost(u.Host)
}
