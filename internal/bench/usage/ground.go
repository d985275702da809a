//go:build unix

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
)

const day = 24 * time.Hour

// ground is the store with what is in it.
type ground struct {
	config
	db    *sqlx.DB
	store *analytics.SQL
	now   time.Time
}

func (g *ground) exec(ctx context.Context, query string, args ...any) error {
	if _, err := g.db.ExecContext(ctx, g.db.Rebind(query), args...); err != nil {
		return fmt.Errorf("%.60s: %w", strings.TrimSpace(query), err)
	}
	return nil
}

// buckets are those of the latencies of a usual row: 20 that are not empty.
func buckets() []byte {
	out := binary.AppendUvarint(nil, 12)
	for i := range uint64(20) {
		if i > 0 {
			out = binary.AppendUvarint(out, 0)
		}
		out = binary.AppendUvarint(out, 1+i*7%50)
	}
	return out
}

// columns are those that a usual row has, with their values.
const (
	columns = `requests, status_2xx, status_4xx, status_5xx, latency_time, bytes_in, bytes_out, in_flight, statements, statement_time, waits, wait_time, connection_time, cpu_time, memory_bytes, last_seen, latency`
	// %[1]s is the tenant's key, %[2]s the bucket: tenants differ, and hours differ by the time of day.
	values = `r, r - r/50, r/60, CASE WHEN r %% 97 = 0 THEN r/100 END, r*20000, r*300, r*9000, 1 + r%%9, r*5, r*7000, r/40, r*30, r*9000, r*2500, 40000 + r*10, %[2]s + 3599000000, ?`
	volume = `(1 + (%[1]s * 7919 %% 997)) * (10 + (%[2]s / 3600000000) %% 24) / 20 + 1`
)

// load makes tenants, hours and days.
func (g *ground) load(ctx context.Context) error {
	began := time.Now()
	now, err := g.store.Write(ctx, &analytics.Batch{Instance: analytics.Instance{ID: 1, Name: "bench", Ended: true, Recorded: analytics.Columns()}})
	if err != nil {
		return err
	}
	g.now = now
	hour, today := now.Truncate(time.Hour), now.Truncate(day)
	if err := g.exec(ctx, `INSERT INTO tenancy_usage_tenants (tenant_key, id, slug, name, status, plan, server, database_name, tags, limits, search_text, version, created_at, listed_at)
		SELECT 1000 + n, 'tenant-' || lpad(n::text, 6, '0'), 'tenant-' || n, 'Tenant ' || n, CASE WHEN n % 20 = 0 THEN 'suspended' ELSE 'active' END, 'plan-' || n % 4, 'server-' || n % 10,
		'db_' || n, CASE WHEN n % 20 = 1 THEN 'vip' ELSE '' END, '{"storage.bytes":2000000000,"requests.day":200000}', 'tenant-' || n, 1, ?, ? FROM generate_series(1, ?) n`, now.Add(-200*day).UnixMicro(), now.UnixMicro(), g.tenants); err != nil {
		return err
	}
	if err := g.exec(ctx, `INSERT INTO tenancy_usage_tags SELECT 'vip', 1000 + n FROM generate_series(1, ?) n WHERE n % 20 = 1`, g.tenants); err != nil {
		return err
	}
	fill := func(table string, from, to time.Time, step time.Duration, scale int) error {
		// A partition at a time, in order of tenants, which is how each was left that is closed.
		for span := partitionOf(table); from.Before(to); {
			end := time.UnixMicro(from.UnixMicro() - from.UnixMicro()%span.Microseconds()).Add(span)
			if end.After(to) {
				end = to
			}
			if err := g.fill(ctx, table, from, end, step, scale); err != nil {
				return err
			}
			from = end
		}
		return nil
	}
	if err := fill("tenancy_usage_1h", hour.Add(-time.Duration(g.days)*day), hour, time.Hour, 1); err != nil {
		return err
	}
	if err := fill("tenancy_usage_1d", today.Add(-90*day), today, day, 24); err != nil {
		return err
	}
	if err := g.exec(ctx, `INSERT INTO tenancy_usage_storage SELECT k, b, 1000000000 + (b / 86400000000) % 100 * 3000000 + k FROM generate_series(1001, ?) k, generate_series(?::bigint, ?::bigint, 86400000000) b`,
		1000+g.tenants, today.Add(-90*day).UnixMicro(), today.Add(-day).UnixMicro()); err != nil {
		return err
	}
	if err := g.exec(ctx, `INSERT INTO tenancy_activities (activity_key, tenant_key, created_at, activity_type, description, actor_kind, actor_id, address, user_agent, request_id, times)
		SELECT 'k' || n, 1001 + n % ?, ? - n * 1000000::bigint, 'type-' || n % 7, 'something happened ' || n, 'operator', 'jo', '192.0.2.1', 'agent', 'r' || n, 1 FROM generate_series(1, 500000) n`, g.tenants, now.UnixMicro()); err != nil {
		return err
	}
	// Two hours of the slowest statements: 20 of each tenant and hour, of 100 texts.
	if err := g.exec(ctx, `INSERT INTO tenancy_usage_texts SELECT n, 'SELECT a FROM table_' || n || ' WHERE b = ' || chr(63), ?::bigint FROM generate_series(1, 100) n`, now.UnixMicro()); err != nil {
		return err
	}
	if err := g.exec(ctx, `INSERT INTO tenancy_usage_statements (tenant_key, bucket, source, fingerprint, revision, calls, errors, total_time, longest)
		SELECT k, ?::bigint - h * 3600000000::bigint, 1, 1 + (k + n) % 100, 1, 100 + n, 0, 5000 * n, (k * 7919 + n * 104729 + h) % 1000000 FROM generate_series(1001, ?) k, generate_series(0, 1) h, generate_series(1, 20) n`,
		hour.UnixMicro(), 1000+g.tenants); err != nil {
		return err
	}
	// All of them together, as roll-ups would have made it.
	for table, step := range map[string]time.Duration{"tenancy_usage_1h": time.Hour, "tenancy_usage_1d": day} {
		if err := g.exec(ctx, `INSERT INTO tenancy_usage_fleet (step, bucket, tenants, requests, status_2xx, status_4xx, status_5xx, latency_time, bytes_in, bytes_out, in_flight, statements, statement_time, cpu_time)
			SELECT ?, bucket, COUNT(*), SUM(requests), SUM(status_2xx), SUM(status_4xx), SUM(status_5xx), SUM(latency_time), SUM(bytes_in), SUM(bytes_out), MAX(in_flight), SUM(statements), SUM(statement_time), SUM(cpu_time)
			FROM `+table+` GROUP BY bucket`, step.Microseconds()); err != nil {
			return err
		}
	}
	for name, at := range map[string]time.Time{"minutes": hour, "hours": hour, "days": today, "catalog": now} {
		if err := g.exec(ctx, `UPDATE tenancy_usage_state SET value = ? WHERE name = ?`, at.UnixMicro(), name); err != nil {
			return err
		}
	}
	if err := g.exec(ctx, `UPDATE tenancy_usage_state SET value = ? WHERE name = 'tenants'`, g.tenants); err != nil {
		return err
	}
	if err := g.exec(ctx, `VACUUM ANALYZE`); err != nil {
		return err
	}
	row("load", fmt.Sprintf("%d hours, %d days in %v", g.tenants*24*g.days, g.tenants*90, round(time.Since(began))), "")
	return nil
}

