package middleware

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/artflow-studio/tenancy"
)

// Skip lets requests for some paths, such as those of assets, pass by guards:
//
//	guarded, err := middleware.Skip([]string{"/assets/", "/favicon.ico"}, rateLimit, authenticate)
//	h := tenant(guarded(mux))
//
// A pattern that ends in a slash is that of all paths below, and another one of the
// path itself. All other requests pass the guards, the first of them first.
//
// Whatever is not plainly such a path passes the guards: methods other than GET and
// HEAD; paths with a doubled slash, a dot segment, a backslash, a percent sign or a
// semicolon in them, or that end in a slash; and those that are encoded where they
// need not be, such as one with %2F or %2e. A handler that decodes or cleans the
// path once more does not find itself elsewhere.
//
// The path is r.URL.Path as it comes here: behind [Tenant] without the prefix that
// names the tenant. A pattern that does not begin with a slash, could not be a plain
// path, or is "/", by which everything would pass, is an error that wraps
// [tenancy.ErrInvalid].
func Skip(patterns []string, guards ...func(http.Handler) http.Handler) (func(http.Handler) http.Handler, error) {
	patterns = slices.Clone(patterns)
	for _, p := range patterns {
		if below := strings.TrimSuffix(p, "/"); strings.HasSuffix(below, "/") || !plain(below) {
			return nil, tenancy.Wrap("middleware.Skip", "", fmt.Errorf("%w: pattern %q, want a plain path that begins with a slash", tenancy.ErrInvalid, p))
		}
	}
	return func(next http.Handler) http.Handler {
		guarded := next
		for _, g := range slices.Backward(guards) {
			guarded = g(guarded)
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if skips(patterns, r) {
				next.ServeHTTP(w, r)
				return
			}
			guarded.ServeHTTP(w, r)
		})
	}, nil
}

func skips(patterns []string, r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.URL.RawPath != "" {
		return false
	}
	for _, p := range patterns {
		if r.URL.Path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(r.URL.Path, p) {
			return plain(r.URL.Path)
		}
	}
	return false
}

// plain reports whether everybody takes the path for the same.
func plain(p string) bool {
	return strings.HasPrefix(p, "/") && path.Clean(p) == p && !strings.ContainsAny(p, "\\%;{}\x00")
}
