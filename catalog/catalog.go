// Package catalog keeps the record of tenants.
//
// [New] keeps it in a SQL database of the application, in tables whose names begin with "tenancy_";
// [Catalog.Migrate] makes them. The record holds no tenant's data, and only hashes of secrets.
//
// A Catalog is a [tenancy.Finder]. Many goroutines and many processes may call its methods at once. Of two
// changes that meet, one wins; the other gets [tenancy.ErrConflict] or is made on top of it.
//
// [Outbox] delivers an event of each change to others, at least once and in order.
//
// [KeyIssuer] issues, rotates and revokes the API keys in tenants' records.
//
// Package catalog/cache keeps records in process, in front of a Catalog, so that serving a request needs no
// I/O.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/failure"
	"github.com/artflow-studio/tenancy/internal/hostname"
)

// Store persists tenant records. [New] uses one for SQL. Package tenancytest has one in memory, and the
// conformance suite for others. The Catalog does the rest: defaults, validation, legal changes, versions.
//
// Many goroutines call the methods at once. A method neither keeps nor modifies the records that it is given,
// and returns records that the caller may keep. A change and what its [Within] writes are made together or not
// at all. Errors wrap the sentinels named below; the Catalog treats any other error as
// [tenancy.ErrUnavailable].
type Store interface {
	// Insert adds a record. If its ID, its slug or one of its domains is taken, it adds nothing and returns
	// [tenancy.ErrExists].
	Insert(ctx context.Context, t *tenancy.Tenant, within Within) error
	// Find returns the record that the ref names, or [tenancy.ErrNotFound].
	Find(ctx context.Context, ref tenancy.Ref) (*tenancy.Tenant, error)
	// Replace writes the record in place of the one with the same ID, the same time of creation and the previous
	// version, t.Version-1. If the stored record has another version or another time of creation it returns
	// [tenancy.ErrConflict], if there is no such record [tenancy.ErrNotFound], and if another tenant has one of
	// the names [tenancy.ErrExists]; then it writes nothing.
	Replace(ctx context.Context, t *tenancy.Tenant, within Within) error
	// Delete removes the record with the ID, the time of creation and the version of this one, with the same
	// errors.
	Delete(ctx context.Context, t *tenancy.Tenant, within Within) error
	// List returns the records that the filter selects, in the filter's order, at most f.Limit of them. The
	// filter is valid and has no terms, and its limit is positive. [tenancy.Filter.Position] says where to
	// begin, and [tenancy.Filter.MatchesText] what its text selects.
	List(ctx context.Context, f tenancy.Filter) ([]*tenancy.Tenant, error)
}

// Migrator is the optional ability of a [Store] to make its tables.
type Migrator interface {
	// Migrate makes the tables or brings them up to date. It may be called by
	// many processes at once.
	Migrate(ctx context.Context) error
}

// Catalog is the record of tenants.
type Catalog struct {
	store    Store
	migrator Migrator
	reserved []string
	domains  []string // of the service's own
	watchers watchers

	auditor      tenancy.Auditor // nil: there is no audit
	requireActor bool
	secrets      map[string]bool // fields whose values entries do not show
	events       EventWriter     // nil: nobody follows changes
	before       []func(context.Context, Change) error
	reserver     NameReserver // nil: the store keeps no names
	reserveFor   time.Duration
}

