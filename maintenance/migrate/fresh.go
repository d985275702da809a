package migrate

import (
	"context"
	"errors"
	"fmt"

	"github.com/artflow-studio/tenancy"
)

// Maker is the optional ability of [Databases] to drop a tenant's database and make it
// anew. A *dbpool.Pool has it.
type Maker interface {
	Create(ctx context.Context, t *tenancy.Tenant) error
	// Drop removes the tenant's database, and no other's.
	Drop(ctx context.Context, t *tenancy.Tenant) error
	// Exclusive runs fn while no other process is in Exclusive with the database.
	Exclusive(ctx context.Context, t *tenancy.Tenant, fn func(context.Context) error) error
}

// Claimer is the optional ability of a [Maker] to go on with a database that was made and not yet
// marked. A *dbpool.Pool has it.
type Claimer interface {
	// Claim marks a database that is empty and nobody's as the tenant's; any other that is not
	// the tenant's is tenancy.ErrExists.
	Claim(ctx context.Context, t *tenancy.Tenant) error
}

// Fresh drops the tenant's database with all that is in it, makes it anew and applies all
// migrations, which is for development. What was in the database is gone for good; a database
// that is not marked as the tenant's is an error that wraps [tenancy.ErrForbidden], and
// stays, unless it is empty and nobody's. A tenant that is being provisioned or purged, or is archived, is an error that wraps
// [tenancy.ErrInvalid]. The seed does not run.
//
// When a step fails or the process dies, the tenant may be without a database: call Fresh
// again. [Options.Audit] has an entry of it before anything is dropped.
func (m *Migrator) Fresh(ctx context.Context, t *tenancy.Tenant) (*Result, error) {
	const op = "migrate.Migrator.Fresh"
	maker, ok := m.databases.(Maker)
	err := eligible(t)
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", tenancy.ErrInvalid, err)
	case !ok:
		err = fmt.Errorf("%w: the databases cannot be made anew", tenancy.ErrInvalid)
	}
	if err != nil {
		return nil, tenancy.Wrap(op, t.ID, err)
	}
	var out *Result
	err = m.lock(ctx, t.ID, "a fresh database", func(ctx context.Context) error {
		return m.audited(ctx, t, "schema.fresh", t.Placement.Database, func() (err error) {
			out, err = m.fresh(ctx, maker, t)
			return err
		})
	})
	return out, tenancy.Wrap(op, t.ID, err)
}

// fresh does it for a tenant whose lock the caller holds.
func (m *Migrator) fresh(ctx context.Context, maker Maker, t *tenancy.Tenant) (*Result, error) {
	gone := t.Clone()
	gone.Status = tenancy.StatusPurging // or it is refused: the tenant is in service
	err := maker.Exclusive(ctx, t, func(ctx context.Context) error { return maker.Drop(ctx, gone) })
	claimer, ok := maker.(Claimer)
	switch {
	case err == nil, errors.Is(err, tenancy.ErrNotFound):
		err = maker.Create(ctx, t)
	case ok && errors.Is(err, tenancy.ErrForbidden):
		if e := claimer.Claim(ctx, t); !errors.Is(e, tenancy.ErrExists) {
			err = e
		}
	}
	if err != nil {
		return nil, err
	}
	m.renew(t.ID)
	return m.UpTo(ctx, t, Latest)
}
