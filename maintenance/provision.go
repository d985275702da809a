package maintenance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Catalog is what a [Provisioner] needs of the record of tenants. A
// *catalog.Catalog is one.
type Catalog interface {
	tenancy.Finder
	Create(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error)
	SetStatus(ctx context.Context, id tenancy.ID, status tenancy.Status) (*tenancy.Tenant, error)
	Delete(ctx context.Context, id tenancy.ID) error
}

// Databases makes and drops tenants' databases. A *dbpool.Pool is one.
type Databases interface {
	// Create makes the database; one of that name is tenancy.ErrExists.
	Create(ctx context.Context, t *tenancy.Tenant) error
	// Claim takes over a database that this tenant's interrupted creation left;
	// any other is tenancy.ErrExists.
	Claim(ctx context.Context, t *tenancy.Tenant) error
	// Drop removes the tenant's database, and no other's.
	Drop(ctx context.Context, t *tenancy.Tenant) error
}

// Migrator brings a tenant's schema up to date. A *migrate.Migrator is one.
type Migrator interface {
	Up(ctx context.Context, t *tenancy.Tenant) error
}

// undoTimeout bounds the clean-up after a step that failed.
const undoTimeout = time.Minute

// Provisioner makes tenants with their databases.
type Provisioner struct {
	catalog   Catalog
	databases Databases
	migrator  Migrator
	opts      ProvisionerOptions
}

// ProvisionerOptions are the options of [NewProvisioner].
type ProvisionerOptions struct {
	// Server is where tenants go whose placement names no server. Default: "".
	Server string
	// Seed fills a new tenant's database after the migrations; its context
	// carries the tenant. It may run again if it was interrupted. Default: nothing.
	Seed func(ctx context.Context, t *tenancy.Tenant) error
}

// NewProvisioner returns a provisioner over the host's catalog, databases and
// migrations. One that is nil is an error that unwraps to [tenancy.ErrInvalid].
func NewProvisioner(c Catalog, d Databases, m Migrator, opts *ProvisionerOptions) (*Provisioner, error) {
	if c == nil || d == nil || m == nil {
		return nil, tenancy.Wrap("maintenance.NewProvisioner", "",
			fmt.Errorf("%w: want a catalog, databases and a migrator", tenancy.ErrInvalid))
	}
	p := &Provisioner{catalog: c, databases: d, migrator: m}
	if opts != nil {
		p.opts = *opts
	}
	return p, nil
}

// Create makes a tenant: its record with the status provisioning, its database,
// its schema, its seed; and only then, active and routable. It returns the
// record. Only the slug is required; the status is not the caller's to choose,
// and the database is called "tenant_" and the ID unless the placement says
// otherwise.
//
// If a step fails, or ctx ends, everything that this call made is removed, and
// nothing else: a database that was there before is an error that unwraps to
// [tenancy.ErrExists], and stays as it is. Of concurrent calls with one slug,
// one makes the tenant and the others get tenancy.ErrExists. What could not be
// removed is named in the error; a process that dies in the middle leaves a
// tenant in the status provisioning, for [Provisioner.Resume].
func (p *Provisioner) Create(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error) {
	const op = "maintenance.Create"
	if t == nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: no tenant", tenancy.ErrInvalid))
	}
	t = t.Clone()
	chosen := t.ID != "" || t.Placement.Database != "" // by the caller, so something may have the name
	if t.ID == "" {
		t.ID = tenancy.NewID()
	}
	if t.Placement.Server == "" {
		t.Placement.Server = p.opts.Server
	}
	if t.Placement.Database == "" {
		t.Placement.Database = "tenant_" + string(t.ID)
	}
	t.Status = tenancy.StatusProvisioning
	t, err := p.catalog.Create(ctx, t)
	if err != nil {
		return nil, err
	}
	made := false
	defer func() {
		if r := recover(); r != nil { // the host's seed
			_ = p.undo(ctx, t, made)
			panic(r)
		}
	}()
	err = p.databases.Create(ctx, t)
	if errors.Is(err, tenancy.ErrExists) && !chosen {
		// A name that is new and random is known to nobody but whoever saw the
		// record and resumed the creation.
		err = p.databases.Claim(ctx, t)
	}
	if err == nil {
		made = true
		var active *tenancy.Tenant
		if active, err = p.finish(ctx, t); err == nil {
			return active, nil
		}
	}
	return nil, tenancy.Wrap(op, t.ID, errors.Join(err, p.undo(ctx, t, made)))
}

