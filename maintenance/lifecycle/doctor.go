package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
)

// FindingKind says what is wrong.
type FindingKind string

// The kinds of findings. Those that [Mendable] names can be mended.
const (
	// FindOrphan is a database that says that it belongs to a tenant without a record.
	// Mending drops it, or only takes the mark from it if it was adopted for a tenant that
	// was never in service.
	FindOrphan FindingKind = "orphan"
	// FindStranger is such a database whose tenant the audit does not know either: it may
	// be another catalog's, whose databases are on the same server.
	FindStranger FindingKind = "stranger"
	// FindStray is a database that says that it belongs to a tenant whose record names
	// another place.
	FindStray FindingKind = "stray"
	// FindMissing is a tenant whose database is not there.
	FindMissing FindingKind = "missing"
	// FindForeign is a tenant whose database says that it is another's, or nobody's.
	FindForeign FindingKind = "foreign"
	// FindShared is a tenant whose record names the database of another record.
	FindShared FindingKind = "shared"
	// FindHalfMade is a tenant that has been in the status provisioning for long.
	// Mending resumes its creation.
	FindHalfMade FindingKind = "half-made"
	// FindHalfPurged is a tenant that has been in the status purging for long. Mending
	// goes on with its purge.
	FindHalfPurged FindingKind = "half-purged"
	// FindSchema is a tenant whose record and database name different versions of the
	// schema. Mending corrects the record.
	FindSchema FindingKind = "schema"
	// FindDangling is a domain, a tag or the use of a key in the catalog, whose tenant or
	// key is gone. Mending removes it.
	FindDangling FindingKind = "dangling"
	// FindServer is a server that does not answer, or one that a record names and the
	// program does not know. Its tenants are not looked at.
	FindServer FindingKind = "server"
	// FindUnreadable is a database that cannot be read. Nothing else is known of it.
	FindUnreadable FindingKind = "unreadable"
)

// Findings returns all kinds.
func Findings() []FindingKind {
	return []FindingKind{
		FindOrphan, FindStranger, FindStray, FindMissing, FindForeign, FindShared, FindHalfMade, FindHalfPurged, FindSchema,
		FindDangling, FindServer, FindUnreadable,
	}
}

// Mendable returns the kinds of findings that can be mended. The others need somebody
// who knows which side is right: docs/lifecycle.md says what to do.
func Mendable() []FindingKind {
	return []FindingKind{FindOrphan, FindHalfMade, FindHalfPurged, FindSchema, FindDangling}
}

// Finding is something that the doctor found.
type Finding struct {
	Kind FindingKind `json:"kind"`
	// Tenant is the tenant that it is about, if there is one; Slug is its record's.
	Tenant tenancy.ID `json:"tenant,omitempty"`
	Slug   string     `json:"slug,omitempty"`
	// Server and Database are where it was found, if it is about a database.
	Server   string `json:"server,omitempty"`
	Database string `json:"database,omitempty"`
	// Detail says what was found, for operators.
	Detail string `json:"detail"`
	// Mended reports that it was mended; Error is why that failed.
	Mended bool   `json:"mended,omitempty"`
	Error  string `json:"error,omitempty"`

	of   *tenancy.Tenant // the record
	kind string          // of what dangles; its name is in Database
	// version is that of the schema in the database.
	version int64
}

// Diagnosis is what the doctor found.
type Diagnosis struct {
	// Tenants and Databases are how many were looked at.
	Tenants   int `json:"tenants"`
	Databases int `json:"databases"`
	// Counts are the numbers of findings of each kind.
	Counts map[FindingKind]int `json:"counts"`
	// Findings are the first of them, up to [DoctorOptions.Limit].
	Findings []Finding `json:"findings"`
	// Mended and Failed are how many were mended, and could not be.
	Mended int `json:"mended"`
	Failed int `json:"failed"`
	// Took is how long it took.
	Took time.Duration `json:"took_ns"`
}

