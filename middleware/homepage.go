package middleware

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/artflow-studio/tenancy"
)

// Homepage redirects GET and HEAD requests for the page "/" of a tenant whose homepage is off. It redirects to
// off: a path of the tenant, such as "/login", or the absolute URL of a page of the application. All other
// requests pass, those without a tenant included.
//
// A homepage is off if the record's [tenancy.Tenant.Settings] have a "homepage" that is neither empty nor "on".
//
// A path is redirected to behind [PathPrefix]. Nothing of the request gets into the redirect that could lead to
// another host.
//
// An off that is neither a path that begins with exactly one slash, and is not "/" itself, nor an absolute http
// or https URL with a host, is an error that wraps [tenancy.ErrInvalid].
func Homepage(off string, opts *Options) (func(http.Handler) http.Handler, error) {
	const op = "middleware.Homepage"
	isPath, err := place(off)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	o := opts.complete()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			t, ok := tenancy.FromContext(r.Context())
			if !ok || !isHome(r) || isOn(t) {
				next.ServeHTTP(w, r)
				return
			}
			to := off
			if prefix := PathPrefix(r.Context()); isPath && prefix != "" {
				prefix = (&url.URL{Path: prefix}).EscapedPath()
				isPath, err := place(prefix)
				if err == nil && !isPath {
					err = fmt.Errorf("%w: a redirect below %q, want a path", tenancy.ErrInvalid, prefix)
				}
				if err != nil {
					o.refuse(w, r, tenancy.Wrap(op, t.ID, err))
					return
				}
				to = prefix + off
			}
			w.Header().Set("Location", to)
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(http.StatusFound)
		})
	}, nil
}

// isHome reports whether a handler may take the request for a request of "/".
func isHome(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	p := r.URL.Path
	if len(p) < 2 {
		return p == "/" || p == ""
	}
	odd := strings.Contains(p, "//") || strings.Contains(p, "/.") // or it is clean, and not "/"
	return (odd || p[0] != '/') && path.Clean("/"+p) == "/"
}

func isOn(t *tenancy.Tenant) bool {
	setting := t.Settings["homepage"]
	return setting == "" || setting == "on"
}

// place validates a redirect, and reports whether it is a path. Browsers read a backslash as a slash, read two
// slashes as the beginning of a host, and ignore tabs and line feeds. Source:
// https://url.spec.whatwg.org/#concept-basic-url-parser
func place(to string) (isPath bool, err error) {
	invalid := fmt.Errorf("%w: a redirect to %q, want a path, or a URL with http or https and a host", tenancy.ErrInvalid, to)
	for i := range len(to) {
		if to[i] <= ' ' || to[i] >= 0x7f || to[i] == '\\' {
			return false, invalid
		}
	}
	u, err := url.Parse(to)
	if err != nil {
		return false, invalid
	}
	if strings.HasPrefix(to, "/") {
		if strings.HasPrefix(to, "//") || path.Clean(u.Path) == "/" {
			return false, invalid
		}
		return true, nil
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Opaque != "" {
		return false, invalid
	}
	return false, nil
}
