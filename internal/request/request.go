// Package request hands requests on to handlers in another context.
//
// A request's context cannot be changed, so a handler gets a copy of the request. What
// net/http and http.ServeMux write into the copy belongs to those in front, too: the
// server removes the temporary files of a form after the request, and a log or a
// tracer names the route. Nothing else in this module copies requests; a test in
// internal/archtest sees to that.
package request

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strings"
)

// Serve calls next with a copy of r that has the context and, unless u is nil, the
// URL. When next returns or panics, r has what net/http and a ServeMux wrote into the
// copy: the forms, the pattern and the values of the path under the names that are in
// the pattern. Context and URL of r stay as they were.
//
// Serve writes into r what next writes, so nobody else may do it meanwhile, as without
// the copy.
func Serve(ctx context.Context, next http.Handler, w http.ResponseWriter, r *http.Request, u *url.URL) {
	c := copyOf(ctx, r)
	if u != nil {
		c.URL = u
	}
	defer giveBack(r, c)
	next.ServeHTTP(w, c)
}

// ServeHeader is [Serve] in the same context, with a copy of r that has another header.
func ServeHeader(next http.Handler, w http.ResponseWriter, r *http.Request, header http.Header) {
	c := copyOf(r.Context(), r)
	c.Header = header
	defer giveBack(r, c)
	next.ServeHTTP(w, c)
}

func copyOf(ctx context.Context, r *http.Request) *http.Request {
	if r.ContentLength < 0 && r.Trailer == nil {
		// The server adds trailers that were not announced to the map that is there when
		// the body ends, or else makes one that the copy has not.
		r.Trailer = http.Header{}
	}
	return r.WithContext(ctx)
}

// giveBack writes into r what was written into its copy, and touches nothing else:
// others may read r meanwhile.
func giveBack(r, c *http.Request) {
	if r.Form == nil && c.Form != nil {
		r.Form = c.Form
	}
	if r.PostForm == nil && c.PostForm != nil {
		r.PostForm = c.PostForm
	}
	if r.MultipartForm != c.MultipartForm {
		r.MultipartForm = c.MultipartForm
	}
	if r.Pattern == c.Pattern {
		return
	}
	r.Pattern = c.Pattern
	for name := range wildcards(c.Pattern) {
		if value := c.PathValue(name); value != r.PathValue(name) {
			r.SetPathValue(name, value)
		}
	}
}

// wildcards yields the names in a pattern: "id" and "rest" of /notes/{id}/{rest...}.
// Routers that are not http.ServeMux may have an expression behind a colon.
func wildcards(pattern string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			_, rest, ok := strings.Cut(pattern, "{")
			if !ok {
				return
			}
			name, rest, _ := strings.Cut(rest, "}")
			name, _, _ = strings.Cut(strings.TrimSuffix(name, "..."), ":")
			if name != "" && name != "$" && !yield(name) {
				return
			}
			pattern = rest
		}
	}
}
