package lifecycle

import (
	"context"
	"fmt"

	"github.com/artflow-studio/tenancy"
)

// Activate puts the tenant into service.
//
// Like all methods that change the status, it is done by the actor of ctx, and a tenant
// that has the status already stays as it is. A change that [tenancy.Status.WhyNot] does
// not allow is an error that wraps [tenancy.ErrInvalid] and says what to do first, such as
// of a tenant that is being provisioned: see [Lifecycle.Resume].
func (l *Lifecycle) Activate(ctx context.Context, id tenancy.ID) error {
	return l.become(ctx, "lifecycle.Lifecycle.Activate", id, tenancy.StatusActive)
}

// Suspend closes the tenant for a while, usually over payment. See [Lifecycle.Activate]
// for errors.
func (l *Lifecycle) Suspend(ctx context.Context, id tenancy.ID) error {
	return l.become(ctx, "lifecycle.Lifecycle.Suspend", id, tenancy.StatusSuspended)
}

// Block closes the tenant, usually over abuse. See [Lifecycle.Activate] for errors.
func (l *Lifecycle) Block(ctx context.Context, id tenancy.ID) error {
	return l.become(ctx, "lifecycle.Lifecycle.Block", id, tenancy.StatusBlocked)
}

// Deactivate closes the tenant at its own wish. See [Lifecycle.Activate] for errors; an
// archived one needs [Lifecycle.Restore].
func (l *Lifecycle) Deactivate(ctx context.Context, id tenancy.ID) error {
	return l.become(ctx, "lifecycle.Lifecycle.Deactivate", id, tenancy.StatusInactive)
}

// Archive closes the tenant for good. Its database stays as it is, and its slug and
// domains stay taken. [Lifecycle.Restore] takes it back, [Lifecycle.Purge] removes the
// rest. One that is being provisioned is not archived but purged. See [Lifecycle.Activate]
// for errors.
func (l *Lifecycle) Archive(ctx context.Context, id tenancy.ID) error {
	return l.become(ctx, "lifecycle.Lifecycle.Archive", id, tenancy.StatusArchived)
}

// Restore takes an archived tenant back, as an inactive one: somebody looks at it and
// then calls [Lifecycle.Activate]. A tenant that is not archived, nor inactive, is an
// error that wraps [tenancy.ErrInvalid], and so is one that is being purged. When Restore and
// [Lifecycle.Purge] run at the same time, one wins and the other returns an error.
func (l *Lifecycle) Restore(ctx context.Context, id tenancy.ID) error {
	const op = "lifecycle.Lifecycle.Restore"
	_, err := l.catalog.Edit(ctx, id, func(t *tenancy.Tenant) error {
		if t.Status != tenancy.StatusArchived && t.Status != tenancy.StatusInactive {
			return fmt.Errorf("%w: a tenant that is %s cannot be restored, only one that is %s", tenancy.ErrInvalid, t.Status, tenancy.StatusArchived)
		}
		t.Status = tenancy.StatusInactive
		return nil
	})
	return tenancy.Wrap(op, id, err)
}

// Rename gives the tenant another slug. The old one is free from then on. Errors are
// those of catalog.Catalog.Update.
func (l *Lifecycle) Rename(ctx context.Context, id tenancy.ID, slug string) error {
	_, err := l.catalog.Edit(ctx, id, func(t *tenancy.Tenant) error { t.Slug = slug; return nil })
	return tenancy.Wrap("lifecycle.Lifecycle.Rename", id, err)
}

func (l *Lifecycle) become(ctx context.Context, op string, id tenancy.ID, status tenancy.Status) error {
	_, err := l.catalog.Edit(ctx, id, func(t *tenancy.Tenant) error {
		if why := t.Status.WhyNot(status); why != "" {
			return fmt.Errorf("%w: %s", tenancy.ErrInvalid, why)
		}
		t.Status = status
		return nil
	})
	return tenancy.Wrap(op, id, err)
}
