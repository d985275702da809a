package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// Catalog is what a [Lifecycle] needs of the record of tenants. A
// *catalog.Catalog is one.
type Catalog interface {
	tenancy.Finder
	Create(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error)
	SetStatus(ctx context.Context, id tenancy.ID, status tenancy.Status) (*tenancy.Tenant, error)
	Edit(ctx context.Context, id tenancy.ID, change func(*tenancy.Tenant) error) (*tenancy.Tenant, error)
	Delete(ctx context.Context, id tenancy.ID) error
}

// Databases makes and drops tenants' databases. A *dbpool.Pool is one.
type Databases interface {
	// Create makes the database; one of that name is tenancy.ErrExists. If it
	// fails, it leaves nothing behind, or the error wraps one with a method
	// Left() bool that returns true.
	Create(ctx context.Context, t *tenancy.Tenant) error
	// Claim takes over a database that this tenant's interrupted creation left;
	// any other is tenancy.ErrExists.
	Claim(ctx context.Context, t *tenancy.Tenant) error
	// Drop removes the tenant's database, and no other's.
	Drop(ctx context.Context, t *tenancy.Tenant) error
	// Exclusive runs fn while no other process is in Exclusive with the tenant's
	// database, and returns fn's error as it is.
	Exclusive(ctx context.Context, t *tenancy.Tenant, fn func(context.Context) error) error
	// For returns the tenant's database.
	For(ctx context.Context, t *tenancy.Tenant) (*sqlx.DB, error)
}

// Migrator brings a tenant's schema up to date. A *migrate.Migrator is one.
type Migrator interface {
	Up(ctx context.Context, t *tenancy.Tenant) error
}

// databasePrefix is what the names of databases begin with that nobody chose.
const databasePrefix = "tenant_"

// undoTimeout bounds the clean-up after a step that failed.
const undoTimeout = time.Minute

// Lifecycle makes tenants with their databases. Its methods may be called by many
// goroutines and by many processes at once.
type Lifecycle struct {
	catalog   Catalog
	databases Databases
	inventory Inventory // nil: the databases cannot be listed
	adopter   Adopter   // nil: none can be adopted
	closer    Closer    // nil: nobody knows of connections
	migrator  Migrator
	opts      Options
}

// Options are the options of [New].
type Options struct {
	// Server is where tenants go whose placement names no server. Databases with the ability
	// [Inventory] must have it, not as a read replica. Default: their only server that is no read
	// replica; if they have several, each placement must name one.
	Server string
	// Locks makes sure that creation, purge, and other work that takes the same locks, such
	// as migrations, is alone with a tenant. The lock is taken before that of the tenant's own
	// database. Default: none; then the lock of the database alone keeps creations and purges
	// apart.
	Locks Locker
	// Seed fills a new tenant's database after the migrations; its context
	// carries the tenant. It may run again if it was interrupted. Default: nothing.
	Seed func(ctx context.Context, t *tenancy.Tenant) error
	// Grace is how long after the last change of its record a tenant that is archived, or
	// still being provisioned, may be purged. To archive is such a change. Negative: at once. Default: 30 days.
	Grace time.Duration
	// Drain is called before a purge and returns when no instance works for the tenant any
	// more. For example it begins maintenance of the tenant and calls its Scope.Drain, which
	// changes the record: a purge that fails behind it waits for Grace again. An
	// error keeps the purge from happening. Default: nothing; a purge waits only for
	// connections of this instance that are in use.
	Drain func(ctx context.Context, t *tenancy.Tenant) error
	// BeforePurge is called before anything of a tenant is removed, such as for a last
	// backup; its context carries the tenant. An error keeps the purge from happening, and
	// so does a change of the record while it runs, of which the purge's error wraps
	// [tenancy.ErrConflict]: the tenant may have been in service again. It is called again
	// when a purge is tried again that had not got further. A tenant whose status is
	// provisioning may have no database. Default: nothing.
	BeforePurge func(ctx context.Context, t *tenancy.Tenant) error
	// Forget are functions that remove what other packages keep of the tenant, such as the
	// method Forget of analytics.Recorder. They are called when its database is gone. Each may
	// be called again, also by several instances at once; after an error the purge must be
	// tried again. Default: none.
	Forget []func(ctx context.Context, id tenancy.ID) error
	// Audit keeps an entry "tenant.remove_orphan" of each database that [Lifecycle.RemoveOrphan]
	// drops, and "tenant.release_orphan" of each that it takes the mark from: the tenant has no
	// record that would show it. It is written before, and nothing is done if that fails. All else
	// that changes a tenant has its entry by the catalog's own auditor. Default: none.
	Audit tenancy.Auditor
}

