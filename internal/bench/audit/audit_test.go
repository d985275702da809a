// Package audit measures what the audit and the outbox cost, each beside the same without
// them in the same run:
//
//	make bench-audit
//
// In the short mode it only shows that the measurements run.
package audit

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/catalog/stream"
	"github.com/artflow-studio/tenancy/internal/bench"
	"github.com/artflow-studio/tenancy/tenancytest"
)

const writers = 16

// span is how long one side of one round is measured, and rounds how often.
func span() (d time.Duration, rounds int) {
	if testing.Short() {
		return 50 * time.Millisecond, 1
	}
	return 2 * time.Second, 3
}

// engines are those that are there.
func engines(b *testing.B, fn func(b *testing.B, s *tenancytest.Server)) {
	for _, name := range []string{"postgres", "mysql", "sqlite"} {
		b.Run(name, func(b *testing.B) {
			if testing.Short() && name != "sqlite" {
				b.Skip("not in short mode")
			}
			fn(b, tenancytest.NewServer(b, name))
		})
	}
}

// side is a catalog with what it writes beside its changes.
type side struct {
	cat *catalog.Catalog
	ids []tenancy.ID
}

func newSide(b *testing.B, db *sqlx.DB, opts *catalog.Options, migrate ...func(context.Context) error) *side {
	b.Helper()
	cat, err := catalog.New(db, opts)
	if err != nil {
		b.Fatal(err)
	}
	for _, each := range append(migrate, cat.Migrate) {
		if err := each(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	s := &side{cat: cat}
	for i := range writers {
		t, err := cat.Create(b.Context(), &tenancy.Tenant{Slug: fmt.Sprintf("tenant-%d", i), Status: tenancy.StatusActive})
		if err != nil {
			b.Fatal(err)
		}
		s.ids = append(s.ids, t.ID)
	}
	return s
}

// changes lets all writers change a tenant of their own for so long, and returns how many
// changes a second that were. After each, done is called with the tenant's new version.
func (s *side) changes(b *testing.B, d time.Duration, done func(tenancy.ID, int64)) float64 {
	b.Helper()
	var n atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for _, id := range s.ids {
		all.Go(func() {
			for i := 0; time.Since(began) < d; i++ {
				t, err := s.cat.Edit(b.Context(), id, func(t *tenancy.Tenant) error { t.Plan = "plan-" + strconv.Itoa(i); return nil })
				if err != nil {
					b.Error(err)
					return
				}
				n.Add(1)
				if done != nil {
					done(id, t.Version)
				}
			}
		})
	}
	all.Wait()
	return float64(n.Load()) / time.Since(began).Seconds()
}

// background runs work until the benchmark ends.
func background(b *testing.B, run func(context.Context) error) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
}

func newTrail(b *testing.B, db *sqlx.DB) *audit.Trail {
	b.Helper()
	trail, err := audit.New(db, &audit.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	return trail
}

// chained is an audit whose entries are chained in the transaction of the change: each
// writer waits for the one before.
type chained struct{ db *sqlx.DB }

func (c chained) migrate(ctx context.Context) error {
	_, err := c.db.ExecContext(ctx, `CREATE TABLE chain (id TEXT PRIMARY KEY, number BIGINT, hash TEXT, entry TEXT); CREATE TABLE head (number BIGINT, hash TEXT); INSERT INTO head VALUES (0, '')`)
	return err
}

func (c chained) Audit(ctx context.Context, tx *sql.Tx, e tenancy.Entry) error {
	if tx == nil {
		return nil
	}
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	var number int64
	var hash string
	if err := tx.QueryRowContext(ctx, `SELECT number, hash FROM head FOR UPDATE`).Scan(&number, &hash); err != nil {
		return err
	}
	next := tenancy.DigestOf(hash + string(text)).String()
	if _, err := tx.ExecContext(ctx, `INSERT INTO chain (id, number, hash, entry) VALUES ($1, $2, $3, $4)`, e.ID, number+1, next, text); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE head SET number = $1, hash = $2`, number+1, next)
	return err
}

// BenchmarkChanges: changes a second by 16 writers without an audit, with it and its
// sealer, on PostgreSQL with a chain in the transaction, and with an outbox.
func BenchmarkChanges(b *testing.B) {
	engines(b, func(b *testing.B, server *tenancytest.Server) {
		plain, audited, told, locked := server.Database(b), server.Database(b), server.Database(b), server.Database(b)
		trail := newTrail(b, audited)
		box, err := catalog.NewOutbox(told, &catalog.OutboxOptions{Deliver: func(context.Context, catalog.Event) error { return nil }})
		if err != nil {
			b.Fatal(err)
		}
		sides := map[string]*side{
			"plain":   newSide(b, plain, nil),
			"audited": newSide(b, audited, &catalog.Options{Audit: trail}, trail.Migrate),
			"told":    newSide(b, told, &catalog.Options{Events: box}),
		}
		names := []string{"plain", "audited", "told"}
		if server.Name == "postgres" {
			chain := chained{locked}
			sides["chained"] = newSide(b, locked, &catalog.Options{Audit: chain}, chain.migrate)
			names = append(names, "chained")
		}
		background(b, trail.Run)
		background(b, box.Run)
		d, rounds := span()
		rates := map[string][]float64{}
		err = bench.Interleave(rounds, names, func(_ int, name string) error {
			rates[name] = append(rates[name], sides[name].changes(b, d, nil))
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		for _, name := range names {
			b.ReportMetric(bench.Median(rates[name]), name+"/s")
			b.Logf("%s: %s changes/s, %s of plain", name, bench.Spread(rates[name]), bench.Ratio(rates[name], rates["plain"]))
		}
	})
}

// BenchmarkSeal: how long the oldest entry that is not sealed has waited, while 16 writers
// write, and how fast all is verified then.
func BenchmarkSeal(b *testing.B) {
	engines(b, func(b *testing.B, server *tenancytest.Server) {
		db := server.Database(b)
		trail := newTrail(b, db)
		s := newSide(b, db, &catalog.Options{Audit: trail}, trail.Migrate)
		background(b, trail.Run)
		d, rounds := span()
		var lags []time.Duration
		writing := make(chan struct{})
		go func() {
			defer close(writing)
			s.changes(b, d*time.Duration(rounds), nil)
		}()
		for busy := true; busy; {
			var oldest int64
			if err := db.GetContext(b.Context(), &oldest, `SELECT COALESCE(MIN(time), 0) FROM tenancy_audit WHERE number IS NULL`); err != nil {
				b.Fatal(err)
			}
			if oldest > 0 {
				lags = append(lags, time.Since(time.UnixMicro(oldest)))
			}
			select {
			case <-writing:
				busy = false
			case <-time.After(10 * time.Millisecond):
			}
		}
		b.ReportMetric(float64(bench.Percentile(lags, 99).Milliseconds()), "lag-p99-ms")
		fill(b, db, trail)
		if _, err := trail.Verify(b.Context()); err != nil { // which seals the rest
			b.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		report, err := trail.Verify(b.Context())
		if err != nil || report.Fault != nil {
			b.Fatal(err, report)
		}
		took := time.Since(began)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(report.Entries)/took.Seconds(), "verified/s")
		b.Logf("verified %d entries in %v; heap from %d to %d KiB", report.Entries, took, before.HeapAlloc>>10, after.HeapAlloc>>10)
	})
}

// fill writes entries in one transaction.
func fill(b *testing.B, db *sqlx.DB, trail *audit.Trail) {
	b.Helper()
	if testing.Short() {
		return
	}
	tx, err := db.BeginTx(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	for range 20_000 {
		if err := trail.Audit(b.Context(), tx, tenancy.NewEntry(b.Context(), "tenant.plan", "acme")); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkFlood: rows a second that 1,000 denials a second become.
func BenchmarkFlood(b *testing.B) {
	db := tenancytest.NewServer(b, "sqlite").Database(b)
	trail := newTrail(b, db)
	if err := trail.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	background(b, trail.Run)
	d, rounds := span()
	d *= time.Duration(rounds)
	n := 0
	began := time.Now()
	for tick := time.NewTicker(time.Millisecond); time.Since(began) < d; n++ {
		<-tick.C
		ctx := tenancy.WithActor(b.Context(), tenancy.Actor{Kind: tenancy.ActorTenantUser, ID: strconv.Itoa(n % 5000)})
		if err := trail.Audit(b.Context(), nil, tenancy.NewEntry(ctx, "tenant.status", "acme").Refused(tenancy.ErrForbidden)); err != nil {
			b.Fatal(err)
		}
	}
	took := time.Since(began).Seconds()
	var rows float64
	if err := db.GetContext(b.Context(), &rows, `SELECT COUNT(*) FROM tenancy_audit`); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)/took, "denials/s")
	b.ReportMetric(rows/took, "rows/s")
}

// BenchmarkOutbox: from the return of a change to the call of the function, and to another
// service that reads the stream.
func BenchmarkOutbox(b *testing.B) {
	engines(b, func(b *testing.B, server *tenancytest.Server) {
		db := server.Database(b)
		in, through := newWatch(), newWatch()
		opts := &catalog.OutboxOptions{Deliver: func(_ context.Context, e catalog.Event) error { in.arrived(e); return nil }}
		if !testing.Short() {
			client, namespace := tenancytest.Redis(b)
			s, err := stream.New(client, namespace, nil)
			if err != nil {
				b.Fatal(err)
			}
			opts.Stream = s
			background(b, func(ctx context.Context) error {
				for last := "0"; ctx.Err() == nil; {
					got, err := client.Do(ctx, client.B().Xread().Count(1000).Block(100).Streams().Key(s.Key()).Id(last).Build()).AsXRead()
					if err != nil {
						continue
					}
					for _, entry := range got[s.Key()] {
						var e catalog.Event
						if err := json.Unmarshal([]byte(entry.FieldValues["event"]), &e); err != nil {
							return err
						}
						through.arrived(e)
						last = entry.ID
					}
				}
				return nil
			})
		}
		box, err := catalog.NewOutbox(db, opts)
		if err != nil {
			b.Fatal(err)
		}
		s := newSide(b, db, &catalog.Options{Events: box})
		background(b, box.Run)
		d, rounds := span()
		rate := s.changes(b, d*time.Duration(rounds), func(id tenancy.ID, version int64) {
			in.made(id, version)
			through.made(id, version)
			time.Sleep(20 * time.Millisecond)
		})
		b.ReportMetric(rate, "changes/s")
		for name, w := range map[string]*watch{"function": in, "stream": through} {
			if name == "stream" && opts.Stream == nil {
				continue
			}
			delays := w.delays(b)
			b.ReportMetric(float64(bench.Percentile(delays, 99).Microseconds())/1000, name+"-p99-ms")
			b.ReportMetric(float64(bench.Percentile(delays, 50).Microseconds())/1000, name+"-p50-ms")
		}
	})
}

// watch knows when changes were made and when their events arrived.
type watch struct {
	mu          sync.Mutex // guards what follows
	changed, at map[string]time.Time
}

func newWatch() *watch { return &watch{changed: map[string]time.Time{}, at: map[string]time.Time{}} }

func (w *watch) made(id tenancy.ID, version int64) { w.note(w.changed, id, version) }
func (w *watch) arrived(e catalog.Event)           { w.note(w.at, e.Tenant, e.Version) }

func (w *watch) note(in map[string]time.Time, id tenancy.ID, version int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	in[fmt.Sprint(id, " ", version)] = time.Now()
}

// delays waits until all events are there.
func (w *watch) delays(b *testing.B) (all []time.Duration) {
	b.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		all = all[:0]
		w.mu.Lock()
		for change, made := range w.changed {
			if at, ok := w.at[change]; ok {
				all = append(all, max(0, at.Sub(made)))
			}
		}
		n := len(w.changed)
		w.mu.Unlock()
		if len(all) == n {
			return all
		}
		if time.Now().After(end) {
			b.Fatalf("%d of %d events arrived in a minute", len(all), n)
		}
	}
}
