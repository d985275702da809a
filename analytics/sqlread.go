package analytics

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// maxIDs is how many tenants a scope may name.
const maxIDs = 10_000

// lastOwnKey is the key before those of tenants: the application's own rows have keys
// up to it.
const lastOwnKey = 2

// conditions are what rows must meet, and its arguments.
type conditions struct {
	all  []string
	args []any
	none bool // no row meets them
	err  error
}

func (c *conditions) and(condition string, args ...any) {
	c.all, c.args = append(c.all, condition), append(c.args, args...)
}

// in adds a condition with a list for the question mark.
func (c *conditions) in(condition string, values any) {
	expanded, args, err := sqlx.In(condition, values)
	if err != nil {
		c.err = fmt.Errorf("%w: %w", tenancy.ErrInvalid, err)
		return
	}
	c.and(expanded, args...)
}

func (c *conditions) String() string { return strings.Join(c.all, ` AND `) }

// scoped returns the conditions on the tenants' table t of a scope and, if there are
// any, of the tenants to choose from. The rows of no tenant are those of operators who may see
// all, and who ask for them.
func scoped(scope tenancy.Scope, ids []tenancy.ID) *conditions {
	c := &conditions{none: scope.IsZero()}
	if len(ids) > maxIDs || len(scope.IDs()) > maxIDs {
		c.err = fmt.Errorf("%w: more than %d tenants named", tenancy.ErrInvalid, maxIDs)
		return c
	}
	if !scope.IsAll() || len(ids) == 0 {
		c.and(fmt.Sprintf(`t.tenant_key > %d`, lastOwnKey))
	}
	c.and(`t.gone = 0`)
	switch named := named(scope, ids); {
	case len(named) > 0:
		c.in(`t.id IN (?)`, named)
	case len(ids) > 0:
		c.none = true
	}
	if tags := scope.Tags(); len(tags) > 0 {
		c.in(`t.tenant_key IN (SELECT tenant_key FROM tenancy_usage_tags WHERE tag IN (?))`, tags)
	}
	return c
}

// named returns the tenants that a query names: those of a scope of IDs, the tenants to choose
// from, or those that are both.
func named(scope tenancy.Scope, ids []tenancy.ID) []tenancy.ID {
	own := scope.IDs()
	switch {
	case len(own) == 0:
		return ids
	case len(ids) == 0:
		return own
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id tenancy.ID) bool {
		_, found := slices.BinarySearch(own, id)
		return !found
	})
}

// State implements [Source].
func (s *SQL) State(ctx context.Context) (*State, error) {
	state, err := s.state(ctx)
	return state, wrap("analytics.SQL.State", err)
}

// remembered is how long an instance that does not write any more is listed.
const remembered = time.Hour

// marks returns the clock, and the rows of the state's table.
func (s *SQL) marks(ctx context.Context) (*State, map[string]int64, error) {
	values := map[string]int64{}
	now := int64(0)
	err := s.each(ctx, s.db, `SELECT name, value, `+s.dialect.Now()+` FROM tenancy_usage_state`, nil, func(r *sql.Rows) error {
		var name string
		var value int64
		err := r.Scan(&name, &value, &now)
		values[name] = value
		return err
	})
	state := &State{
		Now: fromMicros(now), Catalog: fromMicros(values[stateCatalog]), Minutes: fromMicros(values[stateMinutes]), Hours: fromMicros(values[stateHours]),
		Days: fromMicros(values[stateDays]), Months: fromMicros(values[stateMonths]), Tenants: values[stateTenants], Fleet: fromMicros(values[stateFleet]), Instances: []Instance{}, reopened: values[stateSeen],
	}
	if s.opts.SumsAbove >= 0 && state.Tenants > int64(s.opts.SumsAbove) {
		state.Sums = map[time.Duration]Period{}
		for name, span := range spans() {
			if to := fromMicros(values[stateSums+name]); state.Now.Sub(to) < staleSums(span) {
				state.Sums[span] = Period{sumFrom(span, to), to}
			}
		}
	}
	return state, values, err
}