// Healthy reports whether there is nothing that is wrong still.
func (d *Diagnosis) Healthy() bool {
	n := 0
	for _, count := range d.Counts {
		n += count
	}
	return n == d.Mended
}

// Lister is the optional ability of a [Catalog] to list its tenants. A *catalog.Catalog
// has it. [Lifecycle.Doctor] needs it.
type Lister interface {
	List(ctx context.Context, f tenancy.Filter) ([]*tenancy.Tenant, error)
}

// Dangler is the optional ability of a [Catalog] to find rows whose tenant or key is gone.
// A *catalog.Catalog has it.
type Dangler interface {
	Dangling(ctx context.Context, fn func(kind string, tenant tenancy.ID, name string) error) error
	RemoveDangling(ctx context.Context, kind string, tenant tenancy.ID, name string) error
}

// Versioner is the optional ability of a [Migrator] to say which version the schema of a
// tenant's database has, and whether the record should say the same. A *migrate.Migrator
// has it.
type Versioner interface {
	SchemaVersion(ctx context.Context, t *tenancy.Tenant) (version int64, recorded bool, err error)
}

// Trail says whether the audit knows of something that was done to a tenant. An
// *audit.Trail is one.
type Trail interface {
	Seen(ctx context.Context, id tenancy.ID) (bool, error)
}

// DoctorOptions are the options of [Lifecycle.Doctor].
type DoctorOptions struct {
	// Mend is the kind of findings to mend, one of [Mendable]. Default: none.
	Mend FindingKind
	// Audit tells databases of tenants that are gone from those of another catalog, whose
	// databases are on the same server: these are never dropped. Default: none; then
	// all databases whose tenants have no record are orphans, and can be dropped.
	Audit Trail
	// Age is how long a tenant must have been provisioning, or purging, without a change
	// of its record to be half made. Negative: no time. Default: 10 minutes.
	Age time.Duration
	// Parallel is how many databases are looked at, and mended, together. Default: 4.
	Parallel int
	// Limit is how many findings the diagnosis holds. The others are counted. Negative:
	// none. Default: 1,000.
	Limit int
	// Found is called with each finding, mended or not, by one goroutine at a time. Default:
	// nothing.
	Found func(Finding)
	// Context makes the context in which databases are read, such as
	// dbpool.LowPriority, so that requests come first. Default: the context as it is.
	Context func(context.Context) context.Context
}

func (o *DoctorOptions) complete() error {
	if o.Age == 0 {
		o.Age = 10 * time.Minute
	}
	if o.Parallel == 0 {
		o.Parallel = 4
	}
	if o.Limit == 0 {
		o.Limit = 1000
	}
	if o.Found == nil {
		o.Found = func(Finding) {}
	}
	if o.Context == nil {
		o.Context = func(ctx context.Context) context.Context { return ctx }
	}
	if o.Parallel < 0 {
		return fmt.Errorf("%w: %d databases together", tenancy.ErrInvalid, o.Parallel)
	}
	if o.Mend == "" || slices.Contains(Mendable(), o.Mend) {
		return nil
	}
	if slices.Contains(Findings(), o.Mend) {
		return fmt.Errorf("%w: findings of the kind %s cannot be mended by a program, only those of %v", tenancy.ErrInvalid, o.Mend, Mendable())
	}
	return fmt.Errorf("%w: no findings are of the kind %.40q, want one of %v", tenancy.ErrInvalid, string(o.Mend), Mendable())
}

