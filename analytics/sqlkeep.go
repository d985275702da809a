package analytics

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

const leaseTable = "tenancy_usage_leases"

// leaseTime is how long after the death of its holder a lease ends. Tests have a longer one.
var leaseTime = time.Minute

// Hold implements [Keepable], by a lease in the database.
func (s *SQL) Hold(ctx context.Context, fn func(context.Context, Upkeep) error) error {
	ran := false
	leases, err := sqlkit.NewLeases(s.db, leaseTable)
	if err == nil {
		err = leases.Do(ctx, "keeper", leaseTime, func(ctx context.Context, lease *sqlkit.Lease) error {
			ran = true
			return fn(ctx, &upkeep{s, lease})
		})
	}
	if !ran && !sqlkit.Held(err) {
		err = notLimited(err)
	}
	return wrap("analytics.SQL.Hold", err)
}

// upkeep is the store, while this process holds the lease. Each transaction checks that
// it still does.
type upkeep struct {
	s     *SQL
	lease *sqlkit.Lease
}

func (u *upkeep) tx(ctx context.Context, fn func(context.Context, *sqlx.Tx) error) error {
	return u.s.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := u.lease.Lock(ctx, tx); err != nil {
			return err
		}
		return fn(ctx, tx)
	})
}

// Now implements [Upkeep].
func (u *upkeep) Now(ctx context.Context) (time.Time, error) { return u.s.now(ctx, u.s.db) }

// Listed implements [Upkeep].
func (u *upkeep) Listed(ctx context.Context, page []*tenancy.Tenant, began time.Time) error {
	if len(page) == 0 {
		return nil
	}
	ids := make([]tenancy.ID, len(page))
	for i, t := range page {
		ids[i] = t.ID
	}
	return u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := u.s.writeTenants(ctx, tx, page, began); err != nil {
			return err
		}
		for chunk := range slices.Chunk(ids, 500) {
			query, args, err := sqlx.In(`UPDATE tenancy_usage_tenants SET listed_at = ?, gone = 0 WHERE id IN (?)`, began.UnixMicro(), chunk)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, u.s.dialect.Rebind(query), args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// ListedAll implements [Upkeep].
func (u *upkeep) ListedAll(ctx context.Context, began time.Time) error {
	return u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var gone []int64
		err := tx.SelectContext(ctx, &gone, u.s.dialect.Rebind(`SELECT tenant_key FROM tenancy_usage_tenants WHERE listed_at < ? AND gone = 0 AND tenant_key > ? ORDER BY tenant_key`),
			began.UnixMicro(), lastOwnKey)
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(gone, 500) {
			if err := u.goes(ctx, tx, chunk); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, u.s.dialect.Rebind(`UPDATE tenancy_usage_state SET value = (SELECT COUNT(*) FROM tenancy_usage_tenants WHERE gone = 0 AND tenant_key > ?) WHERE name = ?`),
			lastOwnKey, stateTenants)
		if err != nil {
			return err
		}
		return u.s.setState(ctx, tx, stateCatalog, began)
	})
}

func (s *SQL) setState(ctx context.Context, tx sqlx.ExecerContext, name string, at time.Time) error {
	_, err := tx.ExecContext(ctx, s.dialect.Rebind(`UPDATE tenancy_usage_state SET value = ? WHERE name = ?`), at.UnixMicro(), name)
	return err
}

// settling is how long after its end a minute is rolled up, so that instances have
// flushed it.
const settling = 30 * time.Second

// rollUps are the steps from parts to days.
var rollUps = []struct {
	from, to   table
	done, upTo string // names of the state: what to has, and what from has
}{
	{partsTable, minutesTable, stateMinutes, ""},
	{minutesTable, hoursTable, stateHours, stateMinutes},
	{hoursTable, daysTable, stateDays, stateHours},
}

// RollUp implements [Upkeep]. Each row of the longer table is made of all rows of the
// shorter one, in a transaction for each period.
func (u *upkeep) RollUp(ctx context.Context) error {
	var all steps
	for i := range rollUps {
		all.do(ctx, "rolling up "+rollUps[i].to.name, func() error {
			for {
				if more, err := u.rollUp(ctx, i); err != nil || !more {
					return err
				}
			}
		})
	}
	all.do(ctx, "rolling up "+statementsTable, func() error { return u.rollUpStatements(ctx) })
	all.do(ctx, "adding up months", func() error { return u.months(ctx) })
	all.do(ctx, "adding up spans", func() error { return u.sums(ctx) })
	return errors.Join(all...)
}