// Options are the options of [New] and [NewWithStore].
type Options struct {
	// Reserved are slugs that no tenant may take; a tenant that has one already keeps it. An empty slice that
	// is not nil reserves none. Default: [tenancy.ReservedSlugs].
	Reserved []string
	// ReservedDomains are domains of the service, such as the bases of its subdomains. No tenant may take one
	// of them or one below them; otherwise a tenant could take another's subdomain as its own domain. A tenant
	// that has one already keeps it and is found by it: see [Catalog.RemoveDomain]. Default: none.
	ReservedDomains []string
	// Audit writes the entry of each change in the transaction of the change. If it fails, the change is not
	// made. With [New] its tables must be in the same database, through the same *sql.DB: see
	// [tenancy.CheckAuditor]. Default: none.
	Audit tenancy.Auditor
	// RequireActor refuses changes whose context has no actor, with an error that wraps [tenancy.ErrForbidden]:
	// see [tenancy.WithActor]. Default: false; entries of such changes say that the actor is unknown.
	RequireActor bool
	// SecretSettings are the settings whose values entries and events do not show.
	// Default: none.
	SecretSettings []string
	// Before are hooks that may refuse a change. Each change calls them in order, after it was found to be
	// legal and before anything is written. Change.Before is nil for a new record, Change.After for a deletion.
	//
	// An error refuses the change and is returned to the caller. An error that wraps no sentinel of package
	// tenancy then wraps [tenancy.ErrForbidden]; a panic becomes an error that wraps [tenancy.ErrUnavailable].
	// A hook is called again if somebody else changed the record meanwhile. A hook should only look: what it
	// does itself is not undone when the change fails later. To react to changes see [Catalog.Watch] and
	// [Outbox]. Default: none.
	Before []func(ctx context.Context, change Change) error
	// ReserveNames is how long the slug and the domains of a purged tenant are kept from other tenants: links,
	// mail and cookies for them may still be in use. A tenant that is made again under its old ID may have
	// them. It needs a store that is a [NameReserver]. Default: 0; names are free at once.
	ReserveNames time.Duration
	// Events writes the event of each change in the transaction of the change. If it fails, the change is not
	// made. With [New] it must be in the same database, through the same *sql.DB. See [NewOutbox]. Default:
	// none.
	Events EventWriter
}

// New returns the catalog in a SQL database, whose dialect is that of
// db.DriverName: pgx, postgres, mysql or sqlite. Another driver is an error that
// wraps [tenancy.ErrInvalid]. The caller keeps db, and closes it.
func New(db *sqlx.DB, opts *Options) (*Catalog, error) {
	store, err := newSQLStore(db)
	if err == nil && opts != nil && opts.Audit != nil {
		err = tenancy.CheckAuditor(opts.Audit, db.DB)
	}
	if err == nil && opts != nil && opts.Events != nil {
		err = checkEvents(opts.Events, db.DB)
	}
	if err != nil {
		return nil, tenancy.Wrap("catalog.New", "", err)
	}
	return NewWithStore(store, opts)
}

// NewWithStore returns the catalog over a store of the application.
func NewWithStore(store Store, opts *Options) (*Catalog, error) {
	if store == nil {
		return nil, tenancy.Wrap("catalog.NewWithStore", "", fmt.Errorf("%w: no store", tenancy.ErrInvalid))
	}
	c := &Catalog{store: store, reserved: tenancy.ReservedSlugs()}
	if opts == nil {
		opts = &Options{}
	}
	if opts.Reserved != nil {
		c.reserved = slices.Clone(opts.Reserved)
	}
	for _, d := range opts.ReservedDomains {
		host, err := parseDomain(d)
		if err != nil {
			return nil, tenancy.Wrap("catalog.NewWithStore", "", err)
		}
		c.domains = append(c.domains, host)
	}
	c.auditor, c.requireActor, c.events = opts.Audit, opts.RequireActor, opts.Events
	c.secrets = map[string]bool{}
	for _, name := range opts.SecretSettings {
		c.secrets["settings."+name] = true
	}
	c.before = slices.Clone(opts.Before)
	if slices.ContainsFunc(c.before, func(hook func(context.Context, Change) error) bool { return hook == nil }) {
		return nil, tenancy.Wrap("catalog.NewWithStore", "", fmt.Errorf("%w: a hook of Before is nil", tenancy.ErrInvalid))
	}
	c.reserver, _ = store.(NameReserver)
	c.reserveFor = opts.ReserveNames
	if c.reserveFor < 0 || c.reserveFor > 0 && c.reserver == nil {
		return nil, tenancy.Wrap("catalog.NewWithStore", "", fmt.Errorf("%w: ReserveNames %v, with a store that keeps names: %t",
			tenancy.ErrInvalid, c.reserveFor, c.reserver != nil))
	}
	c.migrator, _ = store.(Migrator)
	return c, nil
}

// Migrate makes the catalog's tables or brings them up to date. Call it on
// every start: it does nothing when there is nothing to do, and many processes
// may call it at once.
func (c *Catalog) Migrate(ctx context.Context) error {
	if c.migrator == nil {
		return nil
	}
	return wrap("catalog.Catalog.Migrate", "", c.migrator.Migrate(ctx))
}

// Check returns an error that wraps [tenancy.ErrUnavailable] if the store does not answer. It reads one record.
func (c *Catalog) Check(ctx context.Context) error {
	_, err := c.store.List(ctx, tenancy.Filter{Limit: 1})
	return wrap("catalog.Catalog.Check", "", err)
}

