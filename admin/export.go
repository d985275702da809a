package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
)

// How many exports, and how many verifications of the audit, an operator with all their tokens may have under way, and all operators of this instance.
const (
	maxOperatorExports       = 2
	maxExports               = 8
	maxOperatorVerifications = 1
	maxVerifications         = 4
)

const (
	// An export looks at session, role and scope after that time, or that many bytes.
	exportCheck      = time.Second
	exportCheckBytes = 64 << 10
	// exportWrite is how long a client may take for a part of an export.
	exportWrite = 30 * time.Second
)

// underWay counts long requests of one kind.
type underWay struct {
	mostEach, most int // of an operator, of all

	mu  sync.Mutex // guards of and all
	of  map[string]int
	all int
}

// enter counts a request of the operator. It is refused with [tenancy.ErrLimited] if there are enough.
func (e *underWay) enter(operator string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.all >= e.most || e.of[operator] >= e.mostEach {
		return fmt.Errorf("%w: %d of the operator are under way, %d in all", tenancy.ErrLimited, e.of[operator], e.all)
	}
	if e.of == nil {
		e.of = map[string]int{}
	}
	e.of[operator]++
	e.all++
	return nil
}

// open returns how many there are.
func (e *underWay) open() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.all
}

func (e *underWay) leave(operator string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all--
	if e.of[operator]--; e.of[operator] == 0 {
		delete(e.of, operator)
	}
}

// exported is the media type and the name of an export's file. Without a name it is no file.
type exported struct {
	media, name string
}

// exportAs reads the format of an export: CSV unless the request says.
func (c *call) exportAs(name string) (analytics.Format, exported, error) {
	switch f := analytics.Format(c.r.URL.Query().Get("format")); f {
	case "", analytics.FormatCSV:
		return analytics.FormatCSV, exported{"text/csv; charset=utf-8", name + ".csv"}, nil
	case analytics.FormatJSONLines:
		return f, exported{"application/jsonl", name + ".jsonl"}, nil
	default:
		return f, exported{}, fmt.Errorf("%w: format %.40q", tenancy.ErrInvalid, string(f))
	}
}

// export streams what write writes. Its entry in the audit is written before. An export that fails after its first byte, or whose
// operator may not read it any more, ends as a broken transfer, never as a file that seems whole.
func (a *Admin) export(c *call, as exported, write func(context.Context, *exportWriter) error) error {
	operator := c.id.Operator.ID
	if err := a.exports.enter(operator); err != nil {
		return err
	}
	defer a.exports.leave(operator)
	w := &exportWriter{call: c, as: as, out: http.NewResponseController(c.w), checked: time.Now()}
	err := a.recorded(c, as.name, func() error { return write(c.ctx(), w) }, c.asked()...)
	return w.end(err)
}

// asked are the parameters of the request as an entry of the audit has them, with the operator's scope unless it is all: together they say whose
// data it was.
func (c *call) asked() []tenancy.FieldChange {
	var out []tenancy.FieldChange
	for name, values := range c.r.URL.Query() {
		out = append(out, tenancy.FieldChange{Field: name, After: tenancy.AuditValue(strings.Join(values, " "))})
	}
	if !c.id.Scope.IsAll() {
		out = append(out, tenancy.FieldChange{Field: "scope", After: tenancy.AuditValue(c.id.Scope)})
	}
	slices.SortFunc(out, func(x, y tenancy.FieldChange) int { return strings.Compare(x.Field, y.Field) })
	return out
}

// exportWriter writes an export to its client.
type exportWriter struct {
	call    *call
	as      exported
	out     *http.ResponseController
	begun   bool
	checked time.Time // when it looked at the operator's rights last
	since   int       // bytes written since then
}

func (w *exportWriter) begin() {
	w.begun = true
	h := w.call.w.Header()
	h.Set("Content-Type", w.as.media)
	if w.as.name != "" {
		h.Set("Content-Disposition", `attachment; filename="`+w.as.name+`"`)
	}
	w.call.w.WriteHeader(http.StatusOK)
}

// end ends the answer. One that failed after its first byte is a broken transfer.
func (w *exportWriter) end(err error) error {
	switch {
	case err != nil && w.begun:
		c := w.call
		c.admin.opts.Logger.WarnContext(c.ctx(), "admin: a download broke off", "path", c.r.URL.Path, "error", err)
		panic(http.ErrAbortHandler)
	case err != nil:
		return err
	case !w.begun:
		w.begin()
	}
	setWriteDeadline(w.out, exportWrite) // the server writes what is left once the handler has returned
	return nil
}

// setWriteDeadline gives the client so long to take what is written next; 0 is no deadline. It is 0 while nothing is written: HTTP/2 ends a stream whose
// deadline passes, also between two parts of which the second takes long to be made. A writer without deadlines is the application's.
func setWriteDeadline(out *http.ResponseController, lasts time.Duration) {
	var at time.Time
	if lasts > 0 {
		at = time.Now().Add(lasts)
	}
	_ = out.SetWriteDeadline(at)
}

// Write writes a part. It fails once the operator may not read it any more.
func (w *exportWriter) Write(b []byte) (int, error) {
	if err := w.call.ctx().Err(); err != nil {
		return 0, err
	}
	if w.since >= exportCheckBytes || time.Since(w.checked) >= exportCheck {
		if err := w.check(); err != nil {
			return 0, err
		}
	}
	if !w.begun {
		w.begin()
	}
	w.since += len(b)
	setWriteDeadline(w.out, exportWrite)
	defer setWriteDeadline(w.out, 0)
	return w.call.w.Write(b)
}

// flush sends what was written.
func (w *exportWriter) flush() error {
	setWriteDeadline(w.out, exportWrite)
	defer setWriteDeadline(w.out, 0)
	return w.out.Flush()
}

// check reports that the operator has lost the session, the permission, or a part of the scope.
func (w *exportWriter) check() error {
	w.checked, w.since = time.Now(), 0
	id, err := w.call.admin.auth.IdentifyAgain(w.call.r, w.call.id)
	if err != nil {
		return err
	}
	if id.Session.Stage != auth.StageFull || !id.Permissions.Has(w.call.row.permission) || viewerKey(id) != viewerKey(w.call.id) {
		return fmt.Errorf("%w: the operator's rights changed", tenancy.ErrForbidden)
	}
	return nil
}
