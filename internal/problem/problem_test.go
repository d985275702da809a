package problem

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/artflow-studio/tenancy"
)

// retryError is an error that knows when to come back.
type retryError struct {
	error
	after time.Duration
}

func (e *retryError) RetryAfter() time.Duration { return e.after }
func (e *retryError) Unwrap() error             { return e.error }

// answer returns what Problem writes for a client with these Accept headers.
func answer(err error, accept ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if accept != nil {
		r.Header["Accept"] = accept
	}
	Write(w, gone(r, err), err)
	return w
}

// gone returns the request of a client that went away, if err says so.
func gone(r *http.Request, err error) *http.Request {
	if !errors.Is(err, context.Canceled) {
		return r
	}
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	return r.WithContext(ctx)
}

func TestProblem(t *testing.T) {
	t.Parallel()
	status := func(s tenancy.Status) error { return &tenancy.StatusError{Status: s} }
	odd := errors.New("odd")
	debug, info, failure := slog.LevelDebug, slog.LevelInfo, slog.LevelError
	seen := map[string]bool{}
	for _, tt := range []struct {
		err   error
		code  int
		name  string
		after string
		level slog.Level
	}{
		{context.Canceled, 499, "cancelled", "", debug},
		{context.DeadlineExceeded, 503, "unavailable", "5", failure},
		{os.ErrDeadlineExceeded, 500, "internal", "", failure}, // of a connection, not of a context
		{tenancy.ErrUnavailable, 503, "unavailable", "5", failure},
		{&tenancy.MaintenanceError{Mode: tenancy.MaintenanceClosed}, 503, "maintenance", "300", info},
		{&tenancy.MaintenanceError{After: 1500 * time.Millisecond}, 503, "maintenance", "2", info},
		{tenancy.ErrUnresolved, 404, "unresolved", "", debug},
		{tenancy.ErrNotFound, 404, "unknown", "", debug},
		{status(tenancy.StatusProvisioning), 503, "provisioning", "5", info},
		{status(tenancy.StatusSuspended), 403, "suspended", "", info},
		{status(tenancy.StatusBlocked), 403, "blocked", "", info},
		{status(tenancy.StatusInactive), 403, "inactive", "", info},
		{status(tenancy.StatusArchived), 410, "archived", "", info},
		{status(tenancy.StatusPurging), 410, "archived", "", info},
		{status(tenancy.StatusActive), 403, "inactive", "", info},
		{status("odd"), 403, "inactive", "", info},
		{tenancy.ErrNotActive, 403, "inactive", "", info},
		{tenancy.ErrUnauthenticated, 401, "unauthenticated", "", info},
		{tenancy.ErrForbidden, 403, "forbidden", "", info},
		{tenancy.ErrLimited, 429, "limited", "1", info},
		{tenancy.ErrExists, 409, "exists", "", info},
		{tenancy.ErrConflict, 409, "conflict", "", info},
		{tenancy.ErrInvalid, 400, "invalid", "", info},
		{&http.MaxBytesError{Limit: 1}, 413, "too-large", "", info},
		{fmt.Errorf("%w: body: %w", tenancy.ErrInvalid, &http.MaxBytesError{Limit: 1}), 413, "too-large", "", info},
		{tenancy.ErrNoTenant, 500, "internal", "", failure},
		{tenancy.ErrClosed, 503, "unavailable", "5", failure},
		{sql.ErrNoRows, 404, "unknown", "", debug}, // logged at level info: see TestLogLevels
		{io.EOF, 500, "internal", "", failure},
		{odd, 500, "internal", "", failure},
		{nil, 500, "internal", "", failure},
		{New(StepUp, tenancy.ErrForbidden), 403, "step-up", "", info},
		{New(Validation, tenancy.ErrInvalid), 422, "validation", "", info},
		{New(Precondition, tenancy.ErrConflict), 412, "precondition", "", info},
		{New(Required, tenancy.ErrInvalid), 428, "precondition-required", "", info},
		{New(NotConfigured, tenancy.ErrNotFound), 404, "not-configured", "", debug},
		{New(Media, tenancy.ErrInvalid), 415, "media", "", info},
		{New(Misdirected, tenancy.ErrInvalid), 421, "misdirected", "", info},
		{New(Mismatch, tenancy.ErrInvalid), 422, "key-mismatch", "", info},
		{New(Unfinished, tenancy.ErrConflict), 409, "unfinished", "", info},
		{New(SecondFactor, tenancy.ErrUnauthenticated), 401, "second-factor", "", info},
		{New(Enrol, tenancy.ErrUnauthenticated), 401, "enrol", "", info},

		// A server that cannot be reached outweighs the rest, whatever the order.
		{errors.Join(tenancy.ErrUnavailable, tenancy.ErrNotFound), 503, "unavailable", "5", failure},
		{errors.Join(tenancy.ErrNotFound, tenancy.ErrUnavailable), 503, "unavailable", "5", failure},
		{fmt.Errorf("%w: %w", tenancy.ErrUnresolved, context.DeadlineExceeded), 503, "unavailable", "5", failure},
		{fmt.Errorf("%w: %w", status(tenancy.StatusArchived), tenancy.ErrUnavailable), 503, "unavailable", "5", failure},
		{errors.Join(tenancy.ErrInvalid, tenancy.ErrForbidden), 403, "forbidden", "", info},
		{errors.Join(odd, tenancy.ErrInvalid), 400, "invalid", "", info},
	} {
		for _, err := range []error{tt.err, tenancy.Wrap("x.Y", "acme", fmt.Errorf("deep: %w", tt.err)), errors.Join(tt.err, odd)} {
			w := answer(err)
			var d Details
			if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
				t.Fatal(err)
			}
			name, _ := strings.CutPrefix(d.Type, base)
			if w.Code != tt.code || name != tt.name || d.Status != tt.code || d.Title == "" || d.Detail == "" {
				t.Errorf("%v: got %d %+v, want %d %s", err, w.Code, d, tt.code, tt.name)
			}
			if got := w.Header().Get("Retry-After"); got != tt.after {
				t.Errorf("%v: got Retry-After %q, want %q", err, got, tt.after)
			}
			if got := classify(gone(httptest.NewRequest("GET", "/", nil), err), err).level; got != tt.level {
				t.Errorf("%v: got level %v, want %v", err, got, tt.level)
			}
		}
		seen[tt.name] = true
	}
	for _, p := range append(problems, internal) {
		if !seen[p.name] {
			t.Errorf("%s: no case in this test", p.name)
		}
	}
}

