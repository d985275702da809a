package analytics

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// lateAfter is how old a part may be to be rolled up. An older one is kept by itself.
const lateAfter = 2 * time.Hour

// Write implements [Sink], in one transaction.
func (s *SQL) Write(ctx context.Context, b *Batch) (now time.Time, err error) {
	// While a roll-up waits for writes, and they for it, none is missed. Writes wait for each
	// other only if one opens again what was rolled up.
	for _, how := range []lockMode{share, exclusive} {
		err = s.withPartitions(ctx, partsTable, b.minutes, func() (err error) {
			now, err = s.write(ctx, b, how)
			return err
		})
		if !errors.Is(err, errReopen) {
			break
		}
	}
	return now, wrap("analytics.SQL.Write", err)
}

// minutes returns the times of the parts that are not of hours.
func (b *Batch) minutes() (all []time.Time) {
	for i := range b.Parts {
		if !b.Parts[i].Hour {
			all = append(all, b.Parts[i].Start)
		}
	}
	return all
}

// lockMode is how the state is locked.
type lockMode string

const (
	share     lockMode = "share"
	exclusive lockMode = "exclusive"
)

// errReopen says that a write opens again what was rolled up: two that held the lock
// together would wait for each other forever.
var errReopen = errors.New("a part is older than the last roll-up")

func (s *SQL) write(ctx context.Context, b *Batch, how lockMode) (now time.Time, err error) {
	committing := false
	err = s.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		committing = false
		minutes, err := s.lockState(ctx, tx, how)
		if err != nil {
			return err
		}
		if how == share && slices.ContainsFunc(b.Parts, func(p Part) bool { return p.Start.Before(minutes) }) {
			return errReopen
		}
		if now, err = s.now(ctx, tx); err != nil {
			return err
		}
		if err := s.writeInstance(ctx, tx, &b.Instance, now); err != nil {
			return err
		}
		if err := s.writeTenants(ctx, tx, b.Tenants, now); err != nil {
			return err
		}
		keys, err := s.keys(ctx, tx, b, now)
		if err != nil {
			return err
		}
		if err := s.writeParts(ctx, tx, b.Parts, keys, now, how); err != nil {
			return err
		}
		if err := s.writePatterns(ctx, tx, b.Patterns, keys); err != nil {
			return err
		}
		if err := s.writeStatements(ctx, tx, b.Statements, keys, now); err != nil {
			return err
		}
		if err := s.writeActivities(ctx, tx, b.Activities, keys); err != nil {
			return err
		}
		committing = true
		return nil
	})
	if err != nil && committing {
		err = fmt.Errorf("%w: %w", ErrInDoubt, err)
	}
	return now, err
}

// lockState locks the state until the transaction ends, and returns up to when minutes
// were rolled up. SQLite has one writer anyway.
func (s *SQL) lockState(ctx context.Context, tx *sqlx.Tx, how lockMode) (time.Time, error) {
	end := map[sqlkit.Dialect]map[lockMode]string{
		sqlkit.Postgres: {share: ` FOR SHARE`, exclusive: ` FOR UPDATE`},
		sqlkit.MySQL:    {share: ` LOCK IN SHARE MODE`, exclusive: ` FOR UPDATE`},
	}[s.dialect][how]
	var us int64
	err := sqlx.GetContext(ctx, tx, &us, `SELECT value FROM tenancy_usage_state WHERE name = 'minutes'`+end)
	return time.UnixMicro(us), err
}

