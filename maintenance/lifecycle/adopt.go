package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"github.com/artflow-studio/tenancy"
)

// Adopter is the optional ability of [Databases] to make databases that exist
// tenants'. A *dbpool.Pool has it.
type Adopter interface {
	// Adopt marks the database at the tenant's placement as this tenant's. One that is
	// marked, be it as this tenant's unless again is set, is tenancy.ErrExists.
	Adopt(ctx context.Context, t *tenancy.Tenant, again bool) error
	// Adopted reports whether the database was adopted for this tenant, and the tenant has
	// not been in service since. A database that is not marked as this tenant's is
	// tenancy.ErrForbidden.
	Adopted(ctx context.Context, t *tenancy.Tenant) (bool, error)
	// Release takes this tenant's mark away again.
	Release(ctx context.Context, t *tenancy.Tenant) error
}

// Adopt makes a tenant of a database that exists, with all that is in it: the record
// with the status provisioning, the mark in the database, the schema, and then active.
// By calling it the application says that the database is this tenant's and nobody
// else's. The slug and the placement's database are required. The seed does not run.
// Migrations run on what is there: the application sees to it that they can, for
// example with IF NOT EXISTS or by filling the table of versions beforehand.
//
// A database that is marked already, as anybody's, is an error that wraps
// [tenancy.ErrExists]; no such database is tenancy.ErrNotFound. If a step fails, the mark
// and the record are removed, and the database stays with what the migrations did. Of
// concurrent calls with one slug and placement, each goes on with what the others began; if
// the caller chose the ID, one of them gets tenancy.ErrExists, and the others go on.
// After a process that died, Adopt with the same slug and placement goes on, and so does
// [Lifecycle.Resume] once the database is marked; if that fails, it can be tried again.
// To give the tenant up, purge it: until it was active for the first time, that takes the mark
// away, if there is one yet, and leaves the database. Afterwards the database is the tenant's own, and a
// purge drops it.
func (l *Lifecycle) Adopt(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error) {
	const op = "lifecycle.Lifecycle.Adopt"
	switch {
	case t == nil || t.Placement.Database == "":
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: want a tenant whose placement names a database", tenancy.ErrInvalid))
	case l.adopter == nil:
		return nil, tenancy.Wrap(op, t.ID, fmt.Errorf("%w: the databases cannot be adopted", tenancy.ErrInvalid))
	}
	t = t.Clone()
	if err := l.place(t); err != nil {
		return nil, tenancy.Wrap(op, t.ID, err)
	}
	t.Status = tenancy.StatusProvisioning
	w := &work{Lifecycle: l, adopts: true, mayClaim: t.ID == ""} // only those who saw the record know an ID that is new
	if t.ID != "" {
		_, e := l.adopter.Adopted(ctx, t)
		w.foreign = e == nil
	}
	made, err := l.catalog.Create(ctx, t)
	if errors.Is(err, tenancy.ErrExists) {
		found, e := l.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefSlug, Value: t.Slug})
		if e == nil && found.Status == tenancy.StatusProvisioning && found.Placement == t.Placement && (t.ID == "" || t.ID == found.ID) {
			made, err, w.again = found, nil, true
		}
	}
	if err != nil {
		return nil, tenancy.Wrap(op, t.ID, err)
	}
	w.tenant = made
	active, err := w.orUndo(ctx, "its adoption")
	return active, tenancy.Wrap(op, made.ID, err)
}