func TestProblemExactly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ accept, contentType, body string }{
		{"application/json", "application/problem+json",
			`{"type":"https://github.com/artflow-studio/tenancy/blob/main/docs/problems.md#limited","title":"Too many requests",` +
				`"status":429,"detail":"A limit is reached. Try again later."}` + "\n"},
		{"text/html", "text/html; charset=utf-8", ""},
	} {
		w := httptest.NewRecorder()
		for name, value := range map[string]string{ // as of a handler that failed half way
			"Content-Length": "7", "Content-Encoding": "gzip", "Content-Type": "image/png", "ETag": `"x"`, "Last-Modified": "x",
			"Cache-Control": "public, max-age=3600", "Vary": "Origin", "X-Request-Id": "kept",
		} {
			w.Header().Set(name, value)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", tt.accept)
		Write(w, r, &retryError{tenancy.ErrLimited, 90 * time.Second})
		want := http.Header{
			"Content-Type": {tt.contentType}, "Cache-Control": {"no-store"}, "Vary": {"Origin", "Accept"},
			"X-Content-Type-Options": {"nosniff"}, "Retry-After": {"90"}, "X-Request-Id": {"kept"},
		}
		if diff := cmp.Diff(want, w.Header()); diff != "" || w.Code != http.StatusTooManyRequests {
			t.Errorf("%s: got %d; headers: -want +got\n%s", tt.accept, w.Code, diff)
		}
		if tt.body != "" && w.Body.String() != tt.body {
			t.Errorf("got %s, want %s", w.Body, tt.body)
		}
		if tt.body == "" && !regexp.MustCompile(`(?s)^<!doctype html>.*<title>Too many requests</title>.*<h1>Too many requests</h1>\s*<p>A limit is reached. Try again later.</p>.*</html>\n$`).Match(w.Body.Bytes()) {
			t.Errorf("got %s, want a page with title and detail", w.Body)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		after time.Duration
		want  string
	}{
		{math.MaxInt64, "2147483647"},
		{24 * time.Hour, "86400"},
		{time.Second + 1, "2"},
		{time.Second, "1"},
		{time.Second - 1, "1"},
		{1, "1"},
		{0, ""},
		{-1, ""},
		{math.MinInt64, ""},
	} {
		for _, sentinel := range []error{tenancy.ErrLimited, tenancy.ErrUnavailable, tenancy.ErrForbidden, io.EOF} {
			err := fmt.Errorf("deep: %w", &retryError{sentinel, tt.after})
			if got := answer(err).Header().Values("Retry-After"); strings.Join(got, "|") != tt.want {
				t.Errorf("%v after %v: got Retry-After %q, want %q", sentinel, tt.after, got, tt.want)
			}
		}
	}
}

func TestProblemsAreWellFormed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range append(problems, internal) {
		if seen[p.name] || p.code < 400 || p.code > 599 || p.title == "" || !strings.HasSuffix(p.detail, ".") {
			t.Errorf("got %+v, want a name of its own, an error's code, a title and sentences", p)
		}
		seen[p.name] = true
	}
	for _, p := range problems {
		if len(p.is) == 0 && p.as == nil {
			t.Errorf("%s: a row that matches nothing", p.name)
		}
	}
}

