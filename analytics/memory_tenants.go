package analytics

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Fleet implements [Source].
func (m *Memory) Fleet(ctx context.Context, q *TenantsQuery) (*Fleet, error) {
	f := newFleet()
	err := m.tenantsOf(ctx, q, field{text: "id"}, func(row *TenantRow, database string) {
		f.Tenants++
		f.ByStatus[row.Status]++
		f.ByPlan[row.Plan]++
		f.ByServer[row.Server]++
		if database != "" {
			f.Databases++
		}
		if !row.SizedAt.IsZero() {
			f.sized(row.Storage, 1, row.SizedAt)
		}
	})
	return f, tenancy.Wrap("analytics.Memory.Fleet", "", err)
}

// Tenants implements [Source].
func (m *Memory) Tenants(ctx context.Context, q *TenantsQuery) ([]TenantRow, error) {
	rows, err := m.page(ctx, q)
	return rows, tenancy.Wrap("analytics.Memory.Tenants", "", err)
}

func (m *Memory) page(ctx context.Context, q *TenantsQuery) ([]TenantRow, error) {
	by, err := parseField(q.Sort)
	if err != nil {
		return nil, err
	}
	var rows []TenantRow
	if err := m.tenantsOf(ctx, q, by, func(row *TenantRow, _ string) { rows = append(rows, *row) }); err != nil {
		return nil, err
	}
	compare := func(a, b *TenantRow) int {
		way := 0
		if by.text != "" {
			way = cmp.Compare(a.Key, b.Key)
		} else {
			na, _ := strconv.ParseInt(a.Key, 10, 64) // it was a number
			nb, _ := strconv.ParseInt(b.Key, 10, 64)
			way = cmp.Compare(na, nb)
		}
		if q.Descending {
			way = -way
		}
		return cmp.Or(way, cmp.Compare(a.ID, b.ID))
	}
	slices.SortFunc(rows, func(a, b TenantRow) int { return compare(&a, &b) })
	if q.After != nil {
		if _, err := strconv.ParseInt(q.After.Key, 10, 64); err != nil && by.text == "" {
			return nil, fmt.Errorf("%w: cursor: %.40q is no number", tenancy.ErrInvalid, q.After.Key)
		}
		after := &TenantRow{TenantInfo: TenantInfo{ID: q.After.ID}, Key: q.After.Key}
		rows = slices.DeleteFunc(rows, func(row TenantRow) bool { return compare(&row, after) <= 0 })
	}
	return rows[:min(len(rows), q.Limit)], nil
}

// tenantsOf calls fn for each tenant that the query selects, with its key by the field.
func (m *Memory) tenantsOf(ctx context.Context, q *TenantsQuery, by field, fn func(row *TenantRow, database string)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	terms, err := conditionsOf(q.Filter.Terms)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := cmp.Or(q.Now, time.Now())
	sums := map[time.Duration]map[tenancy.ID]*Counts{}
	value := func(f field, row *TenantRow) int64 {
		switch f.number {
		case "created_at":
			return toMicros(row.CreatedAt)
		case "storage":
			return row.Storage
		case "limit_earliest":
			return math.MaxInt64 // nobody forecasts
		}
		if sums[f.span] == nil {
			sums[f.span] = m.byTenant(f.period(q.Period, now))
		}
		if c := sums[f.span][row.ID]; c != nil {
			return c.Get(f.column)
		}
		return 0
	}
	for id, t := range m.tenants {
		if !m.includes(q.Scope, q.Filter.IDs, id) || !matches(&q.Filter, t.record) {
			continue
		}
		row := t.row()
		if slices.ContainsFunc(terms, func(c condition) bool { return !c.holds(value(c.field, &row)) }) {
			continue
		}
		row.Key = map[string]string{
			"id": string(id), "slug": row.Slug, "name": row.Name, "status": string(row.Status), "plan": row.Plan, "server": row.Server,
		}[by.text]
		if by.text == "" {
			row.Key = strconv.FormatInt(value(by, &row), 10)
		}
		fn(&row, t.record.Placement.Database)
	}
	for _, id := range []tenancy.ID{Application, Unattributed} {
		if m.includes(q.Scope, q.Filter.IDs, id) {
			fn(&TenantRow{TenantInfo: TenantInfo{ID: id}}, "")
		}
	}
	return nil
}

// byTenant returns the sums of each tenant. The caller has the lock.
func (m *Memory) byTenant(p Period) map[tenancy.ID]*Counts {
	out := map[tenancy.ID]*Counts{}
	pieces := plan(p, 0, &State{Now: time.Now()})
	for start, in := range m.minutes {
		if len(pieces) == 0 || start < pieces[0].from.UnixMicro() || start >= pieces[0].to.UnixMicro() {
			continue
		}
		for key, part := range in {
			if out[key.tenant] == nil {
				out[key.tenant] = &Counts{}
			}
			out[key.tenant].Add(&part.Counts)
		}
	}
	return out
}

// matches reports whether the filter selects the record, whatever its terms are.
func matches(f *tenancy.Filter, t *tenancy.Tenant) bool {
	switch {
	case len(f.Status) > 0 && !slices.Contains(f.Status, t.Status), f.Plan != "" && f.Plan != t.Plan,
		f.Server != "" && f.Server != t.Placement.Server,
		len(f.Tags) > 0 && !tenancy.ByTags(f.Tags...).Includes(t),
		!f.CreatedFrom.IsZero() && t.CreatedAt.Before(f.CreatedFrom), !f.CreatedBefore.IsZero() && !t.CreatedAt.Before(f.CreatedBefore),
		t.SchemaVersion < f.SchemaFrom, f.SchemaBefore > 0 && t.SchemaVersion >= f.SchemaBefore:
		return false
	}
	return f.MatchesText(t)
}

func (t *memoryTenant) row() TenantRow {
	row := rowOf(t.record)
	row.Storage, row.SizedAt = t.storage, t.sizedAt
	return *row
}

// Storage implements [StorageSource].
func (m *Memory) Storage(ctx context.Context, q *StorageQuery) ([]StorageRow, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	from, to := q.Period.From.UTC().Truncate(day).UnixMicro(), q.Period.To.UnixMicro()
	found := map[groupKey]StorageRow{}
	for id, t := range m.tenants {
		if !m.includes(q.Scope, q.Tenants, id) {
			continue
		}
		for at, bytes := range t.days {
			if at < from || at >= to {
				continue
			}
			key := groupKey{start: at}
			if q.ByTenant {
				key.tenant = id
			}
			old := found[key]
			found[key] = StorageRow{key.tenant, fromMicros(at), add(old.Bytes, bytes), old.Tenants + 1}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b StorageRow) int { return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), a.Day.Compare(b.Day)) }), nil
}

var _ ServerSource = (*Memory)(nil)

// Servers implements [ServerSource].
func (m *Memory) Servers(ctx context.Context, scope tenancy.Scope) (map[tenancy.ID]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	servers := map[tenancy.ID]string{}
	for id, t := range m.tenants {
		if server := t.record.Placement.Server; server != "" && m.includes(scope, nil, id) {
			servers[id] = server
		}
	}
	return servers, nil
}
