package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// Closer is the optional ability of [Databases] to know the connections of a tenant.
// A *dbpool.Pool has it.
type Closer interface {
	// InUse returns how many connections of the tenant are in use in this process.
	InUse(id tenancy.ID) int
	// Forget closes the tenant's connections, those in use after their current use.
	Forget(id tenancy.ID)
}

// drainTimeout bounds how long a purge waits for connections that are in use, and
// drainPause is how often it looks.
const (
	drainTimeout = time.Minute
	drainPause   = 50 * time.Millisecond
)

// Purge removes an archived tenant for good, [Options.Grace] after the last change of
// its record, or one that is still being provisioned: its creation was cut off, and nobody
// wants to resume it. Such a tenant cannot be archived, and may have no database. The
// steps, each of which may be done again:
//
//  1. It takes the tenant's lock of [Options.Locks] and that of its database, and waits
//     while somebody else has one.
//  2. It calls [Options.Drain] and waits until no connection of this instance is in use.
//  3. It calls [Options.BeforePurge]. If any of this fails, the tenant stays as it is.
//  4. The status becomes purging. From then on the tenant cannot be restored.
//  5. It closes the connections and drops the database, if that is marked as this
//     tenant's: another's is an error that wraps [tenancy.ErrForbidden], and stays. A
//     database that was adopted for a tenant that was never in service stays, too: the
//     record loses its placement, which the audit shows, and the database its mark. So does
//     what is not marked at all, also if it is empty, if the tenant was still being provisioned:
//     nothing says who made it.
//  6. It calls all of [Options.Forget].
//  7. It deletes the record. Slug and domains are free then.
//
// When a step fails or the process dies, Purge can be called again, by any instance,
// and goes on. A tenant that is gone is an error that wraps [tenancy.ErrNotFound].
// One that is in service, or whose grace time is not over, is an error that wraps
// [tenancy.ErrInvalid]; one that somebody restored or finished meanwhile, [tenancy.ErrConflict].
func (l *Lifecycle) Purge(ctx context.Context, id tenancy.ID) error {
	return l.purge(ctx, "lifecycle.Lifecycle.Purge", id, false)
}

// PurgeNow is [Lifecycle.Purge] without the grace time. The actor of ctx must give a
// reason; without one the error wraps [tenancy.ErrInvalid].
func (l *Lifecycle) PurgeNow(ctx context.Context, id tenancy.ID) error {
	return l.purge(ctx, "lifecycle.Lifecycle.PurgeNow", id, true)
}

func (l *Lifecycle) purge(ctx context.Context, op string, id tenancy.ID, now bool) error {
	_, err := l.purgeable(ctx, id, now)
	if err == nil {
		err = l.Lock(ctx, id, "its purge", func(ctx context.Context) error { return l.purgeAlone(ctx, id, now) })
	}
	if forgetful, ok := l.opts.Locks.(interface {
		Forget(ctx context.Context, id tenancy.ID) error
	}); ok && err == nil {
		_ = forgetful.Forget(ctx, id) // or a row stays that harms nobody
	}
	return tenancy.Wrap(op, id, err)
}

// purgeAlone purges a tenant whose lock the caller holds.
func (l *Lifecycle) purgeAlone(ctx context.Context, id tenancy.ID, now bool) error {
	t, err := l.purgeable(ctx, id, now)
	if err == nil {
		err = l.removeDatabase(ctx, t, now)
	}
	if err == nil {
		err = l.forget(ctx, id)
	}
	if err == nil {
		err = l.delete(ctx, t)
	}
	return err
}

// delete removes the record, unless it is of a tenant that was made again under the same ID.
func (l *Lifecycle) delete(ctx context.Context, t *tenancy.Tenant) error {
	now, err := l.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(t.ID)})
	if err == nil && now.CreatedAt.Equal(t.CreatedAt) {
		err = l.catalog.Delete(ctx, t.ID)
	}
	if errors.Is(err, tenancy.ErrNotFound) {
		err = nil // another instance was faster
	}
	return err
}

// purgeable returns the record of a tenant that may be purged.
func (l *Lifecycle) purgeable(ctx context.Context, id tenancy.ID, now bool) (*tenancy.Tenant, error) {
	t, err := l.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(id)})
	switch {
	case err != nil:
		return nil, err
	case t.Status == tenancy.StatusPurging:
		return t, nil
	case !t.Status.Removable():
		return nil, fmt.Errorf("%w: a tenant that is %s cannot be purged, archive it first", tenancy.ErrInvalid, t.Status)
	case now && tenancy.ActorFrom(ctx).Reason == "":
		return nil, fmt.Errorf("%w: the actor gives no reason to purge the tenant before its time", tenancy.ErrInvalid)
	case now:
		return t, nil
	}
	if from := t.UpdatedAt.Add(l.opts.Grace); l.opts.Grace > 0 && time.Now().Before(from) {
		return nil, fmt.Errorf("%w: the tenant can be purged from %s on, %v after its last change", tenancy.ErrInvalid, from.Format(time.RFC3339), l.opts.Grace)
	}
	return t, nil
}

