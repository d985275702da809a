package resolver

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/artflow-studio/tenancy"
)

// Query resolves by a parameter of the URL's query: /notes?tenant=acme. The body of a form does not count.
// Anybody can write such a link, and it ends up in logs and in the Referer that other sites see: use it for
// tools rather than for people.
type Query struct {
	param string
	kind  tenancy.RefKind
}

// QueryOptions are the options of [NewQuery].
type QueryOptions struct {
	// Kind is what the value is: RefSlug or RefID. Default: RefSlug.
	Kind tenancy.RefKind
}

// NewQuery returns a resolver by query parameter. An empty name is an error
// that wraps [tenancy.ErrInvalid].
func NewQuery(param string, opts *QueryOptions) (*Query, error) {
	const op = "resolver.NewQuery"
	if opts == nil {
		opts = &QueryOptions{}
	}
	kind, err := kindOr(opts.Kind, tenancy.RefSlug)
	if err == nil && param == "" {
		err = fmt.Errorf("%w: empty parameter name", tenancy.ErrInvalid)
	}
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return &Query{param, kind}, nil
}

// Resolve returns what the parameter names. Several values that differ are an
// error, and so is a malformed query.
func (q *Query) Resolve(r *http.Request) (Match, error) {
	if r.URL.RawQuery == "" {
		return Match{}, tenancy.ErrUnresolved
	}
	form, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Match{}, fmt.Errorf("%w: malformed query", tenancy.ErrInvalid)
	}
	values := form[q.param]
	if len(values) == 0 {
		return Match{}, tenancy.ErrUnresolved
	}
	m, err := oneOf("query "+q.param, q.kind, values)
	if err != nil { // without the value: what is in a query may be a secret
		return Match{}, fmt.Errorf("%w: query parameter %s: want one %v", tenancy.ErrInvalid, q.param, q.kind)
	}
	return m, nil
}