func (s *SQL) state(ctx context.Context) (*State, error) {
	state, _, err := s.marks(ctx)
	if err != nil {
		return nil, err
	}
	now := state.Now
	var recorded int64
	err = s.each(ctx, s.db, `SELECT DISTINCT recorded FROM tenancy_usage_instances`, nil, func(r *sql.Rows) error {
		var set int64
		err := r.Scan(&set)
		recorded |= set
		return err
	})
	if err != nil {
		return nil, err
	}
	state.Recorded = columnsOf(recorded)
	err = s.each(ctx, s.db, `SELECT id, name, started_at, flushed_at, ended, flush_interval, clock_offset, cpu_time, rss, heap, dropped, recorded, memory
		FROM tenancy_usage_instances WHERE flushed_at > ? ORDER BY name, started_at`, []any{now.Add(-remembered).UnixMicro()}, func(r *sql.Rows) error {
		var i Instance
		var started, flushed, ended, interval, offset, cpu, set int64
		var memory sql.NullString
		err := r.Scan(&i.ID, &i.Name, &started, &flushed, &ended, &interval, &offset, &cpu, &i.RSS, &i.Heap, &i.Dropped, &set, &memory)
		if memory.String != "" && err == nil {
			err = json.Unmarshal([]byte(memory.String), &i.Memory)
		}
		i.Recorded = columnsOf(set)
		i.Started, i.Flushed, i.Ended = fromMicros(started), fromMicros(flushed), ended != 0
		i.Interval, i.Offset, i.CPU = fromInterval(interval), fromInterval(offset), fromInterval(cpu)
		state.Instances = append(state.Instances, i)
		return err
	})
	return state, err
}

func fromInterval(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

// Sum implements [Source].
func (s *SQL) Sum(ctx context.Context, q *SumQuery) ([]SumRow, error) {
	rows, err := s.sum(ctx, q)
	return rows, wrap("analytics.SQL.Sum", err)
}

func (s *SQL) sum(ctx context.Context, q *SumQuery) ([]SumRow, error) {
	c := scoped(q.Scope, q.Tenants)
	if c.none || c.err != nil {
		return nil, c.err
	}
	state, _, err := s.marks(ctx)
	if err != nil {
		return nil, err
	}
	pieces, err := pieces(q, state)
	if err != nil || len(pieces) == 0 {
		return nil, err
	}
	if len(c.args)*len(pieces) > maxArguments {
		return s.some(ctx, q, pieces)
	}
	if q.Top > 0 && !q.Latency && len(q.Columns) != 1 {
		return s.ranked(ctx, q, c, pieces)
	}
	return s.read(ctx, q, c, pieces)
}

// maxArguments is about how many arguments of conditions a statement has at most: SQLite takes
// 32,766 of all kinds, and the others 65,535.
const maxArguments = 30_000

// some reads a query that names many tenants in several statements, because each piece has the
// conditions again.
func (s *SQL) some(ctx context.Context, q *SumQuery, pieces []piece) ([]SumRow, error) {
	part := *q
	part.Top = 0
	if q.Top > 0 && len(q.Columns) > 0 && !slices.Contains(q.Columns, q.Order) {
		part.Columns = append(slices.Clone(q.Columns), q.Order)
	}
	names := slices.Clone(named(q.Scope, q.Tenants))
	slices.Sort(names)
	g := newGroups(q)
	for ids := range slices.Chunk(slices.Compact(names), max(1, maxArguments/len(pieces)-len(q.Scope.Tags()))) {
		rows, err := s.read(ctx, &part, scoped(q.Scope, ids), pieces)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			g.add(rows[i].Tenant, toMicros(rows[i].Start), rows[i].Source, &rows[i].Counts)
		}
	}
	return g.rows(), nil
}

// read reads the rows of a query that have these conditions.
func (s *SQL) read(ctx context.Context, q *SumQuery, c *conditions, pieces []piece) ([]SumRow, error) {
	if q.Latency {
		return s.merged(ctx, q, c, pieces)
	}
	return s.summed(ctx, q, c, pieces)
}

