package resolver

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/urlpath"
)

// Path resolves by the segment behind a prefix of the URL's path: with the prefix "/t/", the path /t/acme/notes
// names acme. The middleware takes "/t/acme" off, so that the handler sees /notes, and puts it in front of the
// handler's redirects: see middleware.PathPrefix.
//
// Path looks at the segment as the client sent it. An encoded character in it is an error, and so is a path
// with ".", ".." or empty segments behind the prefix, because proxies and routers disagree on where such a path
// leads. For "." and ".." a backslash, which browsers read as a slash, ends a segment too.
type Path struct {
	prefix string // "/t/"
	kind   tenancy.RefKind
}

// PathOptions are the options of [NewPath].
type PathOptions struct {
	// Kind is what the segment is: RefSlug or RefID. Default: RefSlug.
	Kind tenancy.RefKind
}

// NewPath returns a resolver by path. The prefix begins and ends with a slash
// and holds no character that URLs encode; the prefix "/" makes the first
// segment of every path name a tenant. Anything else is an error that wraps
// [tenancy.ErrInvalid].
func NewPath(prefix string, opts *PathOptions) (*Path, error) {
	const op = "resolver.NewPath"
	if opts == nil {
		opts = &PathOptions{}
	}
	kind, err := kindOr(opts.Kind, tenancy.RefSlug)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	if !validPrefix(prefix) {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: path prefix %q, want a form like /t/", tenancy.ErrInvalid, prefix))
	}
	return &Path{prefix: prefix, kind: kind}, nil
}

func validPrefix(prefix string) bool {
	if !strings.HasPrefix(prefix, "/") || !strings.HasSuffix(prefix, "/") || strings.Contains(prefix, "//") || urlpath.HasDots(prefix) {
		return false
	}
	for _, c := range []byte(prefix) {
		alnum := '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
		if !alnum && !strings.ContainsRune("/-_.~", rune(c)) {
			return false
		}
	}
	return true
}

// Resolve returns what the segment behind the prefix names.
func (p *Path) Resolve(r *http.Request) (Match, error) {
	path := r.URL.Path
	if r.URL.RawPath != "" {
		path = r.URL.EscapedPath() // as the client encoded it
	}
	rest, ok := strings.CutPrefix(path, p.prefix)
	if !ok && strings.HasPrefix(r.URL.Path, p.prefix) {
		return Match{}, fmt.Errorf("%w: the prefix of the path is encoded", tenancy.ErrInvalid)
	}
	if !ok || rest == "" {
		return Match{}, tenancy.ErrUnresolved
	}
	segment, tail, _ := strings.Cut(rest, "/")
	m, err := newMatch("path", p.kind, segment)
	if err != nil { // without the segment: paths may hold secrets, and the one who logs them knows which
		return Match{}, fmt.Errorf("%w: the path's segment behind %s is no %v", tenancy.ErrInvalid, p.prefix, p.kind)
	}
	// What follows is looked at decoded too: %2e%2e is ".." to some.
	if unclean(tail) || r.URL.RawPath != "" && urlpath.HasDots(r.URL.Path) {
		return Match{}, fmt.Errorf("%w: the path has dot segments or empty ones", tenancy.ErrInvalid)
	}
	m.Prefix = path[:len(p.prefix)+len(segment)]
	return m, nil
}

// unclean reports whether a router would redirect a path with this tail to another form of it, and lose the
// tenant's segment.
func unclean(tail string) bool {
	return strings.HasPrefix(tail, "/") || strings.Contains(tail, "//") || urlpath.HasDots(tail)
}