func (s *SQL) writeInstance(ctx context.Context, tx *sqlx.Tx, i *Instance, now time.Time) error {
	head, tail := s.upsert("tenancy_usage_instances", []string{"id"}, []string{
		"name", "started_at", "flushed_at", "ended", "flush_interval", "clock_offset", "cpu_time", "rss", "heap", "dropped", "recorded", "memory",
	})
	memory := "" // of no kind
	if len(i.Memory) > 0 {
		packed, err := json.Marshal(i.Memory)
		if err != nil {
			return err
		}
		memory = string(packed)
	}
	ended := 0
	if i.Ended {
		ended = 1
	}
	return s.insert(ctx, tx, head, tail, [][]any{{
		i.ID, i.Name, i.Started.UnixMicro(), now.UnixMicro(), ended, i.Interval.Microseconds(), i.Offset.Microseconds(),
		i.CPU.Microseconds(), i.RSS, i.Heap, i.Dropped, setOf(i.Recorded), memory,
	}})
}

// searchText has the words by which the tenant is found, each behind a space.
func searchText(t *tenancy.Tenant) string { return " " + strings.Join(t.Words(), " ") }

var tenantColumns = []string{
	"slug", "name", "status", "plan", "server", "database_name", "tags", "limits", "search_text", "created_at", "listed_at", "schema_version", "version",
}

// writeTenants writes records that are newer than those that are there.
func (s *SQL) writeTenants(ctx context.Context, tx *sqlx.Tx, tenants []*tenancy.Tenant, now time.Time) error {
	if len(tenants) == 0 {
		return nil
	}
	newest := map[tenancy.ID]*tenancy.Tenant{}
	for _, t := range tenants {
		if old := newest[t.ID]; old == nil || t.Newer(old) {
			newest[t.ID] = t
		}
	}
	var rows [][]any
	var ids []tenancy.ID
	for id, t := range newest {
		limits := ""
		if len(t.Limits) > 0 {
			packed, err := json.Marshal(t.Limits)
			if err != nil {
				return err
			}
			limits = string(packed)
		}
		ids = append(ids, id)
		rows = append(rows, []any{
			id, t.Slug, t.Name, t.Status, t.Plan, t.Placement.Server, t.Placement.Database, strings.Join(t.Tags, " "), limits,
			searchText(t), toMicros(t.CreatedAt), now.UnixMicro(), t.SchemaVersion, t.Version,
		})
	}
	// In one order, so that two instances do not wait for each other.
	slices.SortFunc(rows, func(a, b []any) int { return cmp.Compare(a[0].(tenancy.ID), b[0].(tenancy.ID)) })
	head, tail := s.upsert("tenancy_usage_tenants", []string{"id"}, tenantColumns, "created_at", "version")
	if err := s.insert(ctx, tx, head, tail, rows); err != nil {
		return err
	}
	return s.writeTags(ctx, tx, ids, newest)
}