// pieces returns what the rows of a query are read from.
func pieces(q *SumQuery, state *State) ([]piece, error) {
	if q.Span != 0 {
		p, ok := state.Sums[q.Span]
		if !ok || q.Step != 0 || q.BySource {
			return nil, fmt.Errorf("%w: sums of %v", tenancy.ErrInvalid, q.Span)
		}
		return []piece{{table: table{name: sumsTable}, from: p.To, to: p.To.Add(time.Microsecond), span: nameOfSpan(q.Span)}}, nil
	}
	all := plan(q.Period, q.Step, state)
	switch {
	case len(all) == 0:
		return nil, nil
	case q.BySource: // longer rows do not have it
		all = []piece{{table: partsTable, from: all[0].from, to: all[len(all)-1].to}}
	case q.Fleet && q.Scope.IsAll() && len(q.Tenants) == 0 && !q.ByTenant:
		return together(withLate(all), state.Fleet), nil
	case q.Step == 0:
		all = withMonths(all, state.Months)
	}
	return withLate(all), nil
}

// from returns what a piece is read from, with its conditions, and their arguments.
func (p *piece) sql(c *conditions) (from string, args []any) {
	between := `u.bucket >= ? AND u.bucket < ?`
	span := []any{p.from.UnixMicro(), p.to.UnixMicro()}
	if p.fleet {
		return ` FROM ` + fleetTable + ` u WHERE u.step = ? AND ` + between, append([]any{p.table.row.Microseconds()}, span...)
	}
	if p.span != "" {
		between = `u.span = ? AND u.bucket = ?`
		span = []any{p.span, p.from.UnixMicro()}
	}
	return ` FROM ` + p.table.name + ` u JOIN tenancy_usage_tenants t ON t.tenant_key = u.tenant_key WHERE ` + c.String() + ` AND ` + between, append(slices.Clone(c.args), span...)
}

// ranked finds the first tenants by one column, and sums up the others for these alone.
func (s *SQL) ranked(ctx context.Context, q *SumQuery, c *conditions, pieces []piece) ([]SumRow, error) {
	first := *q
	first.Columns = []Column{q.Order}
	order, err := s.summed(ctx, &first, c, pieces)
	if err != nil || len(order) == 0 || !q.ByTenant || q.Step > 0 || q.BySource {
		if err == nil && len(order) > 0 {
			return s.summed(ctx, q, c, pieces)
		}
		return nil, err
	}
	rest := *q
	rest.Top, rest.Tenants = 0, nil
	place := map[tenancy.ID]int{}
	for i := range order {
		rest.Tenants = append(rest.Tenants, order[i].Tenant)
		place[order[i].Tenant] = i
	}
	rows, err := s.summed(ctx, &rest, scoped(q.Scope, rest.Tenants), pieces)
	slices.SortFunc(rows, func(a, b SumRow) int { return place[a.Tenant] - place[b.Tenant] })
	return rows, err
}

// grouped returns the columns by which rows of a query are grouped.
func grouped(q *SumQuery) (id, start, source string) {
	id, start, source = `''`, `0`, `0`
	if q.ByTenant {
		id = `t.id`
	}
	if q.Step > 0 {
		start = fmt.Sprintf(`u.bucket - (u.bucket + %d) %% %d`, shiftOf(q.Step), q.Step.Microseconds())
	}
	if q.BySource {
		source = `u.source`
	}
	return id, start, source
}

