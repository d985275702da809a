package resolver

import (
	"fmt"
	"net/http"
	"net/netip"

	"golang.org/x/net/http/httpguts"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/ipnet"
)

// Header resolves by a header that a gateway sets. The header counts only if the directly connected peer has
// one of the given addresses; from anybody else it is ignored. The gateway must overwrite what a client sent.
// Do not trust loopback if a proxy on the same machine passes the header on: then everybody can set it.
type Header struct {
	name string
	from []netip.Prefix
	kind tenancy.RefKind
}

// HeaderOptions are the options of [NewHeader].
type HeaderOptions struct {
	// Kind is what the value is: RefSlug or RefID. Default: RefSlug.
	Kind tenancy.RefKind
}

// NewHeader returns a resolver by header. Without an address to trust, or with
// a malformed name, it returns an error that wraps [tenancy.ErrInvalid].
func NewHeader(name string, from []netip.Prefix, opts *HeaderOptions) (*Header, error) {
	const op = "resolver.NewHeader"
	if opts == nil {
		opts = &HeaderOptions{}
	}
	kind, err := kindOr(opts.Kind, tenancy.RefSlug)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	if !httpguts.ValidHeaderFieldName(name) {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: header name %q", tenancy.ErrInvalid, name))
	}
	from, err = trusted(from)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return &Header{http.CanonicalHeaderKey(name), from, kind}, nil
}

// Resolve returns what the header names. Several lines that differ are an error.
func (h *Header) Resolve(r *http.Request) (Match, error) {
	values := r.Header[h.name]
	if len(values) == 0 || !ipnet.Contains(h.from, ipnet.Peer(r)) {
		return Match{}, tenancy.ErrUnresolved
	}
	return oneOf("header "+h.name, h.kind, values)
}

// oneOf returns the match of values that must all be equal.
func oneOf(where string, kind tenancy.RefKind, values []string) (Match, error) {
	for _, v := range values[1:] {
		if v != values[0] {
			return Match{}, fmt.Errorf("%w: %s: several values that differ", tenancy.ErrInvalid, where)
		}
	}
	return newMatch(where, kind, values[0])
}