// steps are the errors of steps of which one that fails does not keep the others from being
// done: what each does depends on what is in the store, and not on the others of this round.
type steps []error

func (s *steps) do(ctx context.Context, what string, step func() error) {
	if ctx.Err() != nil && len(*s) > 0 {
		return // it would fail as the one before
	}
	if err := step(); err != nil {
		*s = append(*s, fmt.Errorf("%s: %w", what, err))
	}
}

// rollUp makes the rows of the next period. It reports whether there may be another.
func (u *upkeep) rollUp(ctx context.Context, i int) (more bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	step := rollUps[i]
	var from time.Time
	sums := map[int64]*Counts{}
	one := func(ctx context.Context, tx *sqlx.Tx) error {
		// Writes that are under way are waited for: the rows of theirs are seen.
		if _, err := u.s.lockState(ctx, tx, exclusive); err != nil {
			return err
		}
		now, err := u.s.now(ctx, tx)
		if err != nil {
			return err
		}
		var end time.Time
		from, end, err = u.span(ctx, tx, i, now)
		if err != nil || !from.Before(end) {
			more = false
			return err
		}
		more = true
		if step.upTo != "" {
			return nil
		}
		clear(sums)
		if err := u.merge(ctx, tx, step.from, step.to, from, everyTenant, sums); err != nil {
			return err
		}
		return u.rolledUp(ctx, tx, step.to, step.done, from, sums)
	}
	err = u.s.withPartitions(ctx, step.to, func() []time.Time { return []time.Time{from} }, func() error { return u.tx(ctx, one) })
	if err != nil || !more || step.upTo == "" {
		return more, err
	}
	return true, u.rollUpLong(ctx, i, from, sums)
}

// rollUpLong makes the rows of a long period, in transactions of some tenants each: until
// the last one nobody reads them. It changes nothing if a late flush opened the period
// again meanwhile.
func (u *upkeep) rollUpLong(ctx context.Context, i int, from time.Time, sums map[int64]*Counts) error {
	step := rollUps[i]
	if err := u.s.partition(ctx, step.to, from); err != nil {
		return err
	}
	ranges, err := u.ranges(ctx)
	if err != nil {
		return err
	}
	for _, r := range ranges {
		some := map[int64]*Counts{}
		err := u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
			clear(some)
			return u.merge(ctx, tx, step.from, step.to, from, r, some)
		})
		if err != nil {
			return err
		}
		maps.Copy(sums, some)
	}
	return u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := u.s.lockState(ctx, tx, exclusive); err != nil {
			return err
		}
		var upTo int64
		if err := sqlx.GetContext(ctx, tx, &upTo, u.s.dialect.Rebind(`SELECT value FROM tenancy_usage_state WHERE name = ?`), step.upTo); err != nil {
			return err
		}
		if time.UnixMicro(upTo).Before(from.Add(step.to.row)) {
			return nil
		}
		return u.rolledUp(ctx, tx, step.to, step.done, from, sums)
	})
}

// keyRange are the tenants with keys behind the one, up to the other.
type keyRange struct{ after, last int64 }

var everyTenant = keyRange{math.MinInt64, math.MaxInt64}

// ranges returns ranges of tenantsAtOnce tenants each, and all keys between.
func (u *upkeep) ranges(ctx context.Context) (all []keyRange, err error) {
	next := everyTenant.after
	for {
		var keys []int64
		err := u.s.db.SelectContext(ctx, &keys, u.s.dialect.Rebind(`SELECT tenant_key FROM tenancy_usage_tenants WHERE tenant_key > ? ORDER BY tenant_key LIMIT ?`), next, tenantsAtOnce)
		if err != nil || len(keys) < tenantsAtOnce {
			return append(all, keyRange{next, everyTenant.last}), err
		}
		all = append(all, keyRange{next, keys[len(keys)-1]})
		next = keys[len(keys)-1]
	}
}

