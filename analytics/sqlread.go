package analytics

import (
	"context"
	"database/sql"
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
// any, of the tenants to choose from. The rows of no tenant are those of whoever may see
// all, and asks for them.
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
	if len(ids) > 0 {
		c.in(`t.id IN (?)`, ids)
	}
	switch {
	case scope.IsAll() || c.none:
	case len(scope.Tags()) > 0:
		c.in(`t.tenant_key IN (SELECT tenant_key FROM tenancy_usage_tags WHERE tag IN (?))`, scope.Tags())
	default:
		c.in(`t.id IN (?)`, scope.IDs())
	}
	return c
}

// State implements [Source].
func (s *SQL) State(ctx context.Context) (*State, error) {
	state, err := s.state(ctx)
	return state, wrap("analytics.SQL.State", err)
}

// remembered is how long an instance that does not write any more is listed.
const remembered = time.Hour

func (s *SQL) state(ctx context.Context) (*State, error) {
	now, err := s.now(ctx, s.db)
	if err != nil {
		return nil, err
	}
	state := &State{Now: now, Instances: []Instance{}}
	err = s.each(ctx, s.db, `SELECT name, value FROM tenancy_usage_state`, nil, func(r *sql.Rows) error {
		var name string
		var us int64
		err := r.Scan(&name, &us)
		if at, ok := map[string]*time.Time{
			stateCatalog: &state.Catalog, stateMinutes: &state.Minutes, stateHours: &state.Hours, stateDays: &state.Days,
		}[name]; ok {
			*at = fromMicros(us)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
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
	err = s.each(ctx, s.db, `SELECT id, name, started_at, flushed_at, ended, flush_interval, clock_offset, cpu_time, rss, heap, dropped, recorded
		FROM tenancy_usage_instances WHERE flushed_at > ? ORDER BY name, started_at`, []any{now.Add(-remembered).UnixMicro()}, func(r *sql.Rows) error {
		var i Instance
		var started, flushed, ended, interval, offset, cpu, set int64
		err := r.Scan(&i.ID, &i.Name, &started, &flushed, &ended, &interval, &offset, &cpu, &i.RSS, &i.Heap, &i.Dropped, &set)
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
	state, err := s.state(ctx)
	if err != nil {
		return nil, err
	}
	pieces := withLate(plan(q.Period, q.Step, state))
	if len(pieces) == 0 {
		return nil, nil
	}
	if q.BySource { // longer rows do not have it
		pieces = withLate([]piece{{partsTable, pieces[0].from, pieces[len(pieces)-1].to}})
	}
	if q.Latency {
		return s.merged(ctx, q, c, pieces)
	}
	return s.summed(ctx, q, c, pieces)
}

// grouped returns the columns by which rows of a query are grouped.
func grouped(q *SumQuery) (id, start, source string) {
	id, start, source = `''`, `0`, `0`
	if q.ByTenant {
		id = `t.id`
	}
	if q.Step > 0 {
		start = fmt.Sprintf(`u.bucket - u.bucket %% %d`, q.Step.Microseconds())
	}
	if q.BySource {
		source = `u.source`
	}
	return id, start, source
}

// merged reads all rows and merges them here: buckets of latency cannot be added in SQL.
func (s *SQL) merged(ctx context.Context, q *SumQuery, c *conditions, pieces []piece) ([]SumRow, error) {
	g := newGroups(q)
	_, _, from := grouped(q)
	for _, p := range pieces {
		query := `SELECT t.id, u.bucket, ` + from + `, ` + strings.Join(countColumns(), `, `) + ` FROM ` + p.table.name +
			` u JOIN tenancy_usage_tenants t ON t.tenant_key = u.tenant_key WHERE ` + c.String() + ` AND u.bucket >= ? AND u.bucket < ?`
		args := append(slices.Clone(c.args), p.from.UnixMicro(), p.to.UnixMicro())
		err := s.each(ctx, s.db, query, args, func(r *sql.Rows) error {
			var id tenancy.ID
			var start, source int64
			var counts Counts
			if err := s.scanCounts(r, &counts, &id, &start, &source); err != nil {
				return err
			}
			g.add(id, start, source, &counts)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return g.rows(), nil
}

// scanCounts reads a row of the columns before, and of countColumns. What cannot be
// read of latencies and own counts is logged and left out: the other counts are right.
func (s *SQL) scanCounts(r *sql.Rows, c *Counts, before ...any) error {
	var latency []byte
	var own sql.NullString
	if err := r.Scan(append(append(before, scanned(c)...), &latency, &own)...); err != nil {
		return err
	}
	if err := errors.Join(c.Latency.unpack(latency), c.unpackOwn(own.String)); err != nil {
		logger(s.opts.Logger).Error("a row of usage has a part that cannot be read; it is left out", slog.Any("error", err))
	}
	return nil
}

// summed adds rows in SQL, over all pieces at once.
func (s *SQL) summed(ctx context.Context, q *SumQuery, c *conditions, pieces []piece) ([]SumRow, error) {
	id, start, source := grouped(q)
	var sums, names []string
	for _, col := range Columns() {
		names = append(names, `u.`+col.String())
		sums = append(sums, aggregate(col)+`(`+col.String()+`)`)
	}
	var from []string
	var args []any
	for _, p := range pieces {
		from = append(from, `SELECT `+id+` AS tenant, `+start+` AS start_at, `+source+` AS source_id, `+strings.Join(names, `, `)+` FROM `+p.table.name+
			` u JOIN tenancy_usage_tenants t ON t.tenant_key = u.tenant_key WHERE `+c.String()+` AND u.bucket >= ? AND u.bucket < ?`)
		args = append(append(args, c.args...), p.from.UnixMicro(), p.to.UnixMicro())
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
		err := r.Scan(append([]any{&row.Tenant, &start, &row.Source}, scanned(&row.Counts)...)...)
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
func scanned(c *Counts) []any {
	into := make([]any, numColumns)
	for i := range into {
		into[i] = (*orZero)(&c.Values[i])
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
