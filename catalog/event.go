package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Event says that a tenant's record was changed: see [Outbox]. It holds no secret: values of secret settings,
// hashes and the like are the text "[redacted]", as in entries of the audit.
type Event struct {
	// ID is the ID of the event, the same at each delivery. The audit's entry of the change has the same ID.
	ID string `json:"id"`
	// Tenant is the tenant whose record was changed.
	Tenant tenancy.ID `json:"tenant"`
	// Version is the version that the change gave the record; for a deletion, the version after the last one.
	// So the events of a tenant have the versions 1, 2, 3 … without a gap, from the first change that was made
	// with an outbox.
	Version int64 `json:"version"`
	// Kind is what happened, in the words of the audit's actions: "tenant.create",
	// "tenant.status", "tenant.plan", "tenant.delete" … , "key.issue"; "tenant.update"
	// where fields of several kinds changed. See docs/events.md.
	Kind string `json:"kind"`
	// Time is when the change was made, in UTC, to the microsecond.
	Time time.Time `json:"time"`
	// Actor is who made it.
	Actor tenancy.Actor `json:"actor"`
	// Changes are the fields that changed, in ascending order of their names.
	Changes []tenancy.FieldChange `json:"changes,omitempty"`
}

// EventWriter keeps the event of a change until it is delivered. An [Outbox] is one for SQL; package
// tenancytest has one that collects events. Many goroutines call the methods at once.
//
// An optional method Committed() is called after changes were committed, so that delivery need not wait for the
// next poll.
type EventWriter interface {
	// WriteEvent writes the event within tx. The caller commits or rolls back tx, and must roll back after an
	// error. A store without SQL passes a nil tx; then the event is kept when WriteEvent returns nil.
	WriteEvent(ctx context.Context, tx *sql.Tx, e Event) error
}

// checkEvents returns an error that wraps [tenancy.ErrInvalid] if the writer writes to
// another database than db.
func checkEvents(w EventWriter, db *sql.DB) error {
	in, ok := w.(interface{ Database() *sql.DB })
	if ok && in.Database() != db {
		return fmt.Errorf("%w: the outbox has another *sql.DB; events are written in the transactions of one", tenancy.ErrInvalid)
	}
	return nil
}

// eventVersion returns the version of the event of a change from before to after,
// either of which may be nil.
func eventVersion(before, after *tenancy.Tenant) int64 {
	if after == nil {
		return before.Version + 1
	}
	return after.Version
}

// unnamed makes the error of a writer beside the change one that says nothing about
// the tenant.
func unnamed(what string, err error) error {
	for _, misleading := range []error{tenancy.ErrExists, tenancy.ErrInvalid, tenancy.ErrConflict, tenancy.ErrNotFound, tenancy.ErrForbidden} {
		if errors.Is(err, misleading) {
			return fmt.Errorf("%w: %s: %v", tenancy.ErrUnavailable, what, err) //nolint:errorlint // see above
		}
	}
	return fmt.Errorf("%w: %s: %w", tenancy.ErrUnavailable, what, err)
}