// Doctor compares the catalog with the servers, and says what does not fit: see
// [FindingKind]. It changes nothing unless [DoctorOptions.Mend] says so, then what was
// found of that one kind, by the actor of ctx. It never drops a database that it cannot
// read, that is not marked, or that is marked as belonging to a tenant with a record. There are
// two exceptions: mending [FindHalfPurged] goes on with [Lifecycle.Purge], which drops the
// tenant's database, and mending [FindHalfMade] calls [Lifecycle.Resume], which drops a
// database in which a creation was cut off, and makes it again.
//
// It reads every tenant's record once and asks each database that there is, of
// [DoctorOptions.Parallel] at a time. A server or a database that does not answer is a
// finding, and the rest is looked at. What others make or remove meanwhile is asked for
// again before it is a finding. Of read replicas it looks at the tenants alone that are there by
// their records; a database that several servers of the pool have is one finding. It holds the
// names of the databases, and no more than that grows with the number of tenants.
//
// An error says that the catalog could not be read, or that ctx ended; the diagnosis so
// far is beside it. Without the abilities [Lister] and [Inventory] it is one that wraps
// [tenancy.ErrInvalid].
func (l *Lifecycle) Doctor(ctx context.Context, opts *DoctorOptions) (*Diagnosis, error) {
	const op = "lifecycle.Lifecycle.Doctor"
	x := &examination{Lifecycle: l, servers: map[string]*serverNames{}, told: map[Orphan]bool{}, began: time.Now()}
	x.out.Counts = map[FindingKind]int{}
	if opts != nil {
		x.opts = *opts
	}
	err := x.opts.complete()
	lister, ok := l.catalog.(Lister)
	if err == nil && (!ok || l.inventory == nil) {
		err = fmt.Errorf("%w: tenants or databases cannot be listed", tenancy.ErrInvalid)
	}
	if err == nil {
		x.versioner, _ = l.migrator.(Versioner)
		x.looking = x.opts.Context(ctx)
		err = x.run(ctx, lister)
	}
	x.out.Took = time.Since(x.began)
	return &x.out, tenancy.Wrap(op, "", err)
}

func (x *examination) run(ctx context.Context, lister Lister) error {
	x.tell = make(chan Finding)
	var telling sync.WaitGroup
	telling.Go(func() {
		for f := range x.tell {
			x.opts.Found(f)
		}
	})
	defer func() { close(x.tell); telling.Wait() }()
	for _, server := range x.inventory.Servers() {
		x.list(ctx, server)
	}
	if err := x.tenants(ctx, lister); err != nil {
		return err
	}
	if err := x.databases(ctx); err != nil {
		return err
	}
	return x.dangling(ctx)
}

// mend mends a finding, if that is wanted.
func (x *examination) mend(ctx context.Context, f *Finding) {
	var err error
	switch f.Kind {
	case FindOrphan:
		var released bool
		if released, err = x.removeOrphan(ctx, Orphan{f.Server, f.Database, f.Tenant}); released {
			f.Detail += "; it was adopted, so it lost its mark and stays"
		}
	case FindHalfMade:
		_, err = x.Resume(ctx, f.Tenant)
	case FindHalfPurged:
		err = x.Purge(ctx, f.Tenant)
	case FindSchema:
		_, err = x.catalog.Edit(ctx, f.Tenant, func(t *tenancy.Tenant) error {
			if t.Placement != f.of.Placement || t.Version != f.of.Version || !t.CreatedAt.Equal(f.of.CreatedAt) {
				return fmt.Errorf("%w: the record was changed", tenancy.ErrConflict)
			}
			t.SchemaVersion = f.version
			return nil
		})
	case FindDangling:
		err = x.catalog.(Dangler).RemoveDangling(ctx, f.kind, f.Tenant, f.Database) //nolint:errcheck // it found it
	default:
		return
	}
	if errors.Is(err, tenancy.ErrNotFound) && (f.Kind == FindDangling || x.gone(ctx, f.Tenant)) {
		err = nil // somebody was faster
	}
	if f.Mended = err == nil; err != nil {
		f.Error = err.Error()
	}
}

// gone reports whether the tenant has no record: what was not found may be something else, such as a
// table that a seed wants.
func (x *examination) gone(ctx context.Context, id tenancy.ID) bool {
	_, err := x.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(id)})
	return errors.Is(err, tenancy.ErrNotFound)
}