// defaultGrace is the default of [Options.Grace].
const defaultGrace = 30 * 24 * time.Hour

// New returns the life cycle over the application's catalog, databases and
// migrations. One that is nil, and an [Options.Server] that the databases do not have, are
// errors that wrap [tenancy.ErrInvalid].
func New(c Catalog, d Databases, m Migrator, opts *Options) (*Lifecycle, error) {
	if c == nil || d == nil || m == nil {
		return nil, tenancy.Wrap("lifecycle.New", "",
			fmt.Errorf("%w: want a catalog, databases and a migrator", tenancy.ErrInvalid))
	}
	l := &Lifecycle{catalog: c, databases: d, migrator: m}
	l.inventory, _ = d.(Inventory)
	l.adopter, _ = d.(Adopter)
	l.closer, _ = d.(Closer)
	if opts != nil {
		l.opts = *opts
	}
	l.opts.complete()
	if err := l.chooseServer(); err != nil {
		return nil, tenancy.Wrap("lifecycle.New", "", err)
	}
	return l, nil
}

// chooseServer completes and checks Options.Server, if the databases say which servers there are.
func (l *Lifecycle) chooseServer() error {
	if l.inventory == nil {
		return nil
	}
	servers := l.owned()
	switch {
	case l.opts.Server == "" && len(servers) == 1:
		l.opts.Server = servers[0]
	case l.opts.Server != "" && !slices.Contains(servers, l.opts.Server):
		return fmt.Errorf("%w: Options.Server: no server of tenants is called %q, only %q", tenancy.ErrInvalid, l.opts.Server, servers)
	}
	return nil
}

// place gives a tenant its server, if the placement names none.
func (l *Lifecycle) place(t *tenancy.Tenant) error {
	if t.Placement.Server == "" {
		t.Placement.Server = l.opts.Server
	}
	if t.Placement.Server == "" && l.inventory != nil {
		return fmt.Errorf("%w: the placement names no server and there are several: name one in the placement or in Options.Server", tenancy.ErrInvalid)
	}
	return nil
}

func (o *Options) complete() {
	o.Grace = cmp.Or(o.Grace, defaultGrace)
	o.Forget = slices.Clone(o.Forget)
}

// Create makes a tenant: its record with the status provisioning, its database,
// its schema, its seed; and only then, active and routable. It returns the
// record. Only the slug is required; the status is not the caller's to choose,
// and the database is called "tenant_" and the ID unless the placement says
// otherwise.
//
// If a step fails, or ctx ends, everything that this call made is removed, and
// nothing else: a database that was there before is an error that wraps
// [tenancy.ErrExists], and stays as it is. Of concurrent calls with one slug,
// one makes the tenant and the others get tenancy.ErrExists. What could not be
// removed is named in the error; a process that dies in the middle leaves a
// tenant in the status provisioning, for [Lifecycle.Resume].
//
// Schema, seed and the change to active are done by one process at a time, under
// a lock of the tenant's database.
func (l *Lifecycle) Create(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error) {
	const op = "lifecycle.Lifecycle.Create"
	if t == nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: no tenant", tenancy.ErrInvalid))
	}
	t = t.Clone()
	chosen := t.ID != "" || t.Placement.Database != "" // by the caller, so something may have the name
	if t.ID == "" {
		t.ID = tenancy.NewID()
	}
	if err := l.place(t); err != nil {
		return nil, tenancy.Wrap(op, t.ID, err)
	}
	if t.Placement.Database == "" {
		t.Placement.Database = databasePrefix + string(t.ID)
	}
	t.Status = tenancy.StatusProvisioning
	t, err := l.catalog.Create(ctx, t)
	if err != nil {
		return nil, err
	}
	// A name that is new and random is known only to those who saw the record
	// and resumed the creation.
	w := &work{Lifecycle: l, tenant: t, mayClaim: !chosen}
	active, err := w.orUndo(ctx, "its creation")
	return active, tenancy.Wrap(op, t.ID, err)
}