// Create adds a tenant and returns its record. Only the slug is required. Create fills in an empty ID, an empty
// name (the slug) and an empty status ([tenancy.StatusProvisioning]); it sets version and times itself, and
// brings domains and tags into canonical form. A taken ID, slug or domain is an error that wraps
// [tenancy.ErrExists]. A malformed field or a reserved slug is one that wraps [tenancy.ErrInvalid].
//
// Create makes the record alone. lifecycle.Lifecycle makes a tenant with its database.
func (c *Catalog) Create(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error) {
	do := &doing{op: "catalog.Catalog.Create", action: actionCreate}
	if t == nil {
		return nil, wrap(do.op, "", errNoTenant())
	}
	t = t.Clone()
	if t.ID == "" {
		t.ID = tenancy.NewID()
	}
	if t.Name == "" {
		t.Name = t.Slug
	}
	if t.Status == "" {
		t.Status = tenancy.StatusProvisioning
	}
	t.Version = 1
	t.CreatedAt = now()
	t.UpdatedAt = t.CreatedAt
	if err := c.create(ctx, do, t); err != nil {
		c.refused(ctx, do, t.ID, err)
		return nil, wrap(do.op, t.ID, err)
	}
	return t, nil
}

func (c *Catalog) create(ctx context.Context, do *doing, t *tenancy.Tenant) error {
	err := c.permit(ctx)
	if err == nil {
		err = normalize(t)
	}
	if err == nil {
		err = c.check(nil, t)
	}
	if err == nil {
		err = c.askBefore(ctx, nil, t)
	}
	if err != nil {
		return err
	}
	r := c.record(ctx, do, nil, t)
	err = c.store.Insert(ctx, t, r.within())
	r.written(ctx, err)
	c.watchers.tell(ctx, Change{After: t}, err)
	return err
}

// Find returns the tenant that the ref names, whatever its status, or an error that wraps
// [tenancy.ErrNotFound]. It implements [tenancy.Finder].
func (c *Catalog) Find(ctx context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	t, err := c.find(ctx, ref)
	if err != nil {
		return nil, wrap("catalog.Catalog.Find", "", err)
	}
	return t, nil
}

// find asks the store, for refs that may exist.
func (c *Catalog) find(ctx context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	if _, err := tenancy.NewRef(ref.Kind, ref.Value); err != nil {
		return nil, fmt.Errorf("%w: %w", tenancy.ErrNotFound, err)
	}
	return c.store.Find(ctx, ref)
}

func (c *Catalog) byID(ctx context.Context, id tenancy.ID) (*tenancy.Tenant, error) {
	return c.find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(id)})
}

// Update writes a changed copy of a record and returns the new one. Version and creation
// time must still be those that were read: if somebody changed the record since, or the tenant
// was purged and made again under its ID, the error wraps [tenancy.ErrConflict] and nothing is
// written. A record without a creation time is compared by its version alone. ID,
// creation time and version cannot be changed; an illegal change of status (see
// [tenancy.Status.CanBecome]) and malformed fields are errors that wrap
// [tenancy.ErrInvalid], a taken slug or domain one that wraps
// [tenancy.ErrExists].
func (c *Catalog) Update(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error) {
	do := &doing{op: "catalog.Catalog.Update", action: actionUpdate}
	if t == nil {
		return nil, wrap(do.op, "", errNoTenant())
	}
	id := t.ID
	t, err := c.update(ctx, do, t)
	c.refused(ctx, do, id, err)
	return t, wrap(do.op, id, err)
}

func (c *Catalog) update(ctx context.Context, do *doing, t *tenancy.Tenant) (*tenancy.Tenant, error) {
	if err := c.permit(ctx); err != nil {
		return nil, err
	}
	old, err := c.byID(ctx, t.ID)
	switch {
	case err != nil:
	case old.Version != t.Version:
		err = fmt.Errorf("%w: version %d is written over %d", tenancy.ErrConflict, t.Version, old.Version)
	case !t.CreatedAt.IsZero() && !t.CreatedAt.Equal(old.CreatedAt):
		err = fmt.Errorf("%w: the tenant was made again, at %s, since the record was read", tenancy.ErrConflict, old.CreatedAt.Format(time.RFC3339))
	}
	if err != nil {
		return nil, err
	}
	return c.replace(ctx, do, old, t.Clone())
}

