package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/listing"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// examination is one run of the doctor.
type examination struct {
	*Lifecycle
	opts      DoctorOptions
	versioner Versioner // nil: the migrator knows no versions
	looking   context.Context
	began     time.Time

	mu      sync.Mutex // guards what follows
	servers map[string]*serverNames
	told    map[Orphan]bool // the databases that are findings, by machine
	out     Diagnosis

	tell chan Finding // to the one goroutine that calls opts.Found
}

// serverNames are the names of the databases on a server, each with the tenant whose record
// names it, if one does.
type serverNames struct {
	down  bool
	names map[string]tenancy.ID
}

// examinePage is how many records are read at a time.
const examinePage = 500

// found takes a finding: it mends what is to be mended, and tells.
func (x *examination) found(ctx context.Context, f Finding) {
	if f.Kind == x.opts.Mend && ctx.Err() == nil {
		x.mend(ctx, &f)
	}
	if f.kind != "" { // its name is in the detail
		f.Database = ""
	}
	x.mu.Lock()
	x.out.Counts[f.Kind]++
	switch {
	case f.Mended:
		x.out.Mended++
	case f.Error != "":
		x.out.Failed++
	}
	if len(x.out.Findings) < x.opts.Limit {
		kept := f
		kept.of = nil
		x.out.Findings = append(x.out.Findings, kept)
	}
	x.mu.Unlock()
	x.tell <- f
}

// about returns a finding about a tenant.
func about(kind FindingKind, t *tenancy.Tenant, format string, args ...any) Finding {
	return Finding{
		Kind: kind, Tenant: t.ID, Slug: t.Slug, Server: t.Placement.Server, Database: t.Placement.Database,
		Detail: fmt.Sprintf(format, args...), of: t,
	}
}

// list reads the names of the databases on a server.
func (x *examination) list(ctx context.Context, server string) {
	names, err := x.inventory.Names(ctx, server)
	s := &serverNames{names: make(map[string]tenancy.ID, len(names))}
	for _, name := range names {
		s.names[name] = ""
	}
	x.servers[server] = s
	if err != nil {
		x.down(ctx, s, server, err)
	}
}

// down notes, once, that a server does not answer.
func (x *examination) down(ctx context.Context, s *serverNames, server string, err error) {
	x.mu.Lock()
	was := s.down
	s.down = true
	x.mu.Unlock()
	if !was && ctx.Err() == nil {
		x.found(ctx, Finding{Kind: FindServer, Server: server, Detail: "its databases cannot be listed, and its tenants are not looked at: " + err.Error()})
	}
}

