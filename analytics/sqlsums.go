package analytics

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

const (
	sumsTable   = "tenancy_usage_sums"
	fleetTable  = "tenancy_usage_fleet"
	spreadTable = "tenancy_usage_spread"
)

// Names of rows of the state's table.
const (
	stateFleet    = "fleet"     // from when on there are rows of all tenants
	stateTenants  = "tenants"   // how many there were when they were last compared with the catalog
	stateReopened = "reopened"  // how often hours were opened again
	stateSeen     = "sums_seen" // of these, what is in the sums
	stateSums     = "sums_"     // with the span: up to when it goes
)

// sumGroup are spans that are made in one go.
type sumGroup struct {
	spans []time.Duration
	step  time.Duration // how often they are made
	days  bool          // of hours and days, or of minutes
}

func sumGroups() []sumGroup {
	return []sumGroup{
		{[]time.Duration{time.Hour}, 5 * time.Minute, false},
		{[]time.Duration{day, 7 * day, 30 * day, 90 * day}, time.Hour, true},
	}
}

// sumFrom returns the begin of a span that goes up to that time. Longer ones begin with a
// day.
func sumFrom(span time.Duration, to time.Time) time.Time {
	if span > day {
		return to.Truncate(day).Add(-span)
	}
	return to.Add(-span)
}

// staleSums is how old sums may be to be read: an hour's are made anew twelve times as
// often.
func staleSums(span time.Duration) time.Duration {
	if span <= time.Hour {
		return 20 * time.Minute
	}
	return 3 * time.Hour
}

// sums makes the sums of all spans anew for which there are newer rows.
func (u *upkeep) sums(ctx context.Context) error {
	state, values, err := u.s.marks(ctx)
	if err != nil {
		return err
	}
	again := values[stateReopened] != values[stateSeen]
	var all steps
	for _, g := range sumGroups() {
		to := state.Minutes.Truncate(g.step)
		if g.days {
			to = state.Hours.Truncate(g.step)
		}
		was := fromMicros(values[stateSums+nameOfSpan(g.spans[0])])
		if to.IsZero() || to.UnixMicro() <= 0 || !again && !to.After(was) {
			continue
		}
		all.do(ctx, "of "+nameOfSpan(g.spans[0]), func() error { return u.sumAll(ctx, g, to, state, was) })
	}
	if !again || len(all) > 0 {
		return errors.Join(all...)
	}
	return u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return u.s.setState(ctx, tx, stateSeen, time.UnixMicro(values[stateReopened]))
	})
}

// tenantsAtOnce is of how many tenants long rows and sums are made in one transaction.
const tenantsAtOnce = 500

// sumAll makes the sums of a group up to that time. A reader finds those before until
// all are made.
func (u *upkeep) sumAll(ctx context.Context, g sumGroup, to time.Time, state *State, was time.Time) error {
	ranges, err := u.ranges(ctx)
	if err != nil {
		return err
	}
	for _, r := range ranges {
		r.after = max(r.after, lastOwnKey)
		for _, span := range g.spans {
			err := u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return u.sumSome(ctx, tx, g, span, to, state, r) })
			if err != nil {
				return err
			}
		}
	}
	for _, span := range g.spans {
		name := nameOfSpan(span)
		err := u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return u.s.setState(ctx, tx, stateSums+name, to) })
		if err != nil {
			return err
		}
		// Those before stay for who has just asked where they are.
		if err := u.deleteAll(ctx, sumsTable, "span, bucket, tenant_key", `span = ? AND bucket <> ? AND bucket <> ?`, name, to.UnixMicro(), toMicros(was)); err != nil {
			return err
		}
	}
	return nil
}

// sumSome makes the sums of some tenants: of minutes, or of days that were rolled up, of
// the hours behind them, and of what came late.
func (u *upkeep) sumSome(ctx context.Context, tx *sqlx.Tx, g sumGroup, span time.Duration, to time.Time, state *State, r keyRange) error {
	from := sumFrom(span, to)
	pieces := []piece{{table: minutesTable, from: from, to: to}}
	switch {
	case g.days && span > day:
		pieces = []piece{{table: daysTable, from: from, to: state.Days}, {table: hoursTable, from: latest(from, state.Days), to: to}}
	case g.days:
		pieces[0].table = hoursTable
	}
	sums := map[int64]*Counts{}
	for _, p := range append(pieces, piece{table: lateTable, from: from, to: to}) {
		if err := u.addUp(ctx, tx, p.table, r, Period{p.from, p.to}, sums); err != nil {
			return err
		}
	}
	return u.writeSums(ctx, tx, nameOfSpan(span), to.UnixMicro(), r, sums)
}