// partitionOf returns the span of a partition of the table.
func partitionOf(table string) time.Duration {
	return map[string]time.Duration{"tenancy_usage_parts": time.Hour, "tenancy_usage_1m": day, "tenancy_usage_1h": 7 * day, "tenancy_usage_1d": 91 * day}[table]
}

// fill makes the rows of one partition, of all tenants.
func (g *ground) fill(ctx context.Context, table string, from, to time.Time, step time.Duration, scale int) error {
	if err := g.exec(ctx, `SELECT tenancy_usage_partition(?, ?)`, table, from.UnixMicro()); err != nil {
		return err
	}
	v, r := fmt.Sprintf(values, "k", "b"), fmt.Sprintf(volume, "k", "b")
	return g.exec(ctx, fmt.Sprintf(`INSERT INTO %s (tenant_key, bucket, %s) SELECT k, b, %s FROM (SELECT k, b, (%s) * %d AS r FROM generate_series(1001, ?) k, generate_series(?::bigint, ?::bigint, ?::bigint) b) s`,
		table, columns, v, r, scale), buckets(), 1000+g.tenants, from.UnixMicro(), to.Add(-time.Microsecond).UnixMicro(), step.Microseconds())
}

// ids are those of all tenants.
func (g *ground) ids() []tenancy.ID {
	ids := make([]tenancy.ID, g.tenants)
	for i := range ids {
		ids[i] = tenancy.ID(fmt.Sprintf("tenant-%06d", i+1))
	}
	return ids
}

// batch has a part of each tenant in this minute.
func (g *ground) batch(revision int64) *analytics.Batch {
	b := &analytics.Batch{Instance: analytics.Instance{ID: 2, Name: "bench", Ended: true, Recorded: analytics.Columns()}}
	for _, id := range g.ids() {
		p := analytics.Part{Tenant: id, Start: time.Now().UTC().Truncate(time.Minute), Source: 2, Revision: revision}
		for c := range p.Counts.Values {
			p.Counts.Values[c] = revision * int64(c+1)
		}
		for i := range 10 {
			p.Counts.Latency.Observe(time.Duration(i*i) * time.Millisecond)
		}
		b.Parts = append(b.Parts, p)
	}
	return b
}

// flushes measures the write of one part of each tenant.
func (g *ground) flushes(ctx context.Context) (err error) {
	flush := func(name string, store *analytics.SQL) error {
		var first, again, own time.Duration
		for i := range int64(3) {
			b := g.batch(i + 1)
			began, used := time.Now(), processorTime()
			if _, err := store.Write(ctx, b); err != nil {
				return err
			}
			if again, own = time.Since(began), processorTime()-used; i == 0 {
				first = again
			}
		}
		row(fmt.Sprintf("flush of %d tenants, %s", g.tenants, name), fmt.Sprintf("new %v, again %v, own %v", round(first), round(again), round(own)), "250 ms")
		return nil
	}
	if err := flush("PostgreSQL", g.store); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "usage-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(filepath.Join(dir, "usage.db"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	lite, err := analytics.NewSQL(db, nil)
	if err == nil {
		err = lite.Migrate(ctx)
	}
	if err != nil {
		return err
	}
	if err := flush("SQLite", lite); err != nil {
		return err
	}
	if err := g.exec(ctx, `SELECT tenancy_usage_partition('tenancy_usage_parts', 0)`); err != nil {
		return err
	}
	began := time.Now()
	const some = 200
	for i := range some {
		if _, err := g.db.ExecContext(ctx, `INSERT INTO tenancy_usage_parts (bucket, tenant_key, source, revision, requests) VALUES (0, $1, 0, 1, 1)`, i); err != nil {
			return err
		}
	}
	row("the same, one row at a time (of 200)", round(time.Since(began)*time.Duration(g.tenants/some)).String(), "baseline")
	return g.exec(ctx, `DELETE FROM tenancy_usage_parts WHERE bucket = 0`)
}