// Rename gives the tenant another slug. Its display name stays; change that with
// [Catalog.Update].
func (c *Catalog) Rename(ctx context.Context, id tenancy.ID, slug string) (*tenancy.Tenant, error) {
	return c.edit(ctx, &doing{op: "catalog.Catalog.Rename", action: "tenant.slug"}, id, func(t *tenancy.Tenant) { t.Slug = slug })
}

// AddDomain adds a domain, in any spelling, to the tenant. It changes nothing if the tenant has the domain
// already. The caller must verify that the tenant owns the domain.
func (c *Catalog) AddDomain(ctx context.Context, id tenancy.ID, domain string) (*tenancy.Tenant, error) {
	do := &doing{op: "catalog.Catalog.AddDomain", action: "tenant.domains"}
	host, err := parseDomain(domain)
	if err != nil {
		c.refused(ctx, do, id, err)
		return nil, wrap(do.op, id, err)
	}
	return c.edit(ctx, do, id, func(t *tenancy.Tenant) {
		if !slices.Contains(t.Domains, host) {
			t.Domains = append(t.Domains, host)
		}
	})
}

// RemoveDomain takes a domain from the tenant. It changes nothing if the tenant does not have it.
func (c *Catalog) RemoveDomain(ctx context.Context, id tenancy.ID, domain string) (*tenancy.Tenant, error) {
	do := &doing{op: "catalog.Catalog.RemoveDomain", action: "tenant.domains"}
	host, err := parseDomain(domain)
	if err != nil {
		c.refused(ctx, do, id, err)
		return nil, wrap(do.op, id, err)
	}
	return c.edit(ctx, do, id, func(t *tenancy.Tenant) {
		t.Domains = slices.DeleteFunc(t.Domains, func(d string) bool { return d == host })
	})
}

// SetStatus changes the tenant's status. An illegal change (see [tenancy.Status.CanBecome]) is an error that
// wraps [tenancy.ErrInvalid]. It changes nothing if the tenant has the status already.
func (c *Catalog) SetStatus(ctx context.Context, id tenancy.ID, status tenancy.Status) (*tenancy.Tenant, error) {
	return c.edit(ctx, &doing{op: "catalog.Catalog.SetStatus", action: "tenant.status"}, id, func(t *tenancy.Tenant) { t.Status = status })
}

// Delete removes the record of a tenant that is being provisioned or purged; any other
// status is an error that wraps [tenancy.ErrInvalid]. The names of a purged tenant stay
// reserved for [Options.ReserveNames]. The tenant's database is not touched. The ID must
// not be used again.
func (c *Catalog) Delete(ctx context.Context, id tenancy.ID) error {
	do := &doing{op: "catalog.Catalog.Delete", action: actionDelete}
	err := c.delete(ctx, do, id)
	c.refused(ctx, do, id, err)
	return wrap(do.op, id, err)
}

func (c *Catalog) delete(ctx context.Context, do *doing, id tenancy.ID) error {
	if err := c.permit(ctx); err != nil {
		return err
	}
	t, err := c.byID(ctx, id)
	if err == nil && t.Status != tenancy.StatusProvisioning && t.Status != tenancy.StatusPurging {
		err = fmt.Errorf("%w: a tenant that is %s cannot be deleted; archive and purge it", tenancy.ErrInvalid, t.Status)
	}
	if err == nil {
		err = c.askBefore(ctx, t, nil)
	}
	if err != nil {
		return err
	}
	r := c.record(ctx, do, t, nil)
	err = c.store.Delete(ctx, t, r.within())
	r.written(ctx, err)
	c.watchers.tell(ctx, Change{Before: t}, err)
	return err
}

// Edit calls change with a copy of the record, writes the copy, and returns the new record. If somebody else
// changed the record meanwhile, it calls change again with the new state. If change returns an error, Edit
// writes nothing and returns it. Edit refuses what [Catalog.Update] refuses.
func (c *Catalog) Edit(ctx context.Context, id tenancy.ID, change func(*tenancy.Tenant) error) (*tenancy.Tenant, error) {
	return c.editOr(ctx, &doing{op: "catalog.Catalog.Edit", action: actionUpdate, edits: true}, id, change)
}

