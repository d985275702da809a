package middleware

import (
	"bufio"
	"fmt"
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
// already or names a scheme or a host. Dots do not lead out of the prefix, in no form that browsers take for them.
func (l *locator) place(to string) string {
	ref, to, own := reference(to)
	if !own {
		return to
	}
	rooted := to[0] == '/'
	if !rooted {
		base := url.URL{Path: l.seen.Path, RawPath: l.seen.RawPath, RawQuery: l.seen.RawQuery}
		ref = base.ResolveReference(ref)
	}
	dots := urlpath.HasDots(ref.Path) // decoded: browsers take %2e for a dot, too
	if dots {
		ref.Path, ref.RawPath = strings.ReplaceAll(ref.Path, `\`, "/"), ""
		slash := strings.HasSuffix(ref.Path, "/")
		ref.Path = path.Clean(ref.Path)
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

// reference reads a Location as browsers do: without control characters and spaces around it, and without tabs and
// line breaks in it. It returns what it read and the text of that. Where the text names a scheme or a host, own is
// false, and the text is that of the handler.
func reference(text string) (ref *url.URL, to string, own bool) {
	to = strings.TrimFunc(text, func(c rune) bool { return c <= ' ' })
	if strings.HasPrefix(to, "//") {
		return nil, text, false
	}
	if strings.ContainsAny(to, "\t\r\n") {
		to = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(to)
		if strings.HasPrefix(to, "//") { // the handler meant a path
			to = "/" + strings.TrimLeft(to, "/")
		}
	}
	if to == "" || hasScheme(to) {
		return nil, text, false
	}
	ref, err := url.Parse(to)
	if err != nil { // browsers read it all the same
		to = encoded(to)
		if to[0] != '/' {
			to = "./" + to // a colon in the first segment ends no scheme
		}
		if ref, err = url.Parse(to); err != nil {
			return &url.URL{Path: "/"}, "/", true
		}
	}
	return ref, to, true
}

// hasScheme reports whether a reference begins with a scheme, as RFC 3986, section 3.1, has it.
func hasScheme(to string) bool {
	scheme, _, ok := strings.Cut(to, ":")
	for i, c := range []byte(scheme) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && !strings.ContainsRune("+-.", rune(c))) {
			return false
		}
	}
	return ok && scheme != ""
}

// encoded returns a malformed reference with its control characters encoded, and its percent signs that encode nothing.
func encoded(to string) string {
	var b strings.Builder
	for i := range len(to) {
		c := to[i]
		if _, err := url.PathUnescape(to[i:min(i+3, len(to))]); c < ' ' || c == 0x7f || c == '%' && err != nil {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
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