// writeTags makes the tags of the tenants those of the records, where the record that
// is there is ours.
func (s *SQL) writeTags(ctx context.Context, tx *sqlx.Tx, ids []tenancy.ID, newest map[tenancy.ID]*tenancy.Tenant) error {
	var keys []int64
	var rows [][]any
	err := in(ctx, s, tx, `SELECT tenant_key, id, created_at, version FROM tenancy_usage_tenants WHERE id IN (?) ORDER BY tenant_key`, ids, func(r *sql.Rows) error {
		var (
			key, created, version int64
			id                    tenancy.ID
		)
		if err := r.Scan(&key, &id, &created, &version); err != nil {
			return err
		}
		there := &tenancy.Tenant{Version: version, CreatedAt: fromMicros(created)}
		if t := newest[id]; !t.Newer(there) && !there.Newer(t) {
			keys = append(keys, key)
			for _, tag := range t.Tags {
				rows = append(rows, []any{tag, key})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(keys, 500) {
		query, args, err := sqlx.In(`DELETE FROM tenancy_usage_tags WHERE tenant_key IN (?)`, chunk)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, s.dialect.Rebind(query), args...); err != nil {
			return err
		}
	}
	head, tail := s.upsert("tenancy_usage_tags", []string{"tag", "tenant_key"}, []string{})
	if s.dialect == sqlkit.MySQL {
		tail = ` ON DUPLICATE KEY UPDATE tenant_key = VALUES(tenant_key)`
	} else {
		tail = strings.TrimSuffix(tail, `UPDATE SET `) + `NOTHING`
	}
	return s.insert(ctx, tx, head, tail, rows)
}

// keys returns the keys of the tenants of a batch. A tenant that has no row gets one,
// whose record is that of the next batch or of the keeper's next look at the catalog.
func (s *SQL) keys(ctx context.Context, tx *sqlx.Tx, b *Batch, now time.Time) (map[tenancy.ID]int64, error) {
	keys := map[tenancy.ID]int64{}
	for i := range b.Parts {
		keys[b.Parts[i].Tenant] = 0
	}
	for i := range b.Activities {
		keys[b.Activities[i].Tenant] = 0
	}
	for i := range b.Patterns {
		keys[b.Patterns[i].Tenant] = 0
	}
	for i := range b.Statements {
		keys[b.Statements[i].Tenant] = 0
	}
	for range 2 {
		var missing []tenancy.ID
		for id, key := range keys {
			if key == 0 {
				missing = append(missing, id)
			}
		}
		slices.Sort(missing)
		err := in(ctx, s, tx, `SELECT tenant_key, id FROM tenancy_usage_tenants WHERE id IN (?)`, missing, func(r *sql.Rows) error {
			var key int64
			var id tenancy.ID
			err := r.Scan(&key, &id)
			keys[id] = key
			return err
		})
		if err != nil {
			return nil, err
		}
		var unknown []*tenancy.Tenant
		for _, id := range missing {
			if keys[id] == 0 {
				unknown = append(unknown, &tenancy.Tenant{ID: id, Slug: string(id), Name: string(id)})
			}
		}
		if len(unknown) == 0 {
			return keys, nil
		}
		if err := s.writeTenants(ctx, tx, unknown, now); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("rows of tenants were removed while they were read")
}

// countColumns are the columns of all tables of counts.
func countColumns() []string {
	names := make([]string, 0, numColumns+2)
	for _, c := range Columns() {
		names = append(names, c.String())
	}
	return append(names, "latency", "own")
}

// countValues returns the values of countColumns: NULL for zero.
func countValues(row []any, c *Counts) ([]any, error) {
	for _, v := range c.Values {
		if v == 0 {
			row = append(row, nil)
		} else {
			row = append(row, v)
		}
	}
	own, err := c.packOwn()
	if err != nil {
		return nil, err
	}
	row = append(row, nil, nil)
	if packed := c.Latency.pack(); len(packed) > 0 {
		row[len(row)-2] = packed
	}
	if own != "" {
		row[len(row)-1] = own
	}
	return row, nil
}

// sqlPart is the key of a part.
type sqlPart struct{ bucket, tenant, source int64 }

func partOf(p *Part, keys map[tenancy.ID]int64) sqlPart {
	return sqlPart{p.Start.UnixMicro(), keys[p.Tenant], p.Source}
}

// knownPart is a part that the store has.
type knownPart struct {
	revision int64
	counts   Counts
}

// knownParts returns the late parts that were written when they were not late, by a batch
// whose answer was lost.
func (s *SQL) knownParts(ctx context.Context, tx *sqlx.Tx, parts []Part, keys map[tenancy.ID]int64, now time.Time) (map[sqlPart]*knownPart, error) {
	late, buckets, sources := map[sqlPart]*knownPart{}, map[int64]bool{}, map[string]bool{}
	for i := range parts {
		if p := &parts[i]; !p.Hour && now.Sub(p.Start) > lateAfter {
			late[partOf(p, keys)], buckets[p.Start.UnixMicro()], sources[strconv.FormatInt(p.Source, 10)] = nil, true, true
		}
	}
	query := `SELECT bucket, tenant_key, source, revision, ` + strings.Join(countColumns(), `, `) + ` FROM tenancy_usage_parts
		WHERE bucket IN (?) AND source IN (` + strings.Join(slices.Collect(maps.Keys(sources)), `, `) + `)`
	err := in(ctx, s, tx, query, slices.Collect(maps.Keys(buckets)), func(r *sql.Rows) error {
		var p sqlPart
		var known knownPart
		var latency sql.RawBytes
		var own sql.NullString
		err := r.Scan(append(append([]any{&p.bucket, &p.tenant, &p.source, &known.revision}, scanned(&known.counts)...), &latency, &own)...)
		if _, ok := late[p]; ok && err == nil {
			s.unpack(&known.counts, latency, own.String)
			late[p] = &known
		}
		return err
	})
	return late, err
}

// writeParts writes parts where they belong. A late one whose minute may have been made a part
// of longer rows, and whose row may be about to be removed, does not replace that row: what was
// counted since is late.
func (s *SQL) writeParts(ctx context.Context, tx *sqlx.Tx, parts []Part, keys map[tenancy.ID]int64, now time.Time, how lockMode) error {
	known, err := s.knownParts(ctx, tx, parts, keys, now)
	if err != nil {
		return err
	}
	var fresh, late [][]any
	for i := range parts {
		p := parts[i]
		old := known[partOf(&p, keys)]
		if old != nil && !p.Hour {
			if p.Revision <= old.revision {
				continue
			}
			p.Counts.subtract(&old.counts)
		}
		row := append(make([]any, 0, numColumns+6), p.Start.UnixMicro(), keys[p.Tenant], p.Source, p.Revision)
		row, err := countValues(row, &p.Counts)
		if err != nil {
			return err
		}
		if !p.Hour && now.Sub(p.Start) <= lateAfter {
			fresh = append(fresh, row)
			continue
		}
		late = append(late, row)
	}
	for i, rows := range [][][]any{fresh, late} {
		table := []table{partsTable, lateTable}[i].name
		slices.SortFunc(rows, func(a, b []any) int {
			return cmp.Or(cmp.Compare(a[0].(int64), b[0].(int64)), cmp.Compare(a[1].(int64), b[1].(int64)), cmp.Compare(a[2].(int64), b[2].(int64)))
		})
		head, tail := s.upsert(table, []string{"bucket", "tenant_key", "source"}, append([]string{"revision"}, countColumns()...), "revision")
		if err := s.insert(ctx, tx, head, tail, rows); err != nil {
			return err
		}
	}
	if len(fresh) == 0 || how == share { // nothing is older than the last roll-up, and MySQL would lock the rows of the state even so
		return nil
	}
	return s.reopen(ctx, tx, fresh[0][0].(int64))
}

// Names of rows of the state's table.
const (
	stateCatalog = "catalog" // when the tenants' table was last compared with the catalog
	stateMinutes = "minutes" // up to when parts were rolled up
	stateHours   = "hours"
	stateDays    = "days"
	stateMonths  = "months" // up to when there are sums of months
)

// reopen makes what was rolled up end before the bucket, so that it is read from parts
// until it is rolled up again.
func (s *SQL) reopen(ctx context.Context, tx *sqlx.Tx, bucket int64) error {
	for name, row := range map[string]time.Duration{stateMinutes: time.Minute, stateHours: time.Hour, stateDays: day} {
		start := bucket - bucket%row.Microseconds()
		res, err := tx.ExecContext(ctx, s.dialect.Rebind(`UPDATE tenancy_usage_state SET value = ? WHERE name = ? AND value > ?`), start, name, start)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); name != stateHours || err != nil || n == 0 {
			continue
		}
		// Sums have in them what is to be rolled up again.
		if _, err := tx.ExecContext(ctx, s.dialect.Rebind(`UPDATE tenancy_usage_state SET value = value + 1 WHERE name = ?`), stateReopened); err != nil {
			return err
		}
	}
	month := monthOf(fromMicros(bucket)).UnixMicro()
	_, err := tx.ExecContext(ctx, s.dialect.Rebind(`UPDATE tenancy_usage_state SET value = ? WHERE name = ? AND value > ?`), month, stateMonths, month)
	return err
}
