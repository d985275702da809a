package analytics

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
)

// tenantsSelect is a query of the tenants' table, with the usage that it is filtered and
// sorted by.
type tenantsSelect struct {
	where *conditions
	joins []string
	args  []any // of the joins
	spans map[time.Duration]string
	usage map[time.Duration][]Column
}

// tenantsWhere returns the query without an order.
func (s *SQL) tenantsWhere(ctx context.Context, q *TenantsQuery, more ...field) (*tenantsSelect, error) {
	f := &q.Filter
	sel := &tenantsSelect{where: scoped(q.Scope, f.IDs), spans: map[time.Duration]string{}, usage: map[time.Duration][]Column{}}
	c := sel.where
	if len(f.Status) > 0 {
		c.in(`t.status IN (?)`, f.Status)
	}
	if f.Plan != "" {
		c.and(`t.plan = ?`, f.Plan)
	}
	if f.Server != "" {
		c.and(`t.server = ?`, f.Server)
	}
	if len(f.Tags) > 0 {
		c.in(`t.tenant_key IN (SELECT tenant_key FROM tenancy_usage_tags WHERE tag IN (?))`, f.Tags)
	}
	for _, word := range f.Words() {
		c.and(`t.search_text LIKE ? ESCAPE '!'`, "% "+strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(word)+"%")
	}
	if !f.CreatedFrom.IsZero() {
		c.and(`t.created_at >= ?`, f.CreatedFrom.UnixMicro())
	}
	if !f.CreatedBefore.IsZero() {
		c.and(`t.created_at < ?`, f.CreatedBefore.UnixMicro())
	}
	if f.SchemaFrom > 0 {
		c.and(`t.schema_version >= ?`, f.SchemaFrom)
	}
	if f.SchemaBefore > 0 {
		c.and(`t.schema_version < ?`, f.SchemaBefore)
	}
	terms, err := conditionsOf(f.Terms)
	if err != nil {
		return nil, err
	}
	for _, each := range terms {
		more = append(more, each.field)
	}
	for _, each := range more {
		if each.isUsage {
			sel.usage[each.span] = append(sel.usage[each.span], each.column)
		}
	}
	if err := s.joinUsage(ctx, q, sel); err != nil {
		return nil, err
	}
	for _, each := range terms {
		condition, args := each.sql(sel.expression(each.field))
		c.and(condition, args...)
	}
	return sel, c.err
}

// joinUsage joins sums of usage for each span.
func (s *SQL) joinUsage(ctx context.Context, q *TenantsQuery, sel *tenantsSelect) error {
	if len(sel.usage) == 0 {
		return nil
	}
	state, _, err := s.marks(ctx)
	if err != nil {
		return err
	}
	for span, columns := range sel.usage {
		alias := fmt.Sprintf("u%d", len(sel.joins))
		sel.spans[span] = alias
		sq := &SumQuery{Period: q.Period, Span: q.Span}
		switch {
		case span != 0 && !q.Now.IsZero():
			sq = &SumQuery{Period: field{span: span}.period(q.Period, q.Now)}
		case span != 0: // the field has a period of its own, whatever that of the page is read from
			sq = state.spanned(SumQuery{Period: field{span: span}.period(q.Period, state.Now)})
		}
		pieces, err := pieces(sq, state)
		if err != nil {
			return err
		}
		var sums, names, from []string
		seen := map[Column]bool{}
		for _, col := range columns {
			if !seen[col] {
				seen[col] = true
				names, sums = append(names, col.String()), append(sums, aggregate(col)+`(`+col.String()+`) AS `+col.String())
			}
		}
		if len(pieces) == 0 { // a period in the future
			pieces = []piece{{table: partsTable, from: state.Now, to: state.Now}}
		}
		for _, p := range pieces {
			where, args := `bucket >= ? AND bucket < ?`, []any{p.from.UnixMicro(), p.to.UnixMicro()}
			if p.span != "" {
				where, args = `span = ? AND bucket = ?`, []any{p.span, p.from.UnixMicro()}
			}
			from = append(from, `SELECT tenant_key, `+strings.Join(names, `, `)+` FROM `+p.table.name+` WHERE `+where)
			sel.args = append(sel.args, args...)
		}
		sel.joins = append(sel.joins, ` LEFT JOIN (SELECT tenant_key, `+strings.Join(sums, `, `)+` FROM (`+strings.Join(from, ` UNION ALL `)+`) p GROUP BY tenant_key) `+
			alias+` ON `+alias+`.tenant_key = t.tenant_key`)
	}
	return nil
}

// expression returns the SQL of a field.
func (sel *tenantsSelect) expression(f field) string {
	switch {
	case f.text != "":
		return `t.` + f.text
	case f.number == "limit_earliest":
		return fmt.Sprintf(`COALESCE(t.limit_earliest, %d)`, int64(math.MaxInt64))
	case f.number != "":
		return `COALESCE(t.` + f.number + `, 0)`
	}
	return `COALESCE(` + sel.spans[f.span] + `.` + f.column.String() + `, 0)`
}

// from returns what the query selects from, and its arguments so far.
func (sel *tenantsSelect) from() (string, []any) {
	return ` FROM tenancy_usage_tenants t` + strings.Join(sel.joins, ``) + ` WHERE ` + sel.where.String(), append(append([]any{}, sel.args...), sel.where.args...)
}