func (c *Catalog) edit(ctx context.Context, do *doing, id tenancy.ID, change func(*tenancy.Tenant)) (*tenancy.Tenant, error) {
	return c.editOr(ctx, do, id, func(t *tenancy.Tenant) error { change(t); return nil })
}

// editOr makes a change on top of the present record. It starts again if another change comes between reading
// and writing.
func (c *Catalog) editOr(ctx context.Context, do *doing, id tenancy.ID, change func(*tenancy.Tenant) error) (*tenancy.Tenant, error) {
	const attempts = 20
	var err error
	for range attempts {
		var old, t *tenancy.Tenant
		old, err = c.byID(ctx, id)
		if err != nil {
			break
		}
		t = old.Clone()
		if err = change(t); err != nil {
			if !do.edits || errors.Is(err, tenancy.ErrForbidden) {
				c.refused(ctx, do, id, err)
			}
			return nil, tenancy.Wrap(do.op, id, err)
		}
		t = t.Clone() // of what change put into it and may keep
		t.ID, t.Version = old.ID, old.Version
		t, err = c.replace(ctx, do, old, t)
		if err == nil {
			return t, nil
		}
		if !errors.Is(err, tenancy.ErrConflict) || byHook(err) {
			break
		}
	}
	c.refused(ctx, do, id, err)
	return nil, wrap(do.op, id, err)
}

// replace checks the change from old to t and writes it. If nothing changes it writes nothing.
func (c *Catalog) replace(ctx context.Context, do *doing, old, t *tenancy.Tenant) (*tenancy.Tenant, error) {
	t.CreatedAt = old.CreatedAt
	t.UpdatedAt = old.UpdatedAt
	if !old.Status.CanBecome(t.Status) {
		return nil, fmt.Errorf("%w: a tenant that is %s cannot become %q, want one of %q", tenancy.ErrInvalid, old.Status, string(t.Status), old.Status.Next())
	}
	if err := normalize(t); err != nil {
		return nil, err
	}
	if equal(old, t) {
		return old, nil
	}
	if err := c.check(old, t); err != nil {
		return nil, err
	}
	if err := c.permit(ctx); err != nil {
		return nil, err
	}
	if err := c.askBefore(ctx, old, t); err != nil {
		return nil, err
	}
	t.Version = old.Version + 1
	t.UpdatedAt = now()
	r := c.record(ctx, do, old, t)
	err := c.store.Replace(ctx, t, r.within())
	r.written(ctx, err)
	c.watchers.tell(ctx, Change{Before: old, After: t}, err)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// normalize brings domains, tags and times into canonical form.
func normalize(t *tenancy.Tenant) error {
	for i, d := range t.Domains {
		host, err := parseDomain(d)
		if err != nil {
			return err
		}
		t.Domains[i] = host
	}
	slices.Sort(t.Domains)
	for i, tag := range t.Tags {
		t.Tags[i] = strings.ToLower(tag)
	}
	slices.Sort(t.Tags)
	t.Tags = slices.Compact(t.Tags)
	canonicalTimes(&t.Access)
	return nil
}

// check checks a record in canonical form, which takes the place of old unless that is nil. A tenant may keep
// names that were reserved later.
func (c *Catalog) check(old, t *tenancy.Tenant) error {
	if err := t.Validate(); err != nil {
		return err
	}
	for _, ref := range newNames(old, t) {
		reserved := slices.Contains(c.reserved, ref.Value)
		if ref.Kind == tenancy.RefDomain {
			reserved = slices.ContainsFunc(c.domains, func(own string) bool { return ref.Value == own || strings.HasSuffix(ref.Value, "."+own) })
		}
		if reserved {
			return fmt.Errorf("%w: %s %q is reserved", tenancy.ErrInvalid, ref.Kind, ref.Value)
		}
	}
	return nil
}

func errNoTenant() error { return fmt.Errorf("%w: no tenant", tenancy.ErrInvalid) }

func parseDomain(domain string) (string, error) {
	host, err := hostname.Parse(domain)
	if err == nil && hostname.IsIP(host) {
		err = fmt.Errorf("%w: domain %q is an IP address", tenancy.ErrInvalid, host)
	}
	return host, err
}

// now is the time as records keep it: UTC, in whole microseconds, which every engine can store.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// wrap returns err with op and tenant; an error without a sentinel becomes [tenancy.ErrUnavailable].
func wrap(op string, id tenancy.ID, err error) error { return failure.Wrap(op, id, err) }
