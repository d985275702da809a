package middleware

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/artflow-studio/tenancy"
)

// Skip serves GET and HEAD requests for some paths, such as those of assets, without the middlewares:
//
//	guarded, err := middleware.Skip([]string{"/assets/", "/favicon.ico"}, rateLimit, authenticate)
//	h := tenantOnly(guarded(mux))
//
// A pattern with a final slash stands for all paths below it, any other pattern for one path. All other
// requests go through the middlewares, the first one first.
//
// A request skips the middlewares only if every router and proxy must read its path alike. Paths with a doubled
// slash, a dot segment, a backslash, a percent sign or a semicolon do not skip, nor do paths with a final slash
// or with needless encoding such as %2F or %2e. So a handler that decodes or cleans the path once more still
// finds itself below the pattern.
//
// The path is r.URL.Path as it arrives here: behind [Tenant], without the prefix that names the tenant. A
// pattern that does not begin with a slash, that no such path can match, or that is "/" itself, is an error
// that wraps [tenancy.ErrInvalid].
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

// plain reports whether everybody reads the path alike.
func plain(p string) bool {
	return strings.HasPrefix(p, "/") && path.Clean(p) == p && !strings.ContainsAny(p, "\\%;{}\x00")
}
