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
//   - catalog: the record of tenants, in SQL; its cache, its audit, its events
//   - dbpool: the tenant's database handle
//   - maintenance: maintenance mode; below it making and ending tenants (lifecycle), migrating
//     their schemas (migrate), and durable work over many of them (runs)
//   - analytics: what tenants use
//   - admin: the console and the command line
//   - tenancytest: fakes, fresh databases and the isolation test for applications
package tenancy

import (
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
	// Domains are the full host names that name this tenant, in lower-case ASCII and ascending order.
	Domains []string `json:"domains,omitempty"`
	Status  Status   `json:"status"`
	// Placement says where the tenant's data lives.
	Placement Placement `json:"placement"`
	// Plan is the application's name for what the tenant has bought.
	Plan string `json:"plan,omitempty"`
	// Limits and Settings are the application's, except for the keys that packages of this
	// module read. Of Limits: "rate.tenant", "rate.key", "rate.address", "burst.tenant",
	// "burst.key" and "burst.address", each also with a class behind a dot
	// (middleware/ratelimit), "concurrency" (middleware), "slo.latency_ms", and
	// "storage.bytes" and "requests.day", for which it forecasts (analytics). Of Settings:
	// "homepage" (middleware).
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

// Placement names the server and the database that hold a tenant's data. The application maps the server's name
// to an address and credentials, so the record holds no secret.
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