// removeDatabase begins the purge and drops the database, alone as long as there is
// one. Behind that each step may meet another instance at the same tenant.
func (l *Lifecycle) removeDatabase(ctx context.Context, t *tenancy.Tenant, now bool) error {
	if t.Placement.Database == "" {
		_, err := l.beginPurge(ctx, t, now)
		return err
	}
	began := false
	alone := func(ctx context.Context) error {
		began = true
		purging, err := l.beginPurge(ctx, t, now)
		if err != nil {
			return err
		}
		if l.closer != nil {
			l.closer.Forget(t.ID)
		}
		if purging.Placement.Database == "" {
			return nil
		}
		adopted := false
		if t.Status != tenancy.StatusArchived { // which only a tenant becomes that was in service
			adopted, err = l.adopted(ctx, purging)
		}
		switch {
		case err != nil:
		case adopted:
			err = l.letGo(ctx, purging)
		default:
			err = l.databases.Drop(ctx, purging)
		}
		if errors.Is(err, tenancy.ErrNotFound) {
			return nil
		}
		return err
	}
	err := l.databases.Exclusive(ctx, t, alone)
	if !began && errors.Is(err, tenancy.ErrNotFound) {
		return alone(ctx) // without a lock: there is nothing that it would protect
	}
	return err
}

// adopted reports whether what is in the tenant's database was there before the tenant.
func (l *Lifecycle) adopted(ctx context.Context, t *tenancy.Tenant) (bool, error) {
	if l.adopter == nil {
		return false, nil
	}
	return l.adopter.Adopted(ctx, t)
}

// letGo takes an adopted database from a tenant that is being purged. The record loses it
// first: a purge that is tried again could not tell a database that has lost its mark from
// one that never was the tenant's. What is left of a process that dies in between is an
// orphan, which [Lifecycle.RemoveOrphan] releases.
func (l *Lifecycle) letGo(ctx context.Context, t *tenancy.Tenant) error {
	_, err := l.catalog.Edit(ctx, t.ID, func(now *tenancy.Tenant) error {
		switch {
		case !now.CreatedAt.Equal(t.CreatedAt):
			return errMadeAgain()
		case now.Status != tenancy.StatusPurging || now.Placement != t.Placement:
			return errMoved()
		}
		now.Placement.Database = ""
		return nil
	})
	if err != nil {
		return err
	}
	return l.adopter.Release(ctx, t)
}

// beginPurge does what comes before the first step that cannot be taken back, and
// returns the record of a tenant that is being purged.
func (l *Lifecycle) beginPurge(ctx context.Context, was *tenancy.Tenant, now bool) (*tenancy.Tenant, error) {
	t, err := l.purgeable(ctx, was.ID, now)
	if err == nil && !t.CreatedAt.Equal(was.CreatedAt) {
		err = errMadeAgain()
	}
	if err == nil && t.Status == tenancy.StatusPurging && t.Placement.Database == "" {
		return t, nil // another instance let go of the database
	}
	if err == nil && t.Placement != was.Placement {
		err = errMoved()
	}
	if err != nil || t.Status == tenancy.StatusPurging {
		return t, err
	}
	if _, err := l.checkMarker(ctx, t); err != nil {
		return nil, err
	}
	if err := l.drain(ctx, t); err != nil {
		return nil, err
	}
	drained := t
	if l.opts.Drain != nil { // it may change the record
		drained, err = l.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(t.ID)})
		if err == nil {
			err = stillRemovable(drained)
		}
		if err != nil {
			return nil, err
		}
	}
	if l.opts.BeforePurge != nil {
		err := safely(func() error { return l.opts.BeforePurge(tenancy.NewContext(ctx, drained), drained.Clone()) })
		if err != nil {
			return nil, fmt.Errorf("the hook before a purge failed, and the tenant stays %s: %w", drained.Status, err)
		}
	}
	if err := l.endAdoption(ctx, t); err != nil {
		return nil, err
	}
	nobodys := false
	if t.Status == tenancy.StatusProvisioning { // whoever makes or adopts it may have marked it meanwhile
		if nobodys, err = l.checkMarker(ctx, t); err != nil {
			return nil, err
		}
	}
	return l.catalog.Edit(ctx, t.ID, func(t *tenancy.Tenant) error {
		err := stillRemovable(t)
		switch {
		case err != nil:
			return err
		case !t.CreatedAt.Equal(was.CreatedAt):
			return errMadeAgain()
		case t.Placement != was.Placement:
			return errMoved()
		case t.Status != tenancy.StatusPurging && t.Version != drained.Version:
			// It may have been restored, used and archived again: then its time begins anew, and a hook's backup lacks what was written.
			return fmt.Errorf("%w: the record was changed while the purge began; the tenant is %s, purge it again", tenancy.ErrConflict, t.Status)
		}
		t.Status = tenancy.StatusPurging
		if nobodys {
			t.Placement.Database = ""
		}
		return nil
	})
}

