package analytics

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// Handlers ask by type assertion what a response writer can do, so there is a type for
// each set of abilities: F for http.Flusher, H for http.Hijacker, R for io.ReaderFrom
// and P for http.Pusher. Each is one pointer, which an interface holds without an
// allocation, and adds the last ability of its name to the type that it embeds.
type (
	withF    struct{ *request }
	withH    struct{ *request }
	withR    struct{ *request }
	withP    struct{ *request }
	withFH   struct{ withF }
	withFR   struct{ withF }
	withFP   struct{ withF }
	withHR   struct{ withH }
	withHP   struct{ withH }
	withRP   struct{ withR }
	withFHR  struct{ withFH }
	withFHP  struct{ withFH }
	withFRP  struct{ withFR }
	withHRP  struct{ withHR }
	withFHRP struct{ withFHR }
)

func (w withF) Flush()                                              { _ = w.flush() }
func (w withF) FlushError() error                                   { return w.flush() }
func (w withH) Hijack() (net.Conn, *bufio.ReadWriter, error)        { return w.hijack() }
func (w withR) ReadFrom(src io.Reader) (int64, error)               { return w.readFrom(src) }
func (w withP) Push(target string, opts *http.PushOptions) error    { return w.push(target, opts) }
func (w withFH) Hijack() (net.Conn, *bufio.ReadWriter, error)       { return w.hijack() }
func (w withFR) ReadFrom(src io.Reader) (int64, error)              { return w.readFrom(src) }
func (w withFP) Push(target string, opts *http.PushOptions) error   { return w.push(target, opts) }
func (w withHR) ReadFrom(src io.Reader) (int64, error)              { return w.readFrom(src) }
func (w withHP) Push(target string, opts *http.PushOptions) error   { return w.push(target, opts) }
func (w withRP) Push(target string, opts *http.PushOptions) error   { return w.push(target, opts) }
func (w withFHR) ReadFrom(src io.Reader) (int64, error)             { return w.readFrom(src) }
func (w withFHP) Push(target string, opts *http.PushOptions) error  { return w.push(target, opts) }
func (w withFRP) Push(target string, opts *http.PushOptions) error  { return w.push(target, opts) }
func (w withHRP) Push(target string, opts *http.PushOptions) error  { return w.push(target, opts) }
func (w withFHRP) Push(target string, opts *http.PushOptions) error { return w.push(target, opts) }

// able returns the request as a response writer with the abilities of the one within.
func able(q *request) http.ResponseWriter {
	var set int
	if _, ok := q.inner.(http.Flusher); ok {
		set |= 1
	}
	if _, ok := q.inner.(http.Hijacker); ok {
		set |= 2
	}
	if _, ok := q.inner.(io.ReaderFrom); ok {
		set |= 4
	}
	if _, ok := q.inner.(http.Pusher); ok {
		set |= 8
	}
	switch set {
	case 1:
		return withF{q}
	case 2:
		return withH{q}
	case 1 | 2:
		return withFH{withF{q}}
	case 4:
		return withR{q}
	case 1 | 4:
		return withFR{withF{q}}
	case 2 | 4:
		return withHR{withH{q}}
	case 1 | 2 | 4:
		return withFHR{withFH{withF{q}}}
	case 8:
		return withP{q}
	case 1 | 8:
		return withFP{withF{q}}
	case 2 | 8:
		return withHP{withH{q}}
	case 1 | 2 | 8:
		return withFHP{withFH{withF{q}}}
	case 4 | 8:
		return withRP{withR{q}}
	case 1 | 4 | 8:
		return withFRP{withFR{withF{q}}}
	case 2 | 4 | 8:
		return withHRP{withHR{withH{q}}}
	case 1 | 2 | 4 | 8:
		return withFHRP{withFHR{withFH{withF{q}}}}
	}
	return q
}