// merged adds the numbers in SQL, and here what SQL cannot add: buckets of latency, and own
// counts.
func (s *SQL) merged(ctx context.Context, q *SumQuery, c *conditions, pieces []piece) ([]SumRow, error) {
	g := newGroups(q)
	numbers := *q
	numbers.Top = 0
	rows, err := s.summed(ctx, &numbers, c, pieces)
	if err != nil {
		return nil, err
	}
	ids := make(map[string]tenancy.ID, len(rows)) // or each row would have a copy of its ID
	for i := range rows {
		ids[string(rows[i].Tenant)] = rows[i].Tenant
		g.add(rows[i].Tenant, toMicros(rows[i].Start), rows[i].Source, &rows[i].Counts)
	}
	_, _, source := grouped(q)
	for _, p := range pieces {
		id := `''`
		if q.ByTenant {
			id = `t.id`
		}
		from, args := p.sql(c)
		query := `SELECT ` + id + `, u.bucket, ` + source + `, u.latency, u.own` + from + ` AND (u.latency IS NOT NULL OR u.own IS NOT NULL)`
		err := s.each(ctx, s.db, query, args, func(r *sql.Rows) error {
			var id, latency, own sql.RawBytes
			var start, source int64
			if err := r.Scan(&id, &start, &source, &latency, &own); err != nil {
				return err
			}
			tenant, ok := ids[string(id)]
			if !ok { // it came meanwhile
				tenant = tenancy.ID(id)
				ids[string(id)] = tenant
			}
			s.unpack(g.of(tenant, start, source), latency, string(own))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return g.rows(), nil
}

// unpack adds what a row has of latencies and own counts. What cannot be read is logged and
// left out: the other counts are right.
func (s *SQL) unpack(c *Counts, latency []byte, own string) {
	if err := errors.Join(c.Latency.unpack(latency), c.unpackOwn(own)); err != nil {
		s.opts.Logger.Error("analytics: a row of usage has a part that cannot be read; it is left out", slog.Any("error", err))
	}
}

// summed adds rows in SQL, over all pieces at once.
func (s *SQL) summed(ctx context.Context, q *SumQuery, c *conditions, pieces []piece) ([]SumRow, error) {
	id, start, source := grouped(q)
	columns := q.Columns
	if len(columns) == 0 {
		columns = Columns()
	}
	if q.Top > 0 && !slices.Contains(columns, q.Order) {
		columns = append(slices.Clone(columns), q.Order)
	}
	var sums, names []string
	for _, col := range columns {
		names = append(names, `u.`+col.String())
		sums = append(sums, aggregate(col)+`(`+col.String()+`)`)
	}
	var from []string
	var args []any
	for _, p := range pieces {
		these, more := p.sql(c)
		from = append(from, `SELECT `+id+` AS tenant, `+start+` AS start_at, `+source+` AS source_id, `+strings.Join(names, `, `)+these)
		args = append(args, more...)
	}
	query := `SELECT tenant, start_at, source_id, ` + strings.Join(sums, `, `) + ` FROM (` + strings.Join(from, ` UNION ALL `) + `) u GROUP BY tenant, start_at, source_id`
	if q.Top > 0 {
		query += ` ORDER BY COALESCE(` + aggregate(q.Order) + `(` + q.Order.String() + `), 0) DESC, tenant, start_at, source_id LIMIT ?`
		args = append(args, q.Top)
	} else {
		query += ` ORDER BY tenant, start_at, source_id`
	}
	var rows []SumRow
	err := s.each(ctx, s.db, query, args, func(r *sql.Rows) error {
		var row SumRow
		var start int64
		err := r.Scan(append([]any{&row.Tenant, &start, &row.Source}, scannedOf(&row.Counts, columns)...)...)
		row.Start = fromMicros(start)
		rows = append(rows, row)
		return err
	})
	return rows, err
}

func aggregate(c Column) string {
	if columnInfos[c].largest {
		return `MAX`
	}
	return `SUM`
}

// scanned returns what the columns of counts are read into: 0 for NULL.
func scanned(c *Counts) []any { return scannedOf(c, Columns()) }

func scannedOf(c *Counts, columns []Column) []any {
	into := make([]any, len(columns))
	for i, col := range columns {
		into[i] = (*orZero)(&c.Values[col])
	}
	return into
}

// orZero is an integer that is 0 where SQL has NULL. Sums are decimals in some dialects.
type orZero int64

// Scan implements [sql.Scanner].
func (z *orZero) Scan(src any) error {
	var n sql.NullInt64
	err := n.Scan(src)
	*z = orZero(n.Int64)
	return err
}
