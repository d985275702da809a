package analytics

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// IDs of rows that belong to no tenant. No tenant's ID has this form.
const (
	// Application is the row of what was done without a tenant.
	Application tenancy.ID = "(application)"
	// Unattributed is the row of what belongs to nobody.
	Unattributed tenancy.ID = "(unattributed)"
)

// Sink is where a [Recorder] writes to.
type Sink interface {
	// Write stores a batch, whole or not at all, and returns the store's clock. A
	// batch that was written before, or an older one, changes nothing. An error
	// after which it is not known whether the batch was written wraps [ErrInDoubt].
	Write(ctx context.Context, b *Batch) (now time.Time, err error)
}

// ErrInDoubt reports that a batch may or may not have been written.
var ErrInDoubt = errors.New("it is not known whether it was written")

// Batch is what an instance writes in one flush.
type Batch struct {
	Instance Instance
	// Tenants are records that the store may not have.
	Tenants []*tenancy.Tenant
	Parts   []Part
	// Patterns are what was counted for the patterns of routes.
	Patterns []PatternPart
	// Statements are what was counted for the texts of statements.
	Statements []StatementPart
	// Activities are added unless they are there: see [Activity].
	Activities []Activity
}

// Part is what one instance has counted for a tenant in one period so far.
type Part struct {
	Tenant tenancy.ID
	// Start is the begin of the period, by the store's clock. It is a minute long,
	// or an hour if Hour is set.
	Start time.Time
	Hour  bool
	// Source is the instance, or one of its several sources.
	Source int64
	// Revision grows with each flush. A part replaces the one with the same tenant,
	// start and source unless that has the same or a larger revision.
	Revision int64
	Counts   Counts
}

// Instance is one running process of the application.
type Instance struct {
	ID   int64  `json:"-"`
	Name string `json:"name"`
	// Started is when the recorder was made, Flushed when it last wrote.
	Started time.Time `json:"started"`
	Flushed time.Time `json:"flushed"`
	// Ended is set when the recorder wrote for the last time.
	Ended bool `json:"ended,omitempty"`
	// Interval is how often it flushes.
	Interval time.Duration `json:"interval_ns"`
	// Offset is how far the instance's clock is ahead of the store's.
	Offset time.Duration `json:"offset_ns"`
	// CPU is the processor time of the process so far, RSS its resident memory,
	// Heap the bytes of Go's heap. They are zero where they are unknown.
	CPU  time.Duration `json:"cpu_ns"`
	RSS  int64         `json:"rss"`
	Heap int64         `json:"heap"`
	// Memory is the memory that the library can account for, by kind: see [Recorder.Attach].
	Memory map[string]int64 `json:"memory,omitempty"`
	// Recorded are the columns that the instance counts. A column that nobody counts
	// has no figure.
	Recorded []Column `json:"-"`
	// Dropped counts activities that did not fit into memory.
	Dropped int64 `json:"dropped,omitempty"`
}

// Period is a span of time: From ≤ t < To.
type Period struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Source is where [Reports] read from. Each method selects tenants of the scope
// alone; the zero scope selects none.
type Source interface {
	// State returns what is known about the store itself.
	State(ctx context.Context) (*State, error)
	// Fleet returns the totals of the tenants that the query selects, on all pages.
	Fleet(ctx context.Context, q *TenantsQuery) (*Fleet, error)
	// Tenants returns a page of the tenants that the query selects.
	Tenants(ctx context.Context, q *TenantsQuery) ([]TenantRow, error)
	// Sum returns sums of counts.
	Sum(ctx context.Context, q *SumQuery) ([]SumRow, error)
	// Activities returns activities, the newest first.
	Activities(ctx context.Context, q *ActivitiesQuery) ([]Activity, error)
}

// State is what is known about the store itself.
type State struct {
	// Now is the store's clock.
	Now time.Time `json:"now"`
	// Catalog is when the tenants' table was last compared with the catalog.
	Catalog time.Time `json:"catalog"`
	// Minutes, Hours and Days say up to when parts were rolled up.
	Minutes time.Time `json:"minutes"`
	Hours   time.Time `json:"hours"`
	Days    time.Time `json:"days"`
	// Months says up to when the store has sums of whole months.
	Months time.Time `json:"-"`
	// Recorded are the columns that some instance counts, or did.
	Recorded []Column `json:"-"`
	// Tenants is how many the catalog had then.
	Tenants int64 `json:"-"`
	// Fleet is from when on there are sums of all tenants together.
	Fleet time.Time `json:"-"`
	// Sums are the periods of the sums that the keeper prepares for each tenant, by the length
	// of the span. A small store has none: it adds up when asked.
	Sums map[time.Duration]Period `json:"-"`
	// reopened is how often hours were opened again whose rows are in the sums as they are now.
	reopened int64
	// Instances are those that wrote within the last hour.
	Instances []Instance `json:"instances"`
}

