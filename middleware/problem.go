package middleware

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"html/template"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/media"
)

// problemBase is where the types of problems are explained.
const problemBase = "https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#"

// statusClientClosed is what proxies log for a client that went away. It has no
// number of its own in HTTP, and nobody reads the answer.
const statusClientClosed = 499

// problem is one row of the table that turns errors into HTTP.
type problem struct {
	is         []error          // any of them, by errors.Is, or
	as         func(error) bool // by type
	status     tenancy.Status   // if set, also that of the StatusError
	code       int
	name       string // the last part of the type
	title      string
	detail     string
	level      slog.Level
	retryAfter time.Duration // unless the error says
}

// problems is the table. The first row that matches counts: a server that
// cannot be reached outweighs what else an error says.
var problems = []problem{
	{is: []error{context.Canceled}, code: statusClientClosed, name: "cancelled", title: "Cancelled",
		detail: "The request was cancelled.", level: slog.LevelDebug},
	{as: maintenance, code: http.StatusServiceUnavailable, name: "maintenance", title: "Under maintenance",
		detail: "This is being worked on. Try again later.", level: slog.LevelInfo, retryAfter: 5 * time.Minute},
	{is: []error{tenancy.ErrUnavailable, tenancy.ErrClosed, context.DeadlineExceeded}, code: http.StatusServiceUnavailable, name: "unavailable",
		title: "Temporarily unavailable", detail: "The service cannot answer at the moment. Try again shortly.",
		level: slog.LevelError, retryAfter: 5 * time.Second},
	{is: []error{tenancy.ErrUnresolved}, code: http.StatusNotFound, name: "unresolved", title: "No tenant named",
		detail: "This address leads to no tenant.", level: slog.LevelDebug},
	{is: []error{tenancy.ErrNotFound}, code: http.StatusNotFound, name: "unknown", title: "Not found",
		detail: "There is nothing at this address.", level: slog.LevelDebug},
	{is: []error{tenancy.ErrNotActive}, status: tenancy.StatusProvisioning, code: http.StatusServiceUnavailable, name: "provisioning",
		title: "Being set up", detail: "This tenant is being set up. Try again in a moment.", level: slog.LevelInfo, retryAfter: 5 * time.Second},
	{is: []error{tenancy.ErrNotActive}, status: tenancy.StatusSuspended, code: http.StatusForbidden, name: "suspended",
		title: "Suspended", detail: "This tenant is suspended.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrNotActive}, status: tenancy.StatusBlocked, code: http.StatusForbidden, name: "blocked",
		title: "Blocked", detail: "This tenant is blocked.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrNotActive}, status: tenancy.StatusArchived, code: http.StatusGone, name: "archived",
		title: "Gone", detail: "This tenant is closed for good.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrNotActive}, code: http.StatusForbidden, name: "inactive",
		title: "Not active", detail: "This tenant is not active.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrUnauthenticated}, code: http.StatusUnauthorized, name: "unauthenticated", title: "Not authenticated",
		detail: "The request lacks valid credentials.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrForbidden}, code: http.StatusForbidden, name: "forbidden", title: "Forbidden",
		detail: "This request is not allowed.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrLimited}, code: http.StatusTooManyRequests, name: "limited", title: "Too many requests",
		detail: "A limit is reached. Try again later.", level: slog.LevelInfo, retryAfter: time.Second},
	{is: []error{tenancy.ErrExists}, code: http.StatusConflict, name: "exists", title: "Exists already",
		detail: "That name is taken.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrConflict}, code: http.StatusConflict, name: "conflict", title: "Changed meanwhile",
		detail: "Somebody else changed it meanwhile. Read it again.", level: slog.LevelInfo},
	{as: tooLarge, code: http.StatusRequestEntityTooLarge, name: "too-large", title: "Too large",
		detail: "The request's body is too large.", level: slog.LevelInfo},
	{is: []error{tenancy.ErrInvalid}, code: http.StatusBadRequest, name: "invalid", title: "Invalid request",
		detail: "The request is malformed or contradicts itself.", level: slog.LevelInfo},
}

// internal is what every error is that is in no row.
var internal = problem{code: http.StatusInternalServerError, name: "internal", title: "Internal error",
	detail: "Something went wrong on our side.", level: slog.LevelError}

// tooLarge reports whether a body was cut off by http.MaxBytesReader.
func tooLarge(err error) bool {
	var e *http.MaxBytesError
	return errors.As(err, &e)
}

// maintenance reports whether a request is refused because of maintenance.
func maintenance(err error) bool {
	var e *tenancy.MaintenanceError
	return errors.As(err, &e)
}

// classify finds the row of an error. A cancellation that is not the client's
// own is one of ours, such as the end of the program.
func classify(r *http.Request, err error) *problem {
	if errors.Is(err, context.Canceled) && r.Context().Err() == nil {
		err = tenancy.ErrUnavailable
	}
	var notActive *tenancy.StatusError
	var status tenancy.Status
	if errors.As(err, &notActive) {
		status = notActive.Status
	}
	for i := range problems {
		p := &problems[i]
		matches := slices.ContainsFunc(p.is, func(is error) bool { return errors.Is(err, is) }) || p.as != nil && p.as(err)
		if matches && (p.status == "" || p.status == status) {
			return p
		}
	}
	if end := r.Context().Err(); end != nil && !errors.Is(err, end) {
		return classify(r, end) // whatever failed, failed because nobody waits any more
	}
	return &internal
}

// retryAfterer is an error that knows when to come back.
type retryAfterer interface {
	error
	RetryAfter() time.Duration
}

// Problem answers a request with what err means to its client: problem details
// in JSON (RFC 9457), or a small page if the client prefers HTML. The texts are
// fixed, or the operator's of a [tenancy.MaintenanceError]; nothing of err's own
// text is in them. Errors that unwrap to no sentinel
// of package tenancy are internal errors. An error in the chain with a method
// RetryAfter() time.Duration sets the header of that name. An answer of 401 says
// "WWW-Authenticate: Bearer" unless the host set that header before.
//
// Problem does not log; [Refuse] does both.
func Problem(w http.ResponseWriter, r *http.Request, err error) {
	p := Describe(r, err)
	h := w.Header()
	h.Del("Content-Length")
	h.Del("Content-Encoding")
	h.Del("Etag")
	h.Del("Last-Modified")
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.Status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", "Bearer") // RFC 9110, section 15.5.2, wants one
	}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatFloat(math.Ceil(p.RetryAfter.Seconds()), 'f', 0, 64))
	}
	if media.PrefersHTML(r.Header["Accept"]) {
		h.Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(p.Status)
		_ = page.Execute(w, p)
		return
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
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
	// RetryAfter is for the header of that name; zero means none.
	RetryAfter time.Duration `json:"-"`
}

// Describe returns what err means to the client of r, for answers in a form of
// the application's own. Of an error with several meanings the gravest counts: a
// server that cannot be reached outweighs a thing that was not found there.
func Describe(r *http.Request, err error) Details {
	p := classify(r, err)
	d := Details{Type: problemBase + p.name, Title: p.title, Status: p.code, Detail: p.detail, RetryAfter: p.retryAfter}
	var e retryAfterer
	if errors.As(err, &e) {
		d.RetryAfter = e.RetryAfter()
	}
	var m *tenancy.MaintenanceError
	if errors.As(err, &m) {
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
  p { margin: 0; opacity: .75 }
</style>
<main>
  <h1>{{.Title}}</h1>
  <p>{{.Detail}}</p>
  {{with .Contact}}<p>{{.}}</p>{{end}}
</main>
</html>
`))