// span returns the begin of the next period, and up to when there is something to roll
// up.
func (u *upkeep) span(ctx context.Context, tx *sqlx.Tx, i int, now time.Time) (from, end time.Time, err error) {
	step := rollUps[i]
	var done, upTo int64
	if err := sqlx.GetContext(ctx, tx, &done, u.s.dialect.Rebind(`SELECT value FROM tenancy_usage_state WHERE name = ?`), step.done); err != nil {
		return from, end, err
	}
	end = now.Add(-settling).Truncate(time.Minute)
	if step.upTo != "" {
		if err := sqlx.GetContext(ctx, tx, &upTo, u.s.dialect.Rebind(`SELECT value FROM tenancy_usage_state WHERE name = ?`), step.upTo); err != nil {
			return from, end, err
		}
		end = time.UnixMicro(upTo).UTC().Truncate(step.to.row)
	}
	// Periods without a row are passed over at once.
	var first sql.NullInt64
	err = sqlx.GetContext(ctx, tx, &first, u.s.dialect.Rebind(`SELECT MIN(bucket) FROM `+step.from.name+` WHERE bucket >= ?`), done)
	if err != nil {
		return from, end, err
	}
	if !first.Valid || !time.UnixMicro(first.Int64).Before(end) {
		if time.UnixMicro(done).Before(end) {
			return end, end, u.s.setState(ctx, tx, step.done, end)
		}
		return end, end, nil
	}
	return time.UnixMicro(first.Int64).UTC().Truncate(step.to.row), end, nil
}

// merge makes the rows of one period of the longer table, from those of the shorter one
// in order of tenants, and puts them into sums.
func (u *upkeep) merge(ctx context.Context, tx *sqlx.Tx, shorter, longer table, from time.Time, r keyRange, sums map[int64]*Counts) error {
	to := from.Add(longer.row)
	if err := u.addUp(ctx, tx, shorter, r, Period{from, to}, sums); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, u.s.dialect.Rebind(`DELETE FROM `+longer.name+` WHERE tenant_key > ? AND tenant_key <= ? AND bucket >= ? AND bucket < ?`), r.after, r.last, from.UnixMicro(), to.UnixMicro())
	if err != nil {
		return err
	}
	rows := make([][]any, 0, len(sums))
	for key, counts := range sums {
		row, err := countValues([]any{key, from.UnixMicro()}, counts)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b []any) int { return cmp.Compare(a[0].(int64), b[0].(int64)) })
	head := `INSERT INTO ` + longer.name + ` (tenant_key, bucket, ` + strings.Join(countColumns(), `, `) + `) VALUES `
	return u.s.insert(ctx, tx, head, "", rows)
}

// addUp adds what is in rows of a table to the sums of their tenants: numbers in SQL, and
// what SQL cannot add here.
func (u *upkeep) addUp(ctx context.Context, tx *sqlx.Tx, from table, r keyRange, p Period, sums map[int64]*Counts) error {
	var columns []string
	for _, c := range Columns() {
		columns = append(columns, aggregate(c)+`(`+c.String()+`)`)
	}
	of := func(key int64) *Counts {
		if sums[key] == nil {
			sums[key] = &Counts{}
		}
		return sums[key]
	}
	where := ` FROM ` + from.name + ` WHERE tenant_key > ? AND tenant_key <= ? AND bucket >= ? AND bucket < ?`
	args := []any{r.after, r.last, p.From.UnixMicro(), p.To.UnixMicro()}
	err := u.s.each(ctx, tx, `SELECT tenant_key, `+strings.Join(columns, `, `)+where+` GROUP BY tenant_key`, args, func(r *sql.Rows) error {
		var key int64
		var counts Counts
		err := r.Scan(append([]any{&key}, scanned(&counts)...)...)
		of(key).Add(&counts)
		return err
	})
	if err != nil {
		return err
	}
	return u.s.each(ctx, tx, `SELECT tenant_key, latency, own`+where+` AND (latency IS NOT NULL OR own IS NOT NULL)`, args, func(r *sql.Rows) error {
		var key int64
		var latency sql.RawBytes
		var own sql.NullString
		if err := r.Scan(&key, &latency, &own); err != nil {
			return err
		}
		u.s.unpack(of(key), latency, own.String)
		return nil
	})
}

// rolledUp ends the roll-up of a period.
func (u *upkeep) rolledUp(ctx context.Context, tx *sqlx.Tx, longer table, done string, from time.Time, sums map[int64]*Counts) error {
	if err := u.writeFleet(ctx, tx, longer, from, sums); err != nil {
		return err
	}
	return u.s.setState(ctx, tx, done, from.Add(longer.row))
}

