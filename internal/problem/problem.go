// Package problem is the one place where errors become HTTP: what a client sees of an
// error, as problem details or as a page, and what the log says of a request that goes
// no further. The two are different texts.
package problem

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"html/template"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/media"
)

// base is where the types of problems are explained.
const base = "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#"

// maxRetryAfter is the largest number of seconds that all clients can read.
const maxRetryAfter = math.MaxInt32

// retryAfterer is an error that knows when to come back.
type retryAfterer interface {
	error
	RetryAfter() time.Duration
}

// Write answers a request with what err means to its client: problem details in JSON
// (RFC 9457), or a small page if the client prefers HTML. The texts are fixed, those of
// an [Error], or the operator's of a [tenancy.MaintenanceError]; nothing of err's own text is in them. It
// does not log.
func Write(w http.ResponseWriter, r *http.Request, err error) {
	d := Describe(r, err)
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept")
	h.Set("X-Content-Type-Options", "nosniff")
	if d.Status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", "Bearer") // RFC 9110, section 15.5.2, wants one
	}
	if d.RetryAfter > 0 {
		h.Set("Retry-After", seconds(d.RetryAfter))
	}
	var body bytes.Buffer
	if media.PrefersHTML(r.Header["Accept"]) {
		h.Set("Content-Type", "text/html; charset=utf-8")
		_ = page.Execute(&body, d)
	} else {
		h.Set("Content-Type", "application/problem+json")
		_ = json.NewEncoder(&body).Encode(d)
	}
	if r.Method == http.MethodHead {
		h.Set("Content-Length", strconv.Itoa(body.Len()))
		body.Reset()
	}
	w.WriteHeader(d.Status)
	_, _ = w.Write(body.Bytes())
}

// seconds returns whole seconds, rounded up, and no more than clients can read.
func seconds(d time.Duration) string {
	n := int64(d / time.Second)
	if d%time.Second > 0 {
		n++
	}
	return strconv.FormatInt(min(n, maxRetryAfter), 10)
}

// Details are problem details: what an error means to a client.
// Source: RFC 9457, section 3.1.
type Details struct {
	// Type is a URL that names the problem, and where it is explained.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Contact is whom to ask, where the operator says it.
	Contact string `json:"contact,omitempty"`
	// RequestID is the request's own, for those who ask about it.
	RequestID string `json:"request_id,omitempty"`
	// RetryAfter is for the header of that name; zero means none.
	RetryAfter time.Duration `json:"-"`
}

// Describe returns what err means to the client of r, for answers in a form of
// the application's own. Of an error with several meanings the gravest counts: a
// server that cannot be reached outweighs a thing that was not found there.
func Describe(r *http.Request, err error) Details {
	p := classify(r, err)
	d := Details{Type: base + p.name, Title: p.title, Status: p.code, Detail: p.detail, RetryAfter: p.retryAfter}
	if info, ok := tenancy.RequestFrom(r.Context()); ok {
		d.RequestID = info.ID
	}
	var named *Error
	if errors.As(err, &named) && named.Name == p.name {
		d.Detail = cmp.Or(named.Detail, d.Detail)
	}
	var e retryAfterer
	if errors.As(err, &e) {
		d.RetryAfter = e.RetryAfter()
	}
	var m *tenancy.MaintenanceError
	if errors.As(err, &m) {
		if m.Mode == tenancy.MaintenanceReadOnly {
			d.Title, d.Detail = "Read-only", "Nothing can be changed at the moment. Try again later."
		}
		d.Detail, d.Contact = cmp.Or(m.Message, d.Detail), m.Contact
	}
	return d
}

var page = template.Must(template.New("problem").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
  :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
  body { display: grid; place-content: center; min-height: 90vh; margin: 0 1.5rem }
  h1 { font-size: 1.5rem; margin: 0 0 .25rem }
  p { margin: 0; opacity: .75; white-space: pre-line }
</style>
<main>
  <h1>{{.Title}}</h1>
  <p>{{.Detail}}</p>
  {{with .Contact}}<p>{{.}}</p>{{end}}
  {{with .RequestID}}<p><small>{{.}}</small></p>{{end}}
</main>
</html>
`))
