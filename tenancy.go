// Package tenancy makes a Go web service multi-tenant, each tenant in a
// database of its own.
//
// This package holds the words that the other packages share: the [Tenant]
// record, the [Ref] by which a request names one, the context that carries it,
// and the errors; and what keeps a tenant's things with it beside requests:
// [Keyspace], [Envelope], [Detach] and [NewLogHandler]. It also holds what the
// audit says of a change, [Actor] and [Entry], and which tenants somebody may see,
// [Scope]. It imports only the standard library and everything else may import it.
//
//   - resolver: which tenant does this request name?
//   - middleware: func(http.Handler) http.Handler around the application's handlers
//   - catalog: the record of tenants, in SQL
//   - dbpool: the tenant's database handle
//   - maintenance: creating tenants and migrating their schemas
//   - tenancytest: fakes, fresh databases and the isolation test for applications
package tenancy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Tenant is the record of one tenant.
//
// A *Tenant that came from a context, a catalog or a cache is shared between
// goroutines and must not be modified: [Tenant.Clone] it first.
type Tenant struct {
	// ID never changes and is never used again for another tenant.
	ID ID `json:"id"`
	// Slug is the tenant's name in URLs, a DNS label. It may change.
	Slug string `json:"slug"`
	// Name is for people: any printable text of up to 200 bytes.
	Name string `json:"name"`
	// Domains are full host names that lead to this tenant alone, in lower-case
	// ASCII and ascending order.
	Domains []string `json:"domains,omitempty"`
	Status  Status   `json:"status"`
	// Placement says where the tenant's data lives.
	Placement Placement `json:"placement"`
	// Plan is the application's name for what the tenant has bought.
	Plan string `json:"plan,omitempty"`
	// Limits and Settings are the application's, but for the keys that packages of this
	// module read. Of Limits: "rate.tenant", "rate.key", "rate.address", "burst.tenant",
	// "burst.key" and "burst.address", each also with a class behind a dot
	// (middleware/ratelimit), "concurrency" (middleware) and "slo.latency_ms"
	// (analytics). Of Settings: "homepage" (middleware).
	Limits   map[string]int64  `json:"limits,omitempty"`
	Settings map[string]string `json:"settings,omitempty"`
	// Tags are the application's, for finding tenants and saying who may see them,
	// in ascending order. See [ValidateTag].
	Tags []string `json:"tags,omitempty"`
	// Access is what stands between requests and the tenant.
	Access Access `json:"access,omitzero"`
	// SchemaVersion is the version of the schema that the tenant's database had when
	// a migration last changed it; 0 before the first one. The database itself knows
	// better: maintenance/migrate corrects the record by what the database says.
	SchemaVersion int64 `json:"schema_version,omitempty"`
	// Version is 1 in a new record and grows by one with every change. See
	// [Tenant.Newer] for which of two records is the newer one.
	Version int64 `json:"version"`
	// CreatedAt and UpdatedAt are in UTC, to the microsecond.
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Placement names the server and the database that hold a tenant's data. The
// host maps the server's name to an address and credentials, so the record
// holds no secret.
type Placement struct {
	Server   string `json:"server"`
	Database string `json:"database"`
}

// Newer reports whether the record is newer than another with the same ID: of a
// tenant that was made later, after the other was deleted, or a later version of the
// same one. Records without CreatedAt are compared by their versions.
func (t *Tenant) Newer(than *Tenant) bool {
	if t.CreatedAt.Equal(than.CreatedAt) || t.CreatedAt.IsZero() || than.CreatedAt.IsZero() {
		return t.Version > than.Version
	}
	return t.CreatedAt.After(than.CreatedAt)
}

// Clone returns a deep copy, which its caller may modify.
func (t *Tenant) Clone() *Tenant {
	c := *t
	c.Domains = slices.Clone(t.Domains)
	c.Limits = maps.Clone(t.Limits)
	c.Settings = maps.Clone(t.Settings)
	c.Tags = slices.Clone(t.Tags)
	c.Access = t.Access.Clone()
	return &c
}

// RefKind says which field of a tenant a [Ref] names.
type RefKind uint8

const (
	// RefNone is the kind of the zero Ref, which names nothing.
	RefNone RefKind = iota
	// RefID names a tenant by its [ID].
	RefID
	// RefSlug names a tenant by its slug.
	RefSlug
	// RefDomain names a tenant by one of its domains.
	RefDomain
)

// String returns the kind's name, as logs show it.
func (k RefKind) String() string {
	switch k {
	case RefNone:
		return "none"
	case RefID:
		return "id"
	case RefSlug:
		return "slug"
	case RefDomain:
		return "domain"
	}
	return fmt.Sprintf("RefKind(%d)", uint8(k))
}

// Ref is what a request named: a kind and a value in canonical form. Refs are
// comparable; two that are equal name the same tenant, and two that differ may.
type Ref struct {
	Kind  RefKind
	Value string
}

// NewRef returns the Ref of the given kind after checking that value has the
// form of that kind: an ID, a slug, or a domain in lower-case ASCII. A value
// that has not is an error that wraps [ErrInvalid].
func NewRef(kind RefKind, value string) (Ref, error) {
	var err error
	switch kind {
	case RefID:
		err = ID(value).Validate()
	case RefSlug:
		err = ValidateSlug(value)
	case RefDomain:
		err = ValidateDomain(value)
	default:
		err = fmt.Errorf("%w: %v is no kind of ref", ErrInvalid, kind)
	}
	if err != nil {
		return Ref{}, err
	}
	return Ref{kind, value}, nil
}

// String returns the ref for logs, such as "slug:acme".
func (r Ref) String() string { return r.Kind.String() + ":" + r.Value }

// Finder looks a tenant up by what a request named.
//
// An implementation returns an error that wraps [ErrNotFound] when there
// is no such tenant, and one that wraps [ErrUnavailable] when it cannot
// tell. It returns tenants in every [Status]. The record is shared: neither
// side modifies it afterwards. Find is called by many goroutines at once.
type Finder interface {
	Find(ctx context.Context, ref Ref) (*Tenant, error)
}