// orUndo does the work, alone with the tenant, and undoes it if that fails. What somebody else
// began stays, except for the mark in a database whose record they have removed meanwhile.
func (w *work) orUndo(ctx context.Context, purpose string) (active *tenancy.Tenant, err error) {
	began := false
	err = w.Lock(ctx, w.tenant.ID, purpose, func(ctx context.Context) (err error) {
		began = true
		defer func() {
			if r := recover(); r != nil { // the application's seed
				_ = w.undo(ctx, nil)
				panic(r)
			}
		}()
		if active, err = w.do(ctx); err != nil && (!w.again || w.marked && w.gone(ctx)) {
			err = errors.Join(err, w.undo(ctx, err))
		}
		return err
	})
	switch {
	case active != nil: // even if the lock was lost behind that
		return active, nil
	case !began && !w.again:
		err = errors.Join(err, w.undo(ctx, err))
	}
	return nil, err
}

// Ensure returns the tenant with that slug: it makes the tenant if there is none,
// goes on with a creation that was interrupted, and otherwise returns the record
// as it is, in whatever status. It is for tenants that a program wants on start.
// The schema of a tenant that exists stays as it is: call migrate.Migrator.Up with what
// Ensure returns.
// While another process is creating the tenant, Ensure waits for it, within ctx.
func (l *Lifecycle) Ensure(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error) {
	const op = "lifecycle.Lifecycle.Ensure"
	if t == nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: no tenant", tenancy.ErrInvalid))
	}
	var err error
	for try, created := 0, 0; try < attempts && created < 2; try++ {
		var found *tenancy.Tenant
		found, err = l.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefSlug, Value: t.Slug})
		switch {
		case err == nil && found.Status == tenancy.StatusProvisioning:
			id := found.ID
			found, err = l.resume(ctx, found)
			if err == nil || !errors.Is(err, tenancy.ErrNotFound) {
				return found, err
			}
			if now, e := l.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(id)}); e == nil && now.Status == tenancy.StatusProvisioning {
				return nil, err // something else was not found
			}
			// Its creator gave it up.
		case errors.Is(err, tenancy.ErrNotFound):
			created++
			found, err = l.Create(ctx, t)
			if err == nil || !errors.Is(err, tenancy.ErrExists) {
				return found, err
			}
			// Another process was faster; or the next attempt says the same.
		default:
			return found, err
		}
	}
	return nil, tenancy.Wrap(op, "", err)
}

// Resume goes on with a creation that was interrupted. A database in which the
// work had begun is dropped and made again, because an engine cannot take back
// half a migration, nor a seed that was cut off; a database that was there
// before, with tables, is not. If Resume fails, it can be tried again; only when
// the record is gone or being purged by then, a database that this call made goes too. A tenant in
// another status is an error that wraps [tenancy.ErrInvalid]. While another
// process is still creating the tenant, Resume waits for it, within ctx.
func (l *Lifecycle) Resume(ctx context.Context, id tenancy.ID) (*tenancy.Tenant, error) {
	t, err := l.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(id)})
	if err != nil {
		return nil, err
	}
	if t.Status != tenancy.StatusProvisioning {
		return nil, tenancy.Wrap(opResume, id, fmt.Errorf("%w: the tenant is %s", tenancy.ErrInvalid, t.Status))
	}
	return l.resume(ctx, t)
}

const opResume = "lifecycle.Lifecycle.Resume"

func (l *Lifecycle) resume(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error) {
	w := &work{Lifecycle: l, tenant: t, mayClaim: true}
	var active *tenancy.Tenant
	err := l.Lock(ctx, t.ID, "its creation", func(ctx context.Context) (err error) {
		active, err = w.do(ctx)
		if w.made && err != nil {
			now, e := w.record(ctx)
			if errors.Is(err, tenancy.ErrNotFound) && errors.Is(e, tenancy.ErrNotFound) || e == nil && now.Status == tenancy.StatusPurging || w.givenUp(now) {
				err = errors.Join(err, w.undo(ctx, nil)) // its creator gave it up meanwhile, or somebody purges it
			}
		}
		return err
	})
	if active != nil { // even if the lock was lost behind that
		return active, nil
	}
	return nil, tenancy.Wrap(opResume, t.ID, err)
}
