package analytics

import (
	"context"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
)

// StorageSource is the optional ability of a [Source] to remember the sizes of databases
// by day.
type StorageSource interface {
	// Storage returns sizes in ascending order of tenant and day.
	Storage(ctx context.Context, q *StorageQuery) ([]StorageRow, error)
}

// StorageQuery asks for sizes of databases by day.
type StorageQuery struct {
	Scope tenancy.Scope
	// Tenants, if there are any, are the tenants to choose from.
	Tenants []tenancy.ID
	Period  Period
	// ByTenant asks for rows of each tenant, not of all together.
	ByTenant bool
}

// StorageRow is the size of databases on one day.
type StorageRow struct {
	// Tenant is set if the query was by tenant.
	Tenant tenancy.ID
	// Day is the begin of the day, in UTC.
	Day time.Time
	// Bytes is the last size of the day, or the sum of those of so many tenants.
	Bytes   int64
	Tenants int64
}

// StorageReport is how much room databases took, by day.
type StorageReport struct {
	Period Period       `json:"period"`
	Unit   string       `json:"unit"`
	Method Method       `json:"method"`
	Days   []StorageDay `json:"days"`
}

// StorageDay is the last measurement of a day. A day without one is not in a report.
type StorageDay struct {
	Day   time.Time `json:"day"`
	Bytes int64     `json:"bytes"`
	// Tenants is how many databases were measured.
	Tenants int64 `json:"tenants"`
}

// Storage returns how much room the database of a tenant took day by day, or those of all
// tenants of the scope together if id is empty. The zero period is the last 30 days. Days
// begin in UTC, and are kept for as long as daily usage.
func (r *Reports) Storage(ctx context.Context, scope tenancy.Scope, id tenancy.ID, p Period) (*StorageReport, error) {
	report, err := shared(ctx, r, "storage", scope, tenantRequest{id, p}, r.storageReport)
	return report, tenancy.Wrap("analytics.Reports.Storage", id, err)
}

func (r *Reports) storageReport(ctx context.Context, scope tenancy.Scope, req tenantRequest) (*StorageReport, error) {
	id, p := req.Tenant, req.Period
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	if p == (Period{}) {
		p = Period{state.Now.Truncate(day).Add(-29 * day), state.Now}
	}
	if p, err = r.check(p, state); err != nil {
		return nil, err
	}
	p.From = p.From.Truncate(day)
	if p.To.Sub(p.From) > keepDays {
		return nil, fmt.Errorf("%w: storage of %v, want at most %v", tenancy.ErrInvalid, p.To.Sub(p.From), keepDays)
	}
	rows, err := r.storageDays(ctx, scope, id, p)
	if err != nil {
		return nil, err
	}
	report := &StorageReport{Period: p, Unit: UnitBytes, Method: Measured, Days: []StorageDay{}}
	for _, row := range rows {
		report.Days = append(report.Days, StorageDay{row.Day, row.Bytes, row.Tenants})
	}
	return report, nil
}

// storageDays returns the days of a tenant, or of the scope.
func (r *Reports) storageDays(ctx context.Context, scope tenancy.Scope, id tenancy.ID, p Period) ([]StorageRow, error) {
	q := &StorageQuery{Scope: scope, Period: p}
	if id != "" {
		if _, _, err := r.tenantOf(ctx, scope, id, figures{}); err != nil {
			return nil, err
		}
		q.Tenants = []tenancy.ID{id}
	}
	if r.sizes == nil {
		return nil, nil
	}
	return r.sizes.Storage(ctx, q)
}

// largestIn returns the largest size of each tenant in a period.
func (r *Reports) largestIn(ctx context.Context, scope tenancy.Scope, ids []tenancy.ID, p Period) (map[tenancy.ID]StorageRow, error) {
	if r.sizes == nil {
		return nil, nil
	}
	rows, err := r.sizes.Storage(ctx, &StorageQuery{Scope: scope, Tenants: ids, Period: p, ByTenant: true})
	if err != nil {
		return nil, err
	}
	out := map[tenancy.ID]StorageRow{}
	for _, row := range rows {
		if old, ok := out[row.Tenant]; !ok || row.Bytes > old.Bytes {
			out[row.Tenant] = row
		}
	}
	return out, nil
}
