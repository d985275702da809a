package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// attempts bounds how often work begins again because others changed what it had
// found.
const attempts = 10

// work brings one tenant into service: its database, its schema, its seed, its
// status. Any step of it may meet another process at the same tenant.
type work struct {
	*Lifecycle
	tenant   *tenancy.Tenant
	mayClaim bool // a database that exists may be this tenant's own
	made     bool // this work made the database
	claimed  bool // another process, which resumed this work, made the database
	adopts   bool // the database was there before
	again    bool // somebody else began to adopt it
	foreign  bool // it had the tenant's mark before there was a record
	marked   bool // this work marked it, or found it marked by others who adopt it
}

// do returns the record of a tenant that is in service, or that was, because somebody
// else finished it meanwhile and then gave it another status.
func (w *work) do(ctx context.Context) (t *tenancy.Tenant, err error) {
	for range attempts {
		err = w.database(ctx)
		again := errors.Is(err, tenancy.ErrNotFound) && !w.adopts // others drop it
		if err == nil {
			t, again, err = w.finish(ctx)
		}
		if !again {
			return t, err
		}
	}
	return nil, fmt.Errorf("%w: the database was dropped by others %d times: %w", tenancy.ErrConflict, attempts, err)
}

// database makes the tenant's database or finds that it is there.
func (w *work) database(ctx context.Context) error {
	if w.adopts {
		err := w.adopter.Adopt(ctx, w.tenant, w.again || w.marked || w.mayClaim)
		w.marked = w.marked || err == nil
		if errors.Is(err, tenancy.ErrExists) && !w.foreign {
			_, e := w.adopter.Adopted(ctx, w.tenant)
			w.again = w.again || e == nil // the record is theirs, too
		}
		return err
	}
	err := w.databases.Create(ctx, w.tenant)
	if err == nil {
		w.made = true
		return nil
	}
	if errors.Is(err, tenancy.ErrExists) && (w.mayClaim || w.made) {
		err = w.databases.Claim(ctx, w.tenant)
		w.claimed = w.claimed || err == nil
	}
	return err
}

// finish does the steps behind the making of the database, alone, unless the
// tenant is past them. It reports whether to begin again because there is no
// database any more: others dropped it, or finish did, because whoever worked on
// it was cut off.
func (w *work) finish(ctx context.Context) (t *tenancy.Tenant, again bool, err error) {
	found := false // the record and the database are as the work expects
	err = w.databases.Exclusive(ctx, w.tenant, func(ctx context.Context) error {
		now, err := w.record(ctx)
		if err != nil {
			found = true
			return err
		}
		switch now.Status {
		case tenancy.StatusProvisioning:
		case tenancy.StatusPurging:
			found = true
			return fmt.Errorf("%w: the tenant is being purged", tenancy.ErrConflict)
		default:
			t = now
			return nil
		}
		db, err := w.databases.For(ctx, w.tenant)
		if err != nil {
			return err
		}
		dialect, err := sqlkit.FromDriver(db.DriverName())
		if err != nil {
			return err
		}
		state, err := sqlkit.BeginProvisioning(ctx, db.DB, dialect, now.CreatedAt, w.made)
		if err != nil {
			return err
		}
		if state == sqlkit.FoundBroken {
			again = true
			return w.databases.Drop(ctx, w.tenant)
		}
		found = true
		if t, err = w.steps(ctx, state == sqlkit.FoundAdopted); err == nil {
			uncut, cancel := sqlkit.Outlast(ctx)
			defer cancel()
			_ = sqlkit.EndProvisioning(uncut, db.DB, dialect) // or the purge of the tenant does it
		}
		return err
	})
	switch {
	case err == nil, t != nil: // even if the lock was lost behind that
		return t, again, nil
	case !found && errors.Is(err, tenancy.ErrNotFound):
		return nil, true, err
	}
	return nil, false, err
}