// Unsized implements [SizeStore].
func (u *upkeep) Unsized(ctx context.Context, since time.Time, limit int) ([]tenancy.ID, error) {
	var ids []tenancy.ID
	err := u.s.db.SelectContext(ctx, &ids, u.s.dialect.Rebind(`SELECT id FROM tenancy_usage_tenants
		WHERE tenant_key > ? AND gone = 0 AND database_name <> '' AND COALESCE(size_tried_at, 0) < ? ORDER BY COALESCE(size_tried_at, 0), tenant_key LIMIT ?`),
		lastOwnKey, since.UnixMicro(), limit)
	return ids, err
}

// Sized implements [SizeStore].
func (u *upkeep) Sized(ctx context.Context, sizes []Size) error {
	return u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		for _, size := range sizes {
			if err := size.check(); err != nil {
				return err
			}
			at := size.At.UnixMicro()
			query, args := `UPDATE tenancy_usage_tenants SET size_tried_at = ? WHERE id = ?`, []any{at, size.Tenant}
			if size.Bytes >= 0 {
				query = `UPDATE tenancy_usage_tenants SET size_tried_at = ?, storage = ?, sized_at = ? WHERE id = ?`
				args = []any{at, size.Bytes, at, size.Tenant}
			}
			if _, err := tx.ExecContext(ctx, u.s.dialect.Rebind(query), args...); err != nil {
				return err
			}
		}
		return u.s.writeStorage(ctx, tx, sizes)
	})
}

// How long other things are kept.
const (
	keepActivities = 400 * day
	keepInstances  = 100 * day
	keepAddresses  = 30 * day
)

// Retain implements [Upkeep], some rows at a time: a transaction of many locks others
// out.
func (u *upkeep) Retain(ctx context.Context) error {
	state, values, err := u.s.marks(ctx)
	if err != nil {
		return err
	}
	// What was not rolled up yet stays.
	before := func(keep time.Duration, done time.Time) int64 {
		if t := state.Now.Add(-keep); t.Before(done) {
			return t.UnixMicro()
		}
		return toMicros(done)
	}
	never := state.Now
	var all steps
	all.do(ctx, "making partitions", func() error { return u.ahead(ctx, state.Now) })
	for _, r := range []struct {
		table, keys, column string
		before              int64
	}{
		{partsTable.name, "bucket, tenant_key, source", "bucket", before(keepParts, state.Minutes)},
		{minutesTable.name, "tenant_key, bucket", "bucket", before(minutesStay, state.Hours)},
		{hoursTable.name, "tenant_key, bucket", "bucket", before(hoursStay, state.Days)},
		{daysTable.name, "tenant_key, bucket", "bucket", before(keepDays, never)},
		{lateTable.name, "bucket, tenant_key, source", "bucket", before(keepDays, never)},
		{patternsTable, "tenant_key, bucket, source, pattern", "bucket", before(keepPatterns, never)},
		{statementsTable, "tenant_key, bucket, source, fingerprint", "bucket", before(keepMinutes, fromMicros(values[stateStatements]))},
		{statementDaysTable, "tenant_key, bucket, fingerprint", "bucket", before(keepPatterns, never)},
		{statementTextsTable, "fingerprint", "seen_at", before(keepPatterns+2*day, never)},
		{spreadTable, "bucket, measure", "bucket", before(keepHours, never)},
		{storageTable, "tenant_key, bucket", "bucket", before(keepDays, never)},
		{"tenancy_usage_instances", "id", "flushed_at", before(keepInstances, never)},
		{"tenancy_activities", "id", "created_at", before(keepActivities, never)},
		{"tenancy_usage_pulses", "instance", "sent_at", before(time.Minute, never)},
	} {
		all.do(ctx, "removing old rows of "+r.table, func() error {
			if partitioned[r.table] != 0 && u.s.dialect == sqlkit.Postgres {
				return u.drop(ctx, r.table, r.before)
			}
			return u.deleteAll(ctx, r.table, r.keys, r.column+` < ?`, r.before)
		})
	}
	for step, keep := range map[time.Duration]time.Duration{minutesTable.row: minutesStay, hoursTable.row: hoursStay, daysTable.row: keepDays} {
		all.do(ctx, "removing old rows of "+fleetTable, func() error {
			return u.deleteAll(ctx, fleetTable, "step, bucket", `step = ? AND bucket < ?`, step.Microseconds(), before(keep, never))
		})
	}
	all.do(ctx, "removing old rows of "+sumsTable, func() error {
		return u.deleteAll(ctx, sumsTable, "span, bucket, tenant_key", `span = ? AND bucket < ?`, spanMonth, before(keepDays, never))
	})
	all.do(ctx, "shortening addresses", func() error {
		return u.shortenAddresses(ctx, fromMicros(values[stateAddresses]), state.Now.Add(-keepAddresses))
	})
	return errors.Join(all...)
}

