// Package audited does work that has no transaction of the audit's database, with an entry in the audit.
package audited

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/failure"
)

// failureTimeout bounds the writing of the entry of a failure, which the end of the work's context does not cut off.
const failureTimeout = 5 * time.Second

// Work is something that is done with an entry in the audit.
type Work struct {
	// Audit keeps the entries. Nil: there are none.
	Audit tenancy.Auditor
	// Action, Tenant and Object are those of the entries. An object that an entry cannot hold is cut and quoted.
	Action string
	Tenant tenancy.ID
	Object string
	// Partly says that a failure may have changed something: its entry says that the result is unknown, unless the work was denied.
	Partly bool
	// Logger gets a line when the entry of a failure is lost. Default: [slog.Default].
	Logger *slog.Logger
}

// Do writes the entry, and then calls do: what cannot be recorded is not done. The error of an entry that could not be written wraps
// [tenancy.ErrUnavailable], unless it has another sentinel. If do fails, a second entry says so, and Do returns do's error as it is.
func (w *Work) Do(ctx context.Context, do func() error) error {
	if w.Audit == nil {
		return do()
	}
	if err := w.Audit.Audit(ctx, nil, w.entry(ctx)); err != nil {
		return failure.Named(fmt.Errorf("nothing was done, because the audit could not record it: %w", err))
	}
	err := do()
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), failureTimeout) // the caller may be gone
	defer cancel()
	failed := w.entry(ctx).Refused(err)
	if failed.Result == tenancy.AuditFailed {
		failed.Problem = failure.Type(err) // the text may be a driver's, and have somebody's data, and the audit is kept
	}
	switch {
	case !w.Partly:
		failed.Result = tenancy.AuditFailed
	case failed.Result == tenancy.AuditFailed:
		failed.Result = tenancy.AuditUnknown
	}
	if lost := w.Audit.Audit(ctx, nil, failed); lost != nil {
		log := w.Logger
		if log == nil {
			log = slog.Default()
		}
		log.WarnContext(ctx, "audit: the entry of a failure is lost; the one before it says that the work was done", slog.String("action", w.Action),
			slog.String("tenant", string(w.Tenant)), slog.String("object", w.Object), slog.Any("error", lost))
	}
	return err
}

func (w *Work) entry(ctx context.Context) tenancy.Entry {
	id := w.Tenant
	if id.Validate() != nil { // of a row that somebody changed by hand
		id = ""
	}
	e := tenancy.NewEntry(ctx, w.Action, id)
	e.Object = w.Object
	if e.Validate() != nil {
		e.Object = strconv.QuoteToASCII(w.Object[:min(len(w.Object), 40)])
	}
	return e
}
