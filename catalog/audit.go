package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog/audit"
)

// Within writes the audit entry of a change. A [Store] calls it in the transaction of the change, after the
// change and before the commit; a store without SQL passes a nil tx. If it fails, the change must not stay. It
// may be nil. It is called again if the transaction is tried again.
type Within func(ctx context.Context, tx *sql.Tx) error

func (w Within) call(ctx context.Context, tx *sql.Tx) error {
	if w == nil {
		return nil
	}
	return w(ctx, tx)
}

// AuditFilter selects entries of the audit.
type AuditFilter = audit.Filter

// Audit yields the entries that the filter selects, newest first. Without [Options.Audit], or with an auditor
// that cannot list, it yields an error that wraps [tenancy.ErrInvalid].
func (c *Catalog) Audit(ctx context.Context, f AuditFilter) iter.Seq2[tenancy.Entry, error] {
	reader, ok := c.auditor.(interface {
		Entries(ctx context.Context, f AuditFilter) iter.Seq2[tenancy.Entry, error]
	})
	if !ok {
		return func(yield func(tenancy.Entry, error) bool) {
			err := fmt.Errorf("%w: the catalog has no auditor that lists entries", tenancy.ErrInvalid)
			yield(tenancy.Entry{}, tenancy.Wrap("catalog.Catalog.Audit", f.Tenant, err))
		}
	}
	return reader.Entries(ctx, f)
}

// The actions of the catalog's entries. A change of a single kind of field has the
// action of that, whatever method makes it.
const (
	actionCreate = "tenant.create"
	actionUpdate = "tenant.update"
	actionDelete = "tenant.delete"
)

// action returns the name of a change whose method has no name of its own.
func action(changes []tenancy.FieldChange) string {
	out := ""
	for _, c := range changes {
		kind, _, _ := strings.Cut(c.Field, ".")
		if out != "" && out != kind {
			return actionUpdate
		}
		out = kind
	}
	if out == "" {
		return actionUpdate
	}
	return "tenant." + out
}

// doing is what a method of the catalog does, for errors and entries.
type doing struct {
	op     string // of the error
	action string // of the entry
	object string // what of the tenant it is done to
	edits  bool   // what the caller's function refuses is the caller's to record
}

// permit refuses changes without an actor, if [Options.RequireActor] is set.
func (c *Catalog) permit(ctx context.Context) error {
	if c.requireActor && tenancy.ActorFrom(ctx).Kind == tenancy.ActorUnknown {
		return fmt.Errorf("%w: the context names no actor; see tenancy.WithActor", tenancy.ErrForbidden)
	}
	return nil
}

// recorded is a change that is to be written, with its entry and its event.
type recorded struct {
	catalog *Catalog
	entry   tenancy.Entry
	event   Event
	names   Within // checks new names, or reserves old ones
	ready   bool   // all was written but the commit
}

// record begins the entry and the event of the change from before to after, either of
// which may be nil.
func (c *Catalog) record(ctx context.Context, do *doing, before, after *tenancy.Tenant) *recorded {
	r := &recorded{catalog: c}
	if after != nil && c.reserver != nil {
		if names := newNames(before, after); len(names) > 0 {
			r.names = func(ctx context.Context, tx *sql.Tx) error { return checkNames(ctx, tx, c.reserver, after.ID, names) }
		}
	}
	if after == nil && c.reserveFor > 0 && before.Status == tenancy.StatusPurging {
		r.names = func(ctx context.Context, tx *sql.Tx) error { return reserve(ctx, tx, c.reserver, before, c.reserveFor) }
	}
	if c.auditor == nil && c.events == nil {
		return r
	}
	id := tenancy.ID("")
	for _, t := range []*tenancy.Tenant{before, after} {
		if t != nil {
			id = t.ID
		}
	}
	changes := c.diff(before, after)
	name := do.action
	if name == actionUpdate {
		name = action(changes)
	}
	r.entry = tenancy.NewEntry(ctx, name, id)
	r.entry.Object, r.entry.Changes = do.object, changes
	r.event = Event{
		ID: r.entry.ID, Tenant: id, Version: eventVersion(before, after), Kind: name, Time: r.entry.Time, Actor: r.entry.Actor, Changes: changes,
	}
	return r
}

// within writes the entry and the event; nil if there are neither.
func (r *recorded) within() Within {
	c := r.catalog
	if c.auditor == nil && c.events == nil {
		return r.names
	}
	return func(ctx context.Context, tx *sql.Tx) error {
		r.ready = false
		if err := r.names.call(ctx, tx); err != nil {
			return err
		}
		if c.auditor != nil {
			if err := c.auditor.Audit(ctx, tx, r.entry); err != nil {
				return unnamed("the audit", err)
			}
		}
		if c.events != nil {
			if err := c.events.WriteEvent(ctx, tx, r.event); err != nil {
				return unnamed("the outbox", err)
			}
		}
		r.ready = true
		return nil
	}
}

// written tells the outbox of a change that was committed. Of a change that nobody
// knows whether it was made it writes an entry, unless its own entry is there.
func (r *recorded) written(ctx context.Context, err error) {
	if told, ok := r.catalog.events.(interface{ Committed() }); ok && r.ready && !refusal(err) {
		told.Committed()
	}
	if r.catalog.auditor == nil || err == nil || !r.ready || refusal(err) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), watchTimeout)
	defer cancel()
	finder, ok := r.catalog.auditor.(interface {
		Written(ctx context.Context, id string) (bool, error)
	})
	if ok {
		if found, err := finder.Written(ctx, r.entry.ID); err == nil && found {
			return
		}
	}
	e := tenancy.NewEntry(ctx, r.entry.Action, r.entry.Tenant)
	e.Object, e.Changes = r.entry.Object, r.entry.Changes
	e.Result, e.Problem = tenancy.AuditUnknown, "the answer to the commit of entry "+r.entry.ID+" was lost"
	_ = r.catalog.auditor.Audit(ctx, nil, e) // which counts what it loses
}

// refused writes the entry of a change that was not made because of err.
func (c *Catalog) refused(ctx context.Context, do *doing, id tenancy.ID, err error) {
	if c.auditor == nil || err == nil || !refusal(err) && !byHook(err) {
		return
	}
	if id.Validate() != nil {
		id = ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), watchTimeout)
	defer cancel()
	e := tenancy.NewEntry(ctx, do.action, id).Refused(err)
	e.Object = do.object
	_ = c.auditor.Audit(ctx, nil, e) // which counts what it loses
}

// refusal reports whether the error says that nothing was written, and why.
func refusal(err error) bool {
	for _, known := range []error{tenancy.ErrForbidden, tenancy.ErrExists, tenancy.ErrConflict, tenancy.ErrInvalid, tenancy.ErrNotFound} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