// endAdoption removes a note of the adoption that stayed when an archived tenant came into
// service: once its status is purging, only the note tells that it never was.
func (l *Lifecycle) endAdoption(ctx context.Context, t *tenancy.Tenant) error {
	if t.Status != tenancy.StatusArchived || t.Placement.Database == "" {
		return nil
	}
	adopted, err := l.adopted(ctx, t)
	if err == nil && adopted {
		err = l.endProvisioning(ctx, t)
	}
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("removing the note of the tenant's adoption failed, and it stays %s: %w", t.Status, err)
	}
	return nil
}

func (l *Lifecycle) endProvisioning(ctx context.Context, t *tenancy.Tenant) error {
	db, err := l.databases.For(ctx, t)
	if err != nil {
		return err
	}
	dialect, err := sqlkit.FromDriver(db.DriverName())
	if err != nil {
		return err
	}
	return sqlkit.EndProvisioning(ctx, db.DB, dialect)
}

// stillRemovable refuses a tenant that somebody restored, or whose creation somebody
// brought to its end, since its purge began.
func stillRemovable(t *tenancy.Tenant) error {
	if !t.Status.Removable() {
		return fmt.Errorf("%w: the tenant is %s by now", tenancy.ErrConflict, t.Status)
	}
	return nil
}

func errMoved() error {
	return fmt.Errorf("%w: the tenant's database was placed elsewhere meanwhile", tenancy.ErrConflict)
}

// errMadeAgain says that the work was about a tenant that is gone.
func errMadeAgain() error {
	return fmt.Errorf("%w: the tenant was purged and made again under its ID meanwhile", tenancy.ErrConflict)
}

// checkMarker refuses a database that is not marked as the tenant's, before anything
// is done that cannot be taken back. The drop looks again. It reports whether the database is
// nobody's, because the tenant's creation or adoption died before it was marked, or goes on still.
func (l *Lifecycle) checkMarker(ctx context.Context, t *tenancy.Tenant) (nobodys bool, err error) {
	if l.inventory == nil || t.Placement.Database == "" {
		return false, nil
	}
	owner, err := l.inventory.Owner(ctx, t.Placement.Server, t.Placement.Database)
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		return false, nil
	case err != nil || owner == t.ID:
		return false, err
	case owner != "":
		return false, fmt.Errorf("%w: database %q on server %q is marked as tenant %q's", tenancy.ErrForbidden, t.Placement.Database, t.Placement.Server, string(owner))
	case t.Status != tenancy.StatusProvisioning:
		return false, fmt.Errorf("%w: database %q on server %q is not marked as anybody's", tenancy.ErrForbidden, t.Placement.Database, t.Placement.Server)
	}
	return true, nil
}

// drain waits until nothing works for the tenant.
func (l *Lifecycle) drain(ctx context.Context, t *tenancy.Tenant) error {
	if l.opts.Drain != nil {
		if err := safely(func() error { return l.opts.Drain(ctx, t) }); err != nil {
			return fmt.Errorf("draining the tenant failed, and it stays %s: %w", t.Status, err)
		}
	}
	if l.closer == nil {
		return nil
	}
	timeout := time.After(drainTimeout)
	for {
		n := l.closer.InUse(t.ID)
		if n == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout:
			return fmt.Errorf("%w: %d connections of the tenant are in use after %v, and it stays %s", tenancy.ErrUnavailable, n, drainTimeout, t.Status)
		case <-time.After(drainPause):
		}
	}
}

// forget calls the hooks of other packages, all of them whatever fails.
func (l *Lifecycle) forget(ctx context.Context, id tenancy.ID) error {
	var errs []error
	for _, forget := range l.opts.Forget {
		errs = append(errs, safely(func() error { return forget(ctx, id) }))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the database is gone, and the tenant stays in status %s, to be purged again: %w", tenancy.StatusPurging, err)
	}
	return nil
}

// safely calls a hook of the application and makes a panic an error.
func safely(hook func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return hook()
}