// deleteAll removes the rows that meet the condition, in transactions of 5,000.
func (u *upkeep) deleteAll(ctx context.Context, table, keys, condition string, args ...any) error {
	const atOnce = 5000
	query := fmt.Sprintf(`DELETE FROM %[1]s WHERE (%[2]s) IN (SELECT %[2]s FROM %[1]s WHERE %[3]s LIMIT %[4]d)`, table, keys, condition, atOnce)
	if u.s.dialect == sqlkit.MySQL {
		query = fmt.Sprintf(`DELETE FROM %s WHERE %s LIMIT %d`, table, condition, atOnce)
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var removed int64
		err := u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
			res, err := tx.ExecContext(ctx, u.s.dialect.Rebind(query), args...)
			if err == nil {
				removed, err = res.RowsAffected()
			}
			return err
		})
		if err != nil || removed < atOnce {
			return err
		}
	}
}

// goes marks tenants as gone, and removes those of which nothing was counted. Sizes of their
// databases and sums do not count as that: this round may have made them.
func (u *upkeep) goes(ctx context.Context, tx *sqlx.Tx, keys []int64) error {
	with := func(query string, keys []int64) error {
		query, args, err := sqlx.In(query, keys)
		if err == nil {
			_, err = tx.ExecContext(ctx, u.s.dialect.Rebind(query), args...)
		}
		return err
	}
	if err := with(`UPDATE tenancy_usage_tenants SET gone = 1 WHERE tenant_key IN (?)`, keys); err != nil {
		return err
	}
	empty := slices.Clone(keys)
	for _, t := range countsOfTenants() {
		if len(empty) == 0 {
			return nil
		}
		held := map[int64]bool{}
		err := in(ctx, u.s, tx, `SELECT tenant_key FROM tenancy_usage_tenants t WHERE tenant_key IN (?) AND EXISTS (SELECT 1 FROM `+t+` u WHERE u.tenant_key = t.tenant_key)`, empty,
			func(r *sql.Rows) error {
				var key int64
				err := r.Scan(&key)
				held[key] = true
				return err
			})
		if err != nil {
			return err
		}
		empty = slices.DeleteFunc(empty, func(key int64) bool { return held[key] })
	}
	if len(empty) == 0 {
		return nil
	}
	for _, t := range []string{storageTable, sumsTable, "tenancy_usage_tags", "tenancy_usage_tenants"} {
		if err := with(`DELETE FROM `+t+` WHERE tenant_key IN (?)`, empty); err != nil {
			return err
		}
	}
	return nil
}

// countsOfTenants returns the tables of what was counted and noted of tenants. Those in which a
// tenant's rows are found by its key are first.
func countsOfTenants() []string {
	return []string{
		daysTable.name, hoursTable.name, minutesTable.name, "tenancy_activities", patternsTable, statementsTable, statementDaysTable,
		partsTable.name, lateTable.name,
	}
}

// Forget removes all that is kept of a tenant, such as when it is purged. It may be
// called again.
func (s *SQL) Forget(ctx context.Context, id tenancy.ID) error {
	err := s.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		for _, t := range append(countsOfTenants(), storageTable, sumsTable, "tenancy_usage_tags") {
			_, err := tx.ExecContext(ctx, s.dialect.Rebind(`DELETE FROM `+t+` WHERE tenant_key = (SELECT tenant_key FROM tenancy_usage_tenants WHERE id = ? AND tenant_key > ?)`),
				id, lastOwnKey)
			if err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, s.dialect.Rebind(`DELETE FROM tenancy_usage_tenants WHERE id = ? AND tenant_key > ?`), id, lastOwnKey)
		return err
	})
	return wrap("analytics.SQL.Forget", err)
}