// Ensure returns the tenant with that slug: it makes the tenant if there is none,
// goes on with a creation that was interrupted, and otherwise returns the record
// as it is, in whatever status. It is for tenants that a program wants on start.
func (p *Provisioner) Ensure(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error) {
	if t == nil {
		return nil, tenancy.Wrap("maintenance.Ensure", "", fmt.Errorf("%w: no tenant", tenancy.ErrInvalid))
	}
	for attempt := 0; ; attempt++ {
		found, err := p.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefSlug, Value: t.Slug})
		if err == nil && found.Status == tenancy.StatusProvisioning {
			return p.Resume(ctx, found.ID)
		}
		if !errors.Is(err, tenancy.ErrNotFound) {
			return found, err
		}
		made, err := p.Create(ctx, t)
		if attempt > 0 || !errors.Is(err, tenancy.ErrExists) { // or another process was faster
			return made, err
		}
	}
}

// Resume goes on with a creation that was interrupted, from whatever step it
// had reached. If it fails, it can be tried again; only when the record is gone by
// then, a database that this call made goes too. A tenant in another status is an
// error that unwraps to [tenancy.ErrInvalid]. While another process is still
// creating the tenant, both do the same steps, each once.
func (p *Provisioner) Resume(ctx context.Context, id tenancy.ID) (*tenancy.Tenant, error) {
	const op = "maintenance.Resume"
	t, err := p.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(id)})
	if err != nil {
		return nil, err
	}
	if t.Status != tenancy.StatusProvisioning {
		return nil, tenancy.Wrap(op, id, fmt.Errorf("%w: the tenant is %s", tenancy.ErrInvalid, t.Status))
	}
	err = p.databases.Create(ctx, t)
	made := err == nil
	if errors.Is(err, tenancy.ErrExists) {
		err = p.databases.Claim(ctx, t)
	}
	if err != nil {
		return nil, tenancy.Wrap(op, id, err)
	}
	active, err := p.finish(ctx, t)
	if made && errors.Is(err, tenancy.ErrNotFound) && p.gone(ctx, id) {
		// Whoever created the tenant gave it up meanwhile.
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		err = errors.Join(err, p.databases.Drop(undo, t))
	}
	if err != nil {
		return nil, tenancy.Wrap(op, id, err)
	}
	return active, nil
}

// gone reports whether there is no record any more.
func (p *Provisioner) gone(ctx context.Context, id tenancy.ID) bool {
	_, err := p.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(id)})
	return errors.Is(err, tenancy.ErrNotFound)
}

// finish does the steps behind the making of the database.
func (p *Provisioner) finish(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error) {
	ctx = tenancy.NewContext(ctx, t)
	if err := p.migrator.Up(ctx, t); err != nil {
		return nil, err
	}
	if p.opts.Seed != nil {
		if err := p.opts.Seed(ctx, t); err != nil {
			return nil, fmt.Errorf("seed: %w", err)
		}
	}
	return p.catalog.SetStatus(ctx, t.ID, tenancy.StatusActive)
}

// undo removes what was made. The record goes first, and goes only while it is
// provisioning: if somebody resumed the creation meanwhile and the tenant is
// served, or the answer to our own last step was lost, the database stays.
func (p *Provisioner) undo(ctx context.Context, t *tenancy.Tenant, made bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if err := p.catalog.Delete(ctx, t.ID); err != nil && !errors.Is(err, tenancy.ErrNotFound) {
		return fmt.Errorf("the tenant is left as it is: %w", err)
	}
	if !made {
		return nil
	}
	if err := p.databases.Drop(ctx, t); err != nil {
		return fmt.Errorf("database %q on server %q is left behind: %w", t.Placement.Database, t.Placement.Server, err)
	}
	return nil
}