// months makes the sums of the months whose days were rolled up.
func (u *upkeep) months(ctx context.Context) error {
	for {
		more, err := u.month(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// month makes the sums of the next month, in transactions of some tenants each: until the last
// one nobody reads them. It reports whether there may be another.
func (u *upkeep) month(ctx context.Context) (more bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	state, values, err := u.s.marks(ctx)
	if err != nil {
		return false, err
	}
	var first sql.NullInt64
	err = sqlx.GetContext(ctx, u.s.db, &first, u.s.dialect.Rebind(`SELECT MIN(bucket) FROM `+daysTable.name+` WHERE bucket >= ?`), values[stateMonths])
	if err != nil || !first.Valid {
		return false, err
	}
	from := monthOf(fromMicros(first.Int64))
	to := from.AddDate(0, 1, 0)
	if state.Days.Before(to) {
		return false, nil
	}
	ranges, err := u.ranges(ctx)
	if err != nil {
		return false, err
	}
	for _, r := range ranges {
		err := u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
			sums := map[int64]*Counts{}
			if err := u.addUp(ctx, tx, daysTable, r, Period{from, to}, sums); err != nil {
				return err
			}
			return u.writeSums(ctx, tx, spanMonth, from.UnixMicro(), r, sums)
		})
		if err != nil {
			return false, err
		}
	}
	return true, u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := u.s.lockState(ctx, tx, exclusive); err != nil {
			return err
		}
		var days int64
		if err := sqlx.GetContext(ctx, tx, &days, u.s.dialect.Rebind(`SELECT value FROM tenancy_usage_state WHERE name = ?`), stateDays); err != nil {
			return err
		}
		if fromMicros(days).Before(to) { // a late flush opened the month again
			return nil
		}
		return u.s.setState(ctx, tx, stateMonths, to)
	})
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// writeSums replaces the sums of those tenants.
func (u *upkeep) writeSums(ctx context.Context, tx *sqlx.Tx, span string, bucket int64, r keyRange, counts map[int64]*Counts) error {
	_, err := tx.ExecContext(ctx, u.s.dialect.Rebind(`DELETE FROM `+sumsTable+` WHERE span = ? AND bucket = ? AND tenant_key > ? AND tenant_key <= ?`), span, bucket, r.after, r.last)
	if err != nil {
		return err
	}
	rows := make([][]any, 0, len(counts))
	for key, c := range counts {
		row, err := countValues([]any{span, bucket, key}, c)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b []any) int { return cmp.Compare(a[2].(int64), b[2].(int64)) })
	return u.s.insert(ctx, tx, `INSERT INTO `+sumsTable+` (span, bucket, tenant_key, `+strings.Join(countColumns(), `, `)+`) VALUES `, "", rows)
}

// writeFleet writes the row of all tenants of a period, and how an hour is spread over
// them.
func (u *upkeep) writeFleet(ctx context.Context, tx *sqlx.Tx, longer table, from time.Time, sums map[int64]*Counts) error {
	step, bucket := longer.row.Microseconds(), from.UnixMicro()
	if _, err := tx.ExecContext(ctx, u.s.dialect.Rebind(`DELETE FROM `+fleetTable+` WHERE step = ? AND bucket = ?`), step, bucket); err != nil {
		return err
	}
	var all Counts
	tenants := 0
	for key, c := range sums {
		if key > lastOwnKey {
			all.Add(c)
			tenants++
		}
	}
	if tenants > 0 {
		row, err := countValues([]any{step, bucket, tenants}, &all)
		if err == nil {
			err = u.s.insert(ctx, tx, `INSERT INTO `+fleetTable+` (step, bucket, tenants, `+strings.Join(countColumns(), `, `)+`) VALUES `, "", [][]any{row})
		}
		if err != nil {
			return err
		}
	}
	if longer != hoursTable {
		return nil
	}
	if _, err := tx.ExecContext(ctx, u.s.dialect.Rebind(`DELETE FROM `+spreadTable+` WHERE bucket = ?`), bucket); err != nil {
		return err
	}
	var rows [][]any
	for name, s := range spreads(sums) {
		rows = append(rows, []any{bucket, name, s.Tenants, s.Median, s.P90, s.P99})
	}
	return u.s.insert(ctx, tx, `INSERT INTO `+spreadTable+` (bucket, measure, tenants, median, p90, p99) VALUES `, "", rows)
}

var _ SpreadSource = (*SQL)(nil)

// Spread implements [SpreadSource].
func (s *SQL) Spread(ctx context.Context, names []string, p Period) ([]SpreadRow, error) {
	var rows []SpreadRow
	query, args, err := sqlx.In(`SELECT bucket, measure, tenants, median, p90, p99 FROM `+spreadTable+` WHERE measure IN (?) AND bucket >= ? AND bucket < ? ORDER BY measure, bucket`,
		names, p.From.UnixMicro(), p.To.UnixMicro())
	if err == nil {
		err = s.each(ctx, s.db, query, args, func(r *sql.Rows) error {
			var row SpreadRow
			var at int64
			err := r.Scan(&at, &row.Name, &row.Tenants, &row.Median, &row.P90, &row.P99)
			row.Hour = fromMicros(at)
			rows = append(rows, row)
			return err
		})
	}
	return rows, wrap("analytics.SQL.Spread", err)
}