// record returns the tenant's record as it is now.
func (w *work) record(ctx context.Context) (*tenancy.Tenant, error) {
	now, err := w.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(w.tenant.ID)})
	switch {
	case err != nil:
	case !now.CreatedAt.Equal(w.tenant.CreatedAt):
		err = errMadeAgain()
	case now.Placement != w.tenant.Placement:
		err = errMoved()
	}
	return now, err
}

// givenUp reports whether now is the record of a purge that has let go of the tenant's database.
func (w *work) givenUp(now *tenancy.Tenant) bool {
	return now != nil && now.CreatedAt.Equal(w.tenant.CreatedAt) && now.Status == tenancy.StatusPurging && now.Placement.Database == ""
}

// gone reports whether there is no record of the tenant any more, or one of a purge that has let
// go of the database.
func (w *work) gone(ctx context.Context) bool {
	ctx, cancel := sqlkit.Outlast(ctx)
	defer cancel()
	now, err := w.record(ctx)
	return errors.Is(err, tenancy.ErrNotFound) || w.givenUp(now)
}

// steps brings the database and then the tenant into service. What was there before is
// not seeded.
func (w *work) steps(ctx context.Context, adopted bool) (*tenancy.Tenant, error) {
	inTenant := tenancy.NewContext(ctx, w.tenant)
	if err := w.migrator.Up(inTenant, w.tenant); err != nil {
		return nil, err
	}
	if w.opts.Seed != nil && !adopted {
		if err := w.opts.Seed(inTenant, w.tenant); err != nil {
			return nil, fmt.Errorf("seed: %w", err)
		}
	}
	return w.catalog.SetStatus(ctx, w.tenant.ID, tenancy.StatusActive)
}

// undo removes what the work made, unless somebody else resumed the creation
// meanwhile and the tenant is in service, or the answer to the work's own last
// step was lost. The database goes first: as long as there is a record, any
// process can resume. So the record stays where nobody knows whether there is a
// database.
func (w *work) undo(ctx context.Context, failed error) error {
	if left := interface{ Left() bool }(nil); !w.made && errors.As(failed, &left) && left.Left() {
		return fmt.Errorf("the tenant stays in status %s, to be resumed", tenancy.StatusProvisioning)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if err := w.undoDatabase(ctx); err != nil {
		return fmt.Errorf("the tenant is left as it is, with database %q on server %q: %w",
			w.tenant.Placement.Database, w.tenant.Placement.Server, err)
	}
	switch now, err := w.record(ctx); {
	case err == nil && now.Status == tenancy.StatusPurging:
		return nil // whoever purges it deletes the record, when others have forgotten it
	case errors.Is(err, tenancy.ErrConflict):
		return nil // it is another tenant's by now
	}
	if err := w.catalog.Delete(ctx, w.tenant.ID); err != nil && !errors.Is(err, tenancy.ErrNotFound) {
		return fmt.Errorf("the record of the tenant is left: %w", err)
	}
	return nil
}

func (w *work) undoDatabase(ctx context.Context) error {
	if !w.made && !w.marked && !w.claimed {
		return w.mayUndo(ctx)
	}
	err := w.databases.Exclusive(ctx, w.tenant, func(ctx context.Context) error {
		if err := w.mayUndo(ctx); err != nil {
			return err
		}
		if w.adopts {
			err := w.adopter.Release(ctx, w.tenant)
			if errors.Is(err, tenancy.ErrForbidden) { // others have released it
				return nil
			}
			return err
		}
		return w.databases.Drop(ctx, w.tenant)
	})
	if errors.Is(err, tenancy.ErrNotFound) {
		return nil
	}
	return err
}

// mayUndo returns an error unless the tenant is still being provisioned, is being purged,
// or is gone.
func (w *work) mayUndo(ctx context.Context) error {
	now, err := w.record(ctx)
	if errors.Is(err, tenancy.ErrNotFound) || w.givenUp(now) {
		return nil
	}
	if err == nil && now.Status != tenancy.StatusProvisioning && now.Status != tenancy.StatusPurging {
		err = fmt.Errorf("%w: the tenant is %s by now", tenancy.ErrConflict, now.Status)
	}
	return err
}
