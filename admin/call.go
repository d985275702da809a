package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/internal/gzipped"
	"github.com/artflow-studio/tenancy/internal/problem"
	"github.com/artflow-studio/tenancy/middleware"
)

// call is one request that was admitted to a row.
type call struct {
	admin  *Admin
	row    *route
	w      http.ResponseWriter
	r      *http.Request
	id     *auth.Identity  // nil for everybody
	tenant *tenancy.Tenant // for rows about one tenant
	body   []byte          // once it was read
}

func (c *call) ctx() context.Context { return c.r.Context() }

// reply answers with v. The answer to a GET or HEAD has an ETag, and is 304 for a client that has it already.
func (c *call) reply(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := c.w.Header()
	if !c.row.changes() && h.Get("ETag") == "" {
		sum := sha256.Sum256(body)
		h.Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`)
	}
	if !c.row.changes() && status == http.StatusOK && matches(c.r.Header.Get("If-None-Match"), h.Get("ETag")) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", "application/json")
	body = append(body, '\n')
	if c.r.Method == http.MethodGet {
		// The length of what is compressed tells of its text. That helps nobody: no other site can send requests with the operator's cookie.
		_ = gzipped.Write(c.w, c.r, status, body) // a client that went away
		return nil
	}
	c.w.WriteHeader(status) // as it is: the answer to an Idempotency-Key is kept, also for a client that takes it no other way
	_, _ = c.w.Write(body)
	return nil
}

func (c *call) noContent() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// setLocation says where below base the thing is that was made. It is relative to the request's own address, so it is right below whatever prefix
// the application or a proxy has taken off.
func (c *call) setLocation(path string) {
	c.w.Header().Set("Location", strings.Repeat("../", strings.Count(c.row.pattern, "/"))+path)
}

// versionTag returns the ETag of a record with that version.
func versionTag(version int64) string { return `"v` + strconv.FormatInt(version, 10) + `"` }

// tenantTag returns the ETag of a tenant's record. It names the time of its creation, too: a tenant that was purged and made again
// under its ID has the same versions.
func tenantTag(t *tenancy.Tenant) string {
	return `"v` + strconv.FormatInt(t.Version, 10) + "-" + strconv.FormatInt(t.CreatedAt.UnixMicro(), 36) + `"`
}

// setTag sets the ETag of the answer.
func (c *call) setTag(tag string) { c.w.Header().Set("ETag", tag) }

// setVersion makes the ETag of the answer that of a record with that version.
func (c *call) setVersion(version int64) { c.setTag(versionTag(version)) }

// ifMatch checks that the client changes the record with this version; for another it is 412.
func (c *call) ifMatch(version int64) error { return c.ifMatchTag(versionTag(version)) }

// ifMatchTag checks that the client changes the record with this ETag; for another it is 412.
func (c *call) ifMatchTag(tag string) error {
	sent := c.r.Header.Get("If-Match")
	if !matches(sent, tag) {
		return problem.New(problem.Precondition, fmt.Errorf("%w: If-Match is %.80q, the record has the ETag %s", tenancy.ErrConflict, sent, tag))
	}
	return nil
}

// matches reports whether the tag is in a list of ETags. "*" is none of ours: it would let a change pass that read nothing.
func matches(list, tag string) bool {
	if tag == "" {
		return false
	}
	for each := range strings.SplitSeq(list, ",") {
		if strings.TrimPrefix(strings.TrimSpace(each), "W/") == tag {
			return true
		}
	}
	return false
}

// reason returns why the operator acts, in their own words, from the header X-Reason.
// What is not ASCII is percent-encoded there.
func reason(r *http.Request) string {
	text := r.Header.Get("X-Reason")
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

// details is a problem document of the API.
type details struct {
	middleware.Details
	Errors []problem.Field `json:"errors,omitempty"`
}

// refuse answers with what err means, and logs what it says. Nothing of its own text reaches the client.
func (a *Admin) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var field *auth.FieldError
	if errors.As(err, &field) {
		err = problem.New(problem.Validation, err, problem.Field{Pointer: pointerOf(field.Field), Code: field.Code, Text: fieldText(field)})
	}
	d := details{Details: middleware.Describe(r, err)}
	var named *problem.Error
	if errors.As(err, &named) {
		d.Errors = named.Fields
	}
	var state *stateError
	if errors.As(err, &state) && d.Status == http.StatusConflict {
		d.Title, d.Detail = "Not possible now", state.text
	}
	level := a.opts.Logger.DebugContext
	if d.Status >= 500 && d.Status != http.StatusServiceUnavailable {
		level = a.opts.Logger.ErrorContext
	} else if d.Status == http.StatusServiceUnavailable || state != nil { // of which the client is told what is in the way, and not why
		level = a.opts.Logger.WarnContext
	}
	level(r.Context(), "admin: refused", "method", r.Method, "path", r.URL.Path, "status", d.Status, "request_id", d.RequestID, "error", err)
	h := w.Header()
	for _, name := range []string{"Content-Length", "ETag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if d.Status == http.StatusUnauthorized { // required by RFC 9110, section 15.5.2
		h.Set("WWW-Authenticate", "Bearer")
	}
	if d.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatFloat(math.Ceil(d.RetryAfter.Seconds()), 'f', 0, 64))
	}
	w.WriteHeader(d.Status)
	_ = json.NewEncoder(w).Encode(d) // a client that went away
}

// problemName is the last part of the type of the problem that err is.
func problemName(r *http.Request, err error) string {
	_, name, _ := strings.Cut(middleware.Describe(r, err).Type, "#")
	return name
}

func pointerOf(field string) string {
	if field == "" {
		return ""
	}
	return "/" + field
}

// fieldText says in words for the operator what is wrong with a field.
func fieldText(e *auth.FieldError) string {
	switch e.Code {
	case "weak":
		return "Choose 15 to 256 characters that are not a pattern, one word repeated, or a name of the service or yours."
	case "locks-out-you":
		return "Your own address is not among those that may come in: you would be locked out."
	case "locks-out-owners":
		return "No owner could come in any more."
	case "not-configured":
		return "The service is not set up for this."
	case "range":
		return "This is too small, too large, or too many."
	case "unknown":
		return "There is no such " + e.Field + "."
	}
	return "This is not a valid " + e.Field + "."
}

// limit reads how many things a page of a list has: at most 500, and 100 unless it says.
func (c *call) limit() (int, error) {
	const most, usual = 500, 100
	text := c.r.URL.Query().Get("limit")
	if text == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%w: limit %.20q, want 1 to %d", tenancy.ErrInvalid, text, most)
	}
	return n, nil
}

// list reads the values of a query parameter, which commas separate; without it there are none. Statements have room for far more.
func (c *call) list(name string) ([]string, error) {
	const most = 100
	text := c.r.URL.Query().Get(name)
	if text == "" {
		return nil, nil
	}
	all := strings.SplitN(text, ",", most+1)
	if len(all) > most {
		return nil, fmt.Errorf("%w: more than %d values of %s", tenancy.ErrInvalid, most, name)
	}
	return all, nil
}

// after reads the cursor of a list: its n values, or nil on the first page. One of another query is refused.
func (c *call) after(query string, n int) ([]string, error) {
	text := c.r.URL.Query().Get("cursor")
	if text == "" {
		return nil, nil
	}
	return tenancy.Cursor(text).Values(query, n)
}

// check refuses what the row does not take: parameters, a body, and a change that does not say of which version.
func (c *call) check() error {
	known := strings.Fields(c.row.query)
	query, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil { // a parameter with a mistake in it would be left out: a filter that selects everything
		return fmt.Errorf("%w: parameters: %w", tenancy.ErrInvalid, err)
	}
	for name, values := range query {
		if len(values) != 1 || !slices.Contains(known, name) {
			return problem.New(problem.Validation, fmt.Errorf("%w: parameter %.80q", tenancy.ErrInvalid, name),
				problem.Field{Pointer: "?", Code: "unknown", Text: "A parameter is unknown or sent twice."})
		}
	}
	if !c.row.changes() {
		return nil
	}
	body, err := c.readBody()
	if err != nil {
		return err
	}
	if text := bytes.TrimSpace(body); !c.row.body && len(text) > 0 && !bytes.Equal(text, []byte("{}")) {
		return problem.New(problem.Validation, fmt.Errorf("%w: a body of %d bytes", tenancy.ErrInvalid, len(body)),
			problem.Field{Pointer: "", Code: "unknown", Text: "This takes no body."})
	}
	if c.row.match && c.r.Header.Get("If-Match") == "" {
		return problem.New(problem.Required, fmt.Errorf("%w: no If-Match", tenancy.ErrInvalid))
	}
	return nil
}
