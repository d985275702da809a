package maintenance

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

// problemBase is where the types of problems are explained.
const problemBase = "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#"

// mostRetryAfter is the largest number of seconds that all clients can read.
const mostRetryAfter = math.MaxInt32

// details are problem details, with a member of ours. Source: RFC 9457, section 3.
type details struct {
	Type    string `json:"type"`
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail"`
	Contact string `json:"contact,omitempty"`
}

// Answer answers a request that goes no further because of err, which is a
// [*tenancy.MaintenanceError] or unwraps to [tenancy.ErrUnavailable]: 503 with
// Retry-After, as a page if the client prefers HTML and as problem details in JSON
// (RFC 9457) otherwise. Of err's own text it shows nothing but message and contact.
// It does not log.
func Answer(w http.ResponseWriter, r *http.Request, err error) {
	d, after := describe(err)
	body, contentType := bytes.Buffer{}, "application/problem+json"
	if media.PrefersHTML(r.Header["Accept"]) {
		contentType = "text/html; charset=utf-8"
		_ = page.Execute(&body, d)
	} else {
		_ = json.NewEncoder(&body).Encode(d)
	}
	h := w.Header()
	for _, name := range []string{"Content-Encoding", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Retry-After", retryAfter(after))
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(d.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body.Bytes())
	}
}

// retryAfter returns whole seconds: at least one, and no more than clients can read.
func retryAfter(d time.Duration) string {
	seconds := int64(d / time.Second)
	if d%time.Second > 0 {
		seconds++
	}
	return strconv.FormatInt(min(max(seconds, 1), mostRetryAfter), 10)
}

// describe returns what err means to a client, and when to come back.
func describe(err error) (details, time.Duration) {
	d := details{Type: problemBase + "unavailable", Title: "Temporarily unavailable", Status: http.StatusServiceUnavailable,
		Detail: "The service cannot answer at the moment. Try again shortly."}
	var m *tenancy.MaintenanceError
	if !errors.As(err, &m) {
		return d, unknownFor
	}
	d.Type, d.Title, d.Contact = problemBase+"maintenance", "Under maintenance", m.Contact
	d.Detail = "This is being worked on. Try again later."
	if m.Mode == tenancy.MaintenanceReadOnly {
		d.Title, d.Detail = "Read-only", "Nothing can be changed at the moment. Try again later."
	}
	d.Detail = cmp.Or(m.Message, d.Detail)
	return d, m.RetryAfter()
}

var page = template.Must(template.New("maintenance").Parse(`<!doctype html>
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
</main>
</html>
`))