// tenants looks at every record, several at a time.
func (x *examination) tenants(ctx context.Context, lister Lister) error {
	work := make(chan *tenancy.Tenant)
	var workers sync.WaitGroup
	for range x.opts.Parallel {
		workers.Go(func() {
			for t := range work {
				x.tenant(ctx, t)
			}
		})
	}
	defer func() { close(work); workers.Wait() }()
	for t, err := range listing.All(ctx, lister.List, tenancy.Filter{}, examinePage) {
		if err != nil {
			return err
		}
		if s := x.claims(ctx, t); s != nil {
			select {
			case work <- t:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return ctx.Err()
}

// claims notes which database the record names. It returns nil if there is nothing more to
// look at.
func (x *examination) claims(ctx context.Context, t *tenancy.Tenant) *serverNames {
	x.mu.Lock()
	x.out.Tenants++
	s := x.servers[t.Placement.Server]
	var other tenancy.ID
	if s != nil {
		if other = s.names[t.Placement.Database]; other == "" {
			s.names[t.Placement.Database] = t.ID
		}
	}
	x.mu.Unlock()
	switch {
	case t.Placement.Database == "":
		x.halfDone(ctx, t)
		return nil
	case s == nil:
		x.unknownServer(ctx, t)
		return nil
	case other != "":
		x.found(ctx, about(FindShared, t, "its record and that of tenant %s name the same database", other))
	}
	return s
}

// unknownServer notes, once, that records name a server that the program does not know.
func (x *examination) unknownServer(ctx context.Context, t *tenancy.Tenant) {
	x.mu.Lock()
	x.servers[t.Placement.Server] = &serverNames{down: true, names: map[string]tenancy.ID{}}
	x.mu.Unlock()
	x.found(ctx, Finding{Kind: FindServer, Server: t.Placement.Server, Detail: "no server of this program has the name, and tenants such as " + t.Slug + " are there"})
}

// tenant looks at one record and its database.
func (x *examination) tenant(ctx context.Context, t *tenancy.Tenant) {
	x.mu.Lock()
	s := x.servers[t.Placement.Server]
	down := s.down
	x.mu.Unlock()
	if down || ctx.Err() != nil || x.halfDone(ctx, t) {
		return
	}
	owner, version, recorded, err := x.read(t)
	if err != nil || owner != t.ID {
		x.diagnose(ctx, s, t, err)
		return
	}
	x.counted()
	if recorded && version != t.SchemaVersion {
		if now, err := x.record(ctx, t); err != nil || now.SchemaVersion == version {
			return // it was migrated meanwhile
		}
		f := about(FindSchema, t, "the record says version %d, the database says %d", t.SchemaVersion, version)
		f.version = version
		x.found(ctx, f)
	}
}

// halfDone reports whether a tenant is being made or purged, and notes it if that has lasted for long.
func (x *examination) halfDone(ctx context.Context, t *tenancy.Tenant) bool {
	kind, text := FindHalfMade, "resume its creation, or purge it"
	switch t.Status {
	case tenancy.StatusProvisioning:
	case tenancy.StatusPurging:
		kind, text = FindHalfPurged, "purge it again"
	default:
		return false
	}
	if since := time.Since(t.UpdatedAt).Round(time.Second); x.opts.Age <= 0 || since >= x.opts.Age {
		x.found(ctx, about(kind, t, "it has been %s for %v: %s", t.Status, since, text))
	}
	return true
}

func (x *examination) counted() {
	x.mu.Lock()
	x.out.Databases++
	x.mu.Unlock()
}

// read asks a tenant's database whose it is and which version its schema has, on a
// connection of the pool.
func (x *examination) read(t *tenancy.Tenant) (owner tenancy.ID, version int64, recorded bool, err error) {
	ctx := tenancy.NewContext(x.looking, t)
	if k, ok := x.closer.(interface{ Known(id tenancy.ID) bool }); ok && !k.Known(t.ID) {
		defer x.closer.Forget(t.ID) // so that the pool holds no more than before
	}
	db, err := x.Lifecycle.databases.For(ctx, t)
	if err != nil {
		return "", 0, false, err
	}
	dialect, err := sqlkit.FromDriver(db.DriverName())
	if err == nil {
		owner, err = sqlkit.Owner(ctx, db.DB, dialect)
	}
	if err == nil && owner == t.ID && x.versioner != nil {
		version, recorded, err = x.versioner.SchemaVersion(ctx, t)
	}
	return owner, version, recorded, err
}

// record returns the tenant's record as it is now, or an error if it is of another
// database.
func (x *examination) record(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error) {
	w := work{Lifecycle: x.Lifecycle, tenant: t}
	return w.record(ctx)
}

// diagnose finds out why a tenant's database could not be read, or is not the tenant's, by
// asking the server itself. cause is what the pool said.
func (x *examination) diagnose(ctx context.Context, s *serverNames, t *tenancy.Tenant, cause error) {
	owner, err := x.inventory.Owner(ctx, t.Placement.Server, t.Placement.Database)
	if ctx.Err() != nil {
		return
	}
	if err != nil && !errors.Is(err, tenancy.ErrNotFound) {
		if _, e := x.inventory.Names(ctx, t.Placement.Server); e != nil {
			x.down(ctx, s, t.Placement.Server, e)
			return
		}
	}
	now, e := x.record(ctx, t)
	if e != nil || now.Status == tenancy.StatusPurging {
		return // it is being purged or moved
	}
	x.counted()
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		x.found(ctx, about(FindMissing, t, "its database is not there: restore a backup, or archive and purge the tenant"))
	case err != nil:
		x.found(ctx, about(FindUnreadable, t, "its database cannot be read: %v", err))
	case owner == "":
		x.found(ctx, about(FindForeign, t, "its database is not marked as anybody's"))
	case owner != t.ID:
		x.found(ctx, about(FindForeign, t, "its database is marked as tenant %s's", owner))
	case cause != nil:
		x.found(ctx, about(FindUnreadable, t, "its database cannot be read: %v", cause))
	}
}

// databases looks at the databases that no record names.
func (x *examination) databases(ctx context.Context) error {
	for _, server := range x.owned() {
		s := x.servers[server]
		if s == nil || s.down {
			continue
		}
		var unnamed []string
		for name, id := range s.names {
			if id == "" && name != "" {
				unnamed = append(unnamed, name)
			}
		}
		slices.Sort(unnamed)
		for _, name := range unnamed {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if s.down {
				break
			}
			x.unnamed(ctx, s, server, name)
		}
	}
	return ctx.Err()
}

// unnamed looks at one of them.
func (x *examination) unnamed(ctx context.Context, s *serverNames, server, name string) {
	owner, err := x.inventory.Owner(ctx, server, name)
	switch {
	case errors.Is(err, tenancy.ErrNotFound): // dropped meanwhile
		return
	case err != nil:
		if _, e := x.inventory.Names(ctx, server); e != nil {
			x.down(ctx, s, server, e)
			return
		}
		if x.claimed(server, name) {
			return // by another way to the server, whose credentials reach it
		}
		x.counted()
		x.found(ctx, Finding{Kind: FindUnreadable, Server: server, Database: name, Detail: "it cannot be read: " + err.Error()})
		return
	}
	x.counted()
	if owner == "" {
		return // it is nobody's
	}
	f := Finding{Kind: FindOrphan, Tenant: owner, Server: server, Database: name, Detail: "its tenant has no record"}
	t, err := x.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(owner)})
	switch {
	case err == nil && x.same(t.Placement, tenancy.Placement{Server: server, Database: name}):
		return // it was made meanwhile, or this is another way to it
	case err == nil:
		f.Kind, f.Slug = FindStray, t.Slug
		f.Detail = fmt.Sprintf("it is marked as the tenant's, whose record names database %q on server %q", t.Placement.Database, t.Placement.Server)
	case !errors.Is(err, tenancy.ErrNotFound):
		f.Kind, f.Detail = FindUnreadable, "its tenant's record cannot be read: "+err.Error()
	case x.opts.Audit != nil:
		seen, err := x.opts.Audit.Seen(ctx, owner)
		if err != nil || !seen {
			f.Kind, f.Detail = FindStranger, "neither the catalog nor its audit knows the tenant; it may be another catalog's"
		}
	}
	one := Orphan{Database: name, Tenant: owner}
	if one.Server, _ = x.machine(server); x.told[one] {
		return
	}
	x.told[one] = true
	x.found(ctx, f)
}

// claimed reports whether a record names the database, on whichever server that has the same
// ones.
func (x *examination) claimed(server, name string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for other, s := range x.servers {
		if s.names[name] != "" && x.same(tenancy.Placement{Server: other, Database: name}, tenancy.Placement{Server: server, Database: name}) {
			return true
		}
	}
	return false
}

// dangling looks at rows of the catalog.
func (x *examination) dangling(ctx context.Context) error {
	d, ok := x.catalog.(Dangler)
	if !ok {
		return nil
	}
	return d.Dangling(ctx, func(kind string, tenant tenancy.ID, name string) error {
		x.found(ctx, Finding{Kind: FindDangling, Tenant: tenant, Database: name, kind: kind, Detail: fmt.Sprintf("the %s %q is of a tenant or key that is gone", kind, name)})
		return ctx.Err()
	})
}