// An error may say more than its row does; one that another row outweighs does not.
func TestSay(t *testing.T) {
	t.Parallel()
	said := Say(NotConfigured, `The task "suspend" is not there.`, tenancy.ErrNotFound)
	r := httptest.NewRequest("GET", "/", nil)
	if d := Describe(r, tenancy.Wrap("x.Y", "", said)); d.Status != 404 || d.Title != "Not configured" || d.Detail != `The task "suspend" is not there.` {
		t.Errorf("got %+v", d)
	}
	if d := Describe(r, errors.Join(said, tenancy.ErrUnavailable)); d.Status != 503 || strings.Contains(d.Detail, "suspend") {
		t.Errorf("got %+v, want the graver problem's own text", d)
	}
}

// docs/problems.md has a section for each problem, and for nothing else.
func TestEachProblemIsExplained(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/problems.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		name, body, _ := strings.Cut(section, "\n")
		if _, twice := sections[name]; twice {
			t.Errorf("%s: two sections", name)
		}
		sections[name] = body
	}
	for _, p := range append(problems, internal) {
		body, ok := sections[p.name]
		delete(sections, p.name)
		if !ok {
			t.Errorf("%s: no section", p.name)
			continue
		}
		status := strings.TrimSpace(fmt.Sprintf("%d %s", p.code, http.StatusText(p.code)))
		if !strings.HasPrefix(body, "\n**"+status+"**\n\nSent when ") || !strings.Contains(body, "\n\nClient: ") {
			t.Errorf("%s: got %q, want **%s**, when it is sent, and what the client does", p.name, body, status)
		}
		after := ""
		if p.retryAfter > 0 {
			after = fmt.Sprintf("`Retry-After` (%.0f by default)", p.retryAfter.Seconds())
		}
		if !strings.Contains(body, after) || after == "" && strings.Contains(body, "Retry-After") {
			t.Errorf("%s: got %q, want %q", p.name, body, after)
		}
	}
	for name := range sections {
		t.Errorf("%s: a section of no problem", name)
	}
}