// Fleet is what the tenants' table says of the tenants of a scope.
type Fleet struct {
	Tenants   int64
	ByStatus  map[tenancy.Status]int64
	ByPlan    map[string]int64
	ByServer  map[string]int64
	Databases int64
	// Storage is the sum of the sizes of databases that were measured, Measured how
	// many those are, and Oldest when the first of them was.
	Storage  int64
	Measured int64
	Oldest   time.Time
}

func newFleet() *Fleet {
	return &Fleet{ByStatus: map[tenancy.Status]int64{}, ByPlan: map[string]int64{}, ByServer: map[string]int64{}}
}

// sized adds the sizes of n databases, of which the first was measured at that time.
func (f *Fleet) sized(storage, n int64, at time.Time) {
	f.Storage, f.Measured = add(f.Storage, storage), f.Measured+n
	if !at.IsZero() && (f.Oldest.IsZero() || at.Before(f.Oldest)) {
		f.Oldest = at
	}
}

// TenantInfo is what a report says about a tenant.
type TenantInfo struct {
	ID        tenancy.ID     `json:"id"`
	Slug      string         `json:"slug"`
	Name      string         `json:"name"`
	Status    tenancy.Status `json:"status"`
	Plan      string         `json:"plan,omitempty"`
	Server    string         `json:"server,omitempty"`
	Tags      []string       `json:"tags,omitempty"`
	CreatedAt time.Time      `json:"created_at"`
}

// TenantRow is a row of the tenants' table.
type TenantRow struct {
	TenantInfo
	// Storage is the size of the database, at SizedAt; zero if it was not measured.
	Storage int64
	SizedAt time.Time
	// Limits are those of the record.
	Limits map[string]int64
	// Reaches says which limit is reached first, as was forecast last. It is nil if nobody
	// looked.
	Reaches *LimitForecast
	// Key is the value that the row is sorted by.
	Key string
}

// rowOf returns what a record says of a row.
func rowOf(t *tenancy.Tenant) *TenantRow {
	return &TenantRow{
		TenantInfo: TenantInfo{
			ID: t.ID, Slug: t.Slug, Name: t.Name, Status: t.Status, Plan: t.Plan, Server: t.Placement.Server,
			Tags: slices.Clone(t.Tags), CreatedAt: t.CreatedAt,
		},
		Limits: maps.Clone(t.Limits),
	}
}

// TenantsQuery selects tenants.
type TenantsQuery struct {
	Scope tenancy.Scope
	// Filter selects tenants of the scope. Its terms are on the fields of [Fields]. Its
	// scope, order, cursor and limit are not looked at.
	Filter tenancy.Filter
	// Period is that of fields of usage that have no end of their own.
	Period Period
	// Sort is a field: see [TenantsRequest.Sort]. Tenants that are equal in it are in
	// ascending order of ID.
	Sort       string
	Descending bool
	// Span asks for the sums of [State.Sums] instead: the period is theirs.
	Span time.Duration
	// Now, if it is set, is when fields of usage with an end of their own end. Usage is
	// added up then, and no sums are read: each page of a listing is of the same times.
	Now time.Time
	// After continues a listing behind a row.
	After *TenantsPosition
	// Limit is how many at most.
	Limit int
}

// TenantsPosition is a place in a listing.
type TenantsPosition struct {
	// Key is the [TenantRow.Key] of the row before.
	Key string
	ID  tenancy.ID
}

// SumQuery asks for sums of counts.
type SumQuery struct {
	Scope tenancy.Scope
	// Tenants, if there are any, are the tenants to choose from.
	Tenants []tenancy.ID
	Period  Period
	// Step is the length of each row's period: zero for one of the whole period. Steps begin
	// where [time.Time.Truncate] says, such as weeks on Mondays in UTC.
	Step time.Duration
	// ByTenant asks for a row for each tenant.
	ByTenant bool
	// BySource asks for a row for each source, as instances are. Of that only the last
	// three hours are known.
	BySource bool
	// Latency asks for latencies and the application's own counts, too.
	Latency bool
	// Top, if it is set, asks for the Limit tenants with the largest Order.
	Top   int
	Order Column
	// Columns, if there are any, are those that are needed. Others may be there, too.
	Columns []Column
	// Span asks for the sums of [State.Sums] instead: the period is theirs. There is no
	// step then.
	Span time.Duration
	// Fleet allows, for the scope of all tenants, what all did together to have in it what
	// tenants did that are not in the catalog any more.
	Fleet bool
}

// SumRow is a sum of counts.
type SumRow struct {
	// Tenant is set if the query was by tenant.
	Tenant tenancy.ID
	// Start is set if the query had a step, Source if it was by source.
	Start  time.Time
	Source int64
	Counts Counts
}
