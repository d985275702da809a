package analytics

import (
	"context"
	"database/sql"
	"fmt"
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
	for _, g := range sumGroups() {
		to := state.Minutes.Truncate(g.step)
		if g.days {
			to = state.Hours.Truncate(g.step)
		}
		was := fromMicros(values[stateSums+nameOfSpan(g.spans[0])])
		if to.IsZero() || to.UnixMicro() <= 0 || !again && !to.After(was) {
			continue
		}
		if err := u.sumAll(ctx, g, to, state, was); err != nil {
			return fmt.Errorf("adding up %s: %w", nameOfSpan(g.spans[0]), err)
		}
	}
	if !again {
		return nil
	}
	return u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return u.s.setState(ctx, tx, stateSeen, time.UnixMicro(values[stateReopened]))
	})
}

// tenantsAtOnce is of how many tenants sums are made in one transaction.
const tenantsAtOnce = 500

// sumAll makes the sums of a group up to that time. Whoever reads finds those before until
// all are made.
func (u *upkeep) sumAll(ctx context.Context, g sumGroup, to time.Time, state *State, was time.Time) error {
	for after := int64(lastOwnKey); ; {
		var keys []int64
		err := u.s.db.SelectContext(ctx, &keys, u.s.dialect.Rebind(`SELECT tenant_key FROM tenancy_usage_tenants WHERE tenant_key > ? AND gone = 0 ORDER BY tenant_key LIMIT ?`), after, tenantsAtOnce)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			break
		}
		last := keys[len(keys)-1]
		if err := u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return u.sumSome(ctx, tx, g, to, state, after, last) }); err != nil {
			return err
		}
		after = last
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

// sumSome makes the sums of tenants with keys behind the one and up to the other.
func (u *upkeep) sumSome(ctx context.Context, tx *sqlx.Tx, g sumGroup, to time.Time, state *State, after, last int64) error {
	sums := map[time.Duration]map[int64]*Counts{}
	for _, span := range g.spans {
		sums[span] = map[int64]*Counts{}
	}
	longest := sumFrom(slices.Max(g.spans), to)
	pieces := []piece{{table: minutesTable, from: longest, to: to}}
	if g.days {
		hours := sumFrom(day, to) // of the day, and of those that have no row yet
		if days := state.Days; days.Before(hours) {
			hours = days
		}
		pieces = []piece{{table: daysTable, from: longest, to: state.Days}, {table: hoursTable, from: hours, to: to}}
	}
	for _, p := range append(pieces, piece{table: lateTable, from: longest, to: to}) {
		query := `SELECT tenant_key, bucket, ` + strings.Join(countColumns(), `, `) + ` FROM ` + p.table.name + ` WHERE tenant_key > ? AND tenant_key <= ? AND bucket >= ? AND bucket < ?`
		err := u.s.each(ctx, tx, query, []any{after, last, p.from.UnixMicro(), p.to.UnixMicro()}, func(r *sql.Rows) error {
			var key, bucket int64
			var counts Counts
			if err := u.s.scanCounts(r, &counts, &key, &bucket); err != nil {
				return err
			}
			for _, span := range g.spans {
				switch at := time.UnixMicro(bucket); {
				case at.Before(sumFrom(span, to)), p.table == daysTable && span <= day, p.table == hoursTable && span > day && at.Before(state.Days):
					continue
				}
				if sums[span][key] == nil {
					sums[span][key] = &Counts{}
				}
				sums[span][key].Add(&counts)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for span, counts := range sums {
		if err := u.writeSums(ctx, tx, nameOfSpan(span), to.UnixMicro(), after, last, counts); err != nil {
			return err
		}
	}
	return nil
}

// writeSums replaces the sums of those tenants.
func (u *upkeep) writeSums(ctx context.Context, tx *sqlx.Tx, span string, bucket, after, last int64, counts map[int64]*Counts) error {
	_, err := tx.ExecContext(ctx, u.s.dialect.Rebind(`DELETE FROM `+sumsTable+` WHERE span = ? AND bucket = ? AND tenant_key > ? AND tenant_key <= ?`), span, bucket, after, last)
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
	slices.SortFunc(rows, func(a, b []any) int { return int(a[2].(int64) - b[2].(int64)) })
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