// Fleet implements [Source].
func (s *SQL) Fleet(ctx context.Context, q *TenantsQuery) (*Fleet, error) {
	f, err := s.fleet(ctx, q)
	return f, wrap("analytics.SQL.Fleet", err)
}

func (s *SQL) fleet(ctx context.Context, q *TenantsQuery) (*Fleet, error) {
	f := newFleet()
	sel, err := s.tenantsWhere(ctx, q)
	if err != nil || sel.where.none {
		return f, err
	}
	from, args := sel.from()
	err = s.each(ctx, s.db, `SELECT t.status, t.plan, t.server, COUNT(*), SUM(CASE WHEN t.database_name <> '' THEN 1 ELSE 0 END),
		COALESCE(SUM(t.storage), 0), COUNT(t.storage), COALESCE(MIN(t.sized_at), 0)`+from+` GROUP BY t.status, t.plan, t.server`, args, func(r *sql.Rows) error {
		var (
			status                       tenancy.Status
			plan, server                 string
			tenants, databases, measured int64
			storage                      orZero
			sizedAt                      int64
		)
		if err := r.Scan(&status, &plan, &server, &tenants, &databases, &storage, &measured, &sizedAt); err != nil {
			return err
		}
		f.Tenants += tenants
		f.ByStatus[status] += tenants
		f.ByPlan[plan] += tenants
		f.ByServer[server] += tenants
		f.Databases += databases
		f.sized(int64(storage), measured, fromMicros(sizedAt))
		return nil
	})
	return f, err
}

// Tenants implements [Source].
func (s *SQL) Tenants(ctx context.Context, q *TenantsQuery) ([]TenantRow, error) {
	rows, err := s.tenants(ctx, q)
	return rows, wrap("analytics.SQL.Tenants", err)
}

func (s *SQL) tenants(ctx context.Context, q *TenantsQuery) ([]TenantRow, error) {
	by, err := parseField(q.Sort)
	if err != nil {
		return nil, err
	}
	sel, err := s.tenantsWhere(ctx, q, by)
	if err != nil || sel.where.none {
		return nil, err
	}
	key := sel.expression(by)
	order, than := ``, `>`
	if q.Descending {
		order, than = ` DESC`, `<`
	}
	if q.After != nil {
		var value any = q.After.Key
		if by.text == "" {
			if value, err = strconv.ParseInt(q.After.Key, 10, 64); err != nil {
				return nil, fmt.Errorf("%w: cursor: %.40q is no number", tenancy.ErrInvalid, q.After.Key)
			}
		}
		sel.where.and(`(`+key+` `+than+` ? OR (`+key+` = ? AND t.id > ?))`, value, value, q.After.ID)
	}
	from, args := sel.from()
	var rows []TenantRow
	err = s.each(ctx, s.db, `SELECT t.id, t.slug, t.name, t.status, t.plan, t.server, t.tags, t.limits, t.created_at,
		COALESCE(t.storage, 0), COALESCE(t.sized_at, 0), t.forecast_at, t.limit_figure, t.limit_value, t.limit_earliest, t.limit_latest, `+key+from+` ORDER BY `+key+order+`, t.id LIMIT ?`, append(args, q.Limit), func(r *sql.Rows) error {
		row, err := scanTenant(r, by)
		rows = append(rows, row)
		return err
	})
	return rows, err
}

func scanTenant(r *sql.Rows, by field) (row TenantRow, err error) {
	var (
		tags, limits               string
		created, sizedAt, forecast int64
		number                     orZero
		figure                     sql.NullString
		limit, earliest, latest    orZero
	)
	var key any = &number
	if by.text != "" {
		key = &row.Key
	}
	err = r.Scan(&row.ID, &row.Slug, &row.Name, &row.Status, &row.Plan, &row.Server, &tags, &limits, &created, &row.Storage, &sizedAt, &forecast, &figure, &limit, &earliest, &latest, key)
	row.Tags, row.CreatedAt, row.SizedAt = strings.Fields(tags), fromMicros(created), fromMicros(sizedAt)
	if by.text == "" {
		row.Key = strconv.FormatInt(int64(number), 10)
	}
	if forecast != 0 {
		row.Reaches = &LimitForecast{Tenant: row.ID, Made: fromMicros(forecast), Figure: figure.String, Limit: int64(limit)}
		if figure.Valid {
			row.Reaches.Reached = &Reached{fromMicros(int64(earliest)), fromMicros(int64(latest))}
		}
	}
	if err == nil && limits != "" {
		err = json.Unmarshal([]byte(limits), &row.Limits)
	}
	return row, err
}

var _ ServerSource = (*SQL)(nil)

// Servers implements [ServerSource].
func (s *SQL) Servers(ctx context.Context, scope tenancy.Scope) (map[tenancy.ID]string, error) {
	c := scoped(scope, nil)
	servers := map[tenancy.ID]string{}
	if c.none || c.err != nil {
		return servers, wrap("analytics.SQL.Servers", c.err)
	}
	names := map[string]string{} // of few servers, not of each tenant
	err := s.each(ctx, s.db, `SELECT t.id, t.server FROM tenancy_usage_tenants t WHERE t.server <> '' AND `+c.String(), c.args, func(r *sql.Rows) error {
		var id tenancy.ID
		var server sql.RawBytes
		if err := r.Scan(&id, &server); err != nil {
			return err
		}
		name, ok := names[string(server)]
		if !ok {
			name = string(server)
			names[name] = name
		}
		servers[id] = name
		return nil
	})
	return servers, wrap("analytics.SQL.Servers", err)
}
