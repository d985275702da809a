package middleware

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/artflow-studio/tenancy/internal/urlpath"
)

// locator is a response writer for a handler that does not see the prefix of its paths.
// It puts the prefix in front of the Location that the handler sets.
type locator struct {
	http.ResponseWriter
	prefix string
	seen   *url.URL // by the handler
	wrote  bool     // the header, or as good as
}

// behindPrefix returns a writer with the abilities of w, in the combinations that the server's own writers
// and wrappers of them have. The caller calls locate after the handler, in case the handler wrote nothing.
func behindPrefix(w http.ResponseWriter, prefix string, seen *url.URL) (behind http.ResponseWriter, l *locator) {
	l = &locator{ResponseWriter: w, prefix: prefix, seen: seen}
	_, flushes := w.(http.Flusher)
	_, hijacks := w.(http.Hijacker)
	_, pushes := w.(http.Pusher)
	_, reads := w.(io.ReaderFrom)
	switch {
	case flushes && hijacks && reads:
		return http1Locator{hijackLocator{flushLocator{l}}}, l
	case flushes && hijacks:
		return hijackLocator{flushLocator{l}}, l
	case flushes && pushes:
		return http2Locator{flushLocator{l}}, l
	case flushes:
		return flushLocator{l}, l
	}
	return l, l
}

// Unwrap is for [http.ResponseController].
func (l *locator) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// WriteHeader writes the header, with the Location that the client needs.
func (l *locator) WriteHeader(code int) {
	l.locate()
	l.wrote = l.wrote || code >= 200
	l.ResponseWriter.WriteHeader(code)
}

// Write writes the header, if nobody has, and the data.
func (l *locator) Write(p []byte) (int, error) {
	l.locate()
	l.wrote = true
	return l.ResponseWriter.Write(p)
}

// FlushError is for [http.ResponseController]: flushing writes the header.
func (l *locator) FlushError() error {
	l.locate()
	l.wrote = true
	return http.NewResponseController(l.ResponseWriter).Flush()
}

// locate rewrites the header unless it was written.
func (l *locator) locate() {
	if l.wrote {
		return
	}
	h := l.Header()
	for _, name := range [...]string{"Location", "Content-Location"} {
		if to := h.Get(name); to != "" {
			h.Set(name, l.place(to))
		}
	}
}

// place returns a handler's Location as the client needs it: behind the prefix, unless it has the prefix
// already or names a scheme or a host. Dots do not lead out of the prefix.
func (l *locator) place(to string) string {
	ref, err := url.Parse(to)
	if err != nil || ref.Scheme != "" || ref.Host != "" || strings.HasPrefix(to, "//") {
		return to
	}
	rooted := to[0] == '/'
	if !rooted {
		base := url.URL{Path: l.seen.Path, RawPath: l.seen.RawPath, RawQuery: l.seen.RawQuery}
		ref = base.ResolveReference(ref)
	}
	dots := urlpath.HasDots(ref.Path) // decoded: browsers take %2e for a dot, too
	if dots {
		slash := strings.HasSuffix(ref.Path, "/")
		ref.Path, ref.RawPath = path.Clean(ref.Path), ""
		if slash && ref.Path != "/" {
			ref.Path += "/"
		}
	}
	if !rooted || dots {
		to = ref.EscapedPath()
		if ref.ForceQuery || ref.RawQuery != "" {
			to += "?" + ref.RawQuery
		}
		if ref.Fragment != "" {
			to += "#" + ref.EscapedFragment()
		}
	}
	prefix := (&url.URL{Path: l.prefix}).EscapedPath()
	if rest, ok := strings.CutPrefix(to, prefix); ok && rooted && (rest == "" || strings.ContainsRune("/?#", rune(rest[0]))) {
		return to
	}
	return prefix + to
}

// flushLocator is a locator that flushes.
type flushLocator struct{ *locator }

// Flush implements [http.Flusher].
func (l flushLocator) Flush() { _ = l.FlushError() }

// http1Locator is a locator with the abilities of an HTTP/1 writer.
type http1Locator struct{ hijackLocator }

// hijackLocator is a locator with those that most wrappers of an HTTP/1 writer have.
type hijackLocator struct{ flushLocator }

// Hijack implements [http.Hijacker].
func (l hijackLocator) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	l.wrote = true
	return l.ResponseWriter.(http.Hijacker).Hijack()
}

// ReadFrom implements [io.ReaderFrom].
func (l http1Locator) ReadFrom(r io.Reader) (int64, error) {
	l.locate()
	l.wrote = true
	return l.ResponseWriter.(io.ReaderFrom).ReadFrom(r)
}

// http2Locator is a locator with the abilities of an HTTP/2 writer.
type http2Locator struct{ flushLocator }

// Push implements [http.Pusher].
func (l http2Locator) Push(target string, opts *http.PushOptions) error {
	return l.ResponseWriter.(http.Pusher).Push(target, opts)
}
