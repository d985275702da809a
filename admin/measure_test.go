package admin_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// TestMeasure prints how fast the console is, beside what it should be: make bench-admin. It does not judge speed, because a busy machine is no
// defect. It fails when an answer is wrong: a sign-out that nobody asked for, a run that is carried out twice.
func TestMeasure(t *testing.T) {
	if os.Getenv("TENANCY_MEASURE") == "" {
		t.Skip("set TENANCY_MEASURE=1, or run make bench-admin")
	}
	usual := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler)) // what fails on purpose
	defer slog.SetDefault(usual)
	n, err := strconv.Atoi(os.Getenv("TENANCY_MEASURE_TENANTS"))
	if err != nil {
		n = 2000
	}
	for _, name := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(name, func(t *testing.T) { measure(t, tenancytest.NewServer(t, name), n) })
	}
	t.Run("viewers", measureViewers)
	t.Run("sign-in", measureSignIn)
	t.Run("restarts", measureRestarts)
	t.Run("killed", measureKilled)
	t.Run("example", measureExample)
}

func measure(t *testing.T, s *tenancytest.Server, n int) {
	c := newConsole(t, s, nil)
	began := time.Now()
	ids := []tenancy.ID{}
	for i := range n {
		made, err := c.cat.Create(t.Context(), &tenancy.Tenant{Slug: fmt.Sprintf("m-%05d", i), Status: tenancy.StatusActive, Plan: []string{"free", "pro"}[i%2], Tags: []string{"eu"}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, made.ID)
	}
	fmt.Printf("\n%s: %d tenants, each made with its entry in %v\n", s.Name, n, (time.Since(began) / time.Duration(n)).Round(time.Microsecond))
	hour := time.Now().UTC().Truncate(time.Minute)
	flush := func(ids []tenancy.ID, revision int64) error {
		for chunk := range slices.Chunk(ids, 500) {
			b := &analytics.Batch{Instance: analytics.Instance{ID: 1, Name: "one", Started: time.Now(), Interval: time.Second, Recorded: analytics.Columns()}}
			for i, id := range chunk {
				p := analytics.Part{Tenant: id, Start: hour, Source: 1, Revision: revision}
				p.Counts.Values[analytics.Requests], p.Counts.Values[analytics.Status2xx], p.Counts.Values[analytics.LastSeen] = int64(i)*revision, int64(i)*revision, time.Now().UnixMicro()
				b.Parts = append(b.Parts, p)
			}
			if _, err := c.store.Write(t.Context(), b); err != nil {
				return err
			}
		}
		return nil
	}
	c.keep(t)
	if err := flush(ids, 1); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	c.fillDays(t, s.Name, 90)
	c.keep(t)
	fmt.Printf("90 days of them in %v. A recorder writes 500 tenants each second.\n", time.Since(began).Round(time.Millisecond))
	beside(t, func(ctx context.Context) error {
		for tick, revision := time.NewTicker(time.Second), int64(2); ; revision++ {
			select {
			case <-ctx.Done():
				tick.Stop()
				return nil
			case <-tick.C:
			}
			if err := flush(ids[:min(500, len(ids))], revision); err != nil && ctx.Err() == nil {
				return err
			}
		}
	})
	fmt.Println("| 8 clients at once, each 40 times; goal: p99 < 50 ms | cold | p50 | p99 | 503 |\n|---|---|---|---|---|")
	var one int
	row("a bare query: SELECT COUNT(*) of the tenants", func() error { return c.db.Get(&one, `SELECT COUNT(*) FROM tenancy_tenants`) }, t)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	scoped := c.as(t, auth.RoleViewer, tenancy.ByTags("eu"))
	first, six := string(ids[0]), strings.Join(idTexts(ids[:min(6, len(ids))]), ",")
	for _, path := range []string{"me", "tenants", "tenants?filter=plan:pro%20sort:-created&limit=50", "facets", "lookup?q=m-00042", "audit?limit=50",
		"analytics/overview", "analytics/tenants?sort=-requests&limit=50", "analytics/tenants?sort=-requests&limit=50&window=90d", "analytics/tenant/" + first, "analytics/tenant/" + first + "?window=90d",
		"analytics/tenant/" + first + "/series?window=90d", "analytics/memory", "analytics/performance", "analytics/performance?window=90d", "analytics/compare?tenants=" + six + "&window=30d",
		"analytics/trends", "analytics/trends?window=90d", "analytics/top", "analytics/top?window=90d", "analytics/neighbours", "analytics/activities", "analytics/logins", "analytics/logins/subjects",
		"analytics/usage?limit=50", "analytics/spread", "analytics/storage", "analytics/storage/" + first, "analytics/patterns", "analytics/patterns/" + first, "analytics/change", "analytics/change/" + first,
		"analytics/forecast", "analytics/forecast/" + first, "analytics/health?limit=50"} {
		for who, as := range map[string]*client{"": cl, "(scope of a tag)": scoped} {
			if who != "" && path != "tenants" && path != "facets" {
				continue
			}
			row(strings.TrimSpace("GET "+path+" "+who), func() error {
				w := as.quiet(t, path)
				if w.code == 503 {
					return errUnavailable
				}
				if w.code != 200 {
					return fmt.Errorf("%s: %d %s", path, w.code, w.body)
				}
				return nil
			}, t)
		}
	}
	c.measureSeals(t)
	viewer := c.as(t, auth.RoleViewer, tenancy.AllTenants())
	began = time.Now()
	for range 1000 {
		viewer.quiet(t, "operators")
	}
	rows := 0
	for _, err := range c.trail.Entries(t.Context(), audit.Filter{Results: []tenancy.AuditResult{tenancy.AuditDenied}}) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	took := time.Since(began)
	fmt.Printf("1000 denials in %v: %d rows of the audit, %.1f a second (goal at 1,000 denials a second: at most 20)\n", took.Round(time.Millisecond), rows, float64(rows)/took.Seconds())
}

func idTexts(ids []tenancy.ID) (out []string) {
	for _, id := range ids {
		out = append(out, string(id))
	}
	return out
}

// beside does work until stop is called, or the test ends.
func beside(t *testing.T, work ...func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var all sync.WaitGroup
	for _, w := range work {
		all.Go(func() {
			if err := w(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	stop = func() { cancel(); all.Wait() }
	t.Cleanup(stop)
	return stop
}

// fillDays gives each tenant that the reports know so many days of usage before today.
func (c *console) fillDays(t *testing.T, engine string, days int) {
	t.Helper()
	latency := binary.AppendUvarint(nil, 12) // 20 buckets that are not empty, as usual days have
	for i := range uint64(20) {
		if i > 0 {
			latency = binary.AppendUvarint(latency, 0)
		}
		latency = binary.AppendUvarint(latency, 1+i*7%50)
	}
	for i := range days {
		at := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1-i).UnixMicro()
		if engine == "postgres" {
			if _, err := c.db.Exec(`SELECT tenancy_usage_partition('tenancy_usage_1d', $1)`, at); err != nil {
				t.Fatal(err)
			}
		}
		const counts = `requests, status_2xx, status_5xx, latency_time, bytes_out, statements, statement_time, cpu_time, in_flight`
		if _, err := c.db.Exec(c.db.Rebind(`INSERT INTO tenancy_usage_1d (tenant_key, bucket, `+counts+`, last_seen, latency)
			SELECT tenant_key, ?, 1000 + tenant_key * 7919 % 997, 900 + tenant_key * 7919 % 997, 100, 20000000, 9000000, 5000, 7000000, 2500000, 3, ?, ? FROM tenancy_usage_tenants WHERE tenant_key > 2`), at, at, latency); err != nil {
			t.Fatal(err)
		}
		if _, err := c.db.Exec(c.db.Rebind(`INSERT INTO tenancy_usage_fleet (step, bucket, tenants, requests, status_2xx, status_5xx, latency_time, bytes_out, statements, statement_time, cpu_time, in_flight)
			SELECT 86400000000, bucket, COUNT(*), SUM(requests), SUM(status_2xx), SUM(status_5xx), SUM(latency_time), SUM(bytes_out), SUM(statements), SUM(statement_time), SUM(cpu_time), MAX(in_flight) FROM tenancy_usage_1d WHERE bucket = ? GROUP BY bucket`), at); err != nil {
			t.Fatal(err)
		}
	}
}

// measureSeals writes 1,000 entries a second and says how long the oldest waits for its seal; then it reads a long audit.
func (c *console) measureSeals(t *testing.T) {
	t.Helper()
	if _, err := c.trail.Verify(t.Context()); err != nil { // which seals what was written before
		t.Fatal(err)
	}
	beside(t, c.trail.Run)
	write := func(n int) {
		t.Helper()
		tx, err := c.db.BeginTx(t.Context(), nil)
		for range n {
			if err == nil {
				err = c.trail.Audit(t.Context(), tx, tenancy.NewEntry(t.Context(), "tenant.plan", "t-aaa"))
			}
		}
		if err == nil {
			err = tx.Commit()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var waited []time.Duration
	const lasts = 5 * time.Second
	written, began := 0, time.Now()
	stop := beside(t, func(ctx context.Context) error {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			var oldest int64
			if err := c.db.GetContext(ctx, &oldest, `SELECT COALESCE(MIN(time), 0) FROM tenancy_audit WHERE number IS NULL`); err != nil {
				return err
			}
			if oldest > 0 {
				waited = append(waited, time.Since(time.UnixMicro(oldest)))
			}
		}
		return nil
	})
	for tick := time.NewTicker(10 * time.Millisecond); time.Since(began) < lasts; <-tick.C {
		for ; written < int(time.Since(began).Milliseconds()); written += 10 {
			write(10)
		}
	}
	rate := float64(written) / time.Since(began).Seconds()
	stop()
	fmt.Printf("entries at %.0f a second: the oldest that is not sealed has waited p50 %v, p99 %v (goal: p99 < 2 s)\n", rate, share(waited, 50), share(waited, 99))
	for range 20 {
		write(1000)
	}
	if _, err := c.trail.Verify(t.Context()); err != nil { // which seals the rest
		t.Fatal(err)
	}
	peak := peakHeap()
	began = time.Now()
	report, err := c.trail.Verify(t.Context())
	if err != nil || report.Fault != nil {
		t.Fatalf("%+v, %v", report, err)
	}
	took := time.Since(began)
	fmt.Printf("audit verified: %d entries in %v, %.0f a second (goal: 100,000), heap in use at most %d MiB more\n", report.Entries, took.Round(time.Millisecond), float64(report.Entries)/took.Seconds(), peak()>>20)
}

// peakHeap looks at the heap until the function is called that it returns, which says how many bytes more were in use at most.
func peakHeap() func() uint64 {
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	ended, done := make(chan struct{}), make(chan uint64)
	go func() {
		most := before.HeapInuse
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-ended:
				tick.Stop()
				done <- most - before.HeapInuse
				return
			case <-tick.C:
			}
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapInuse)
		}
	}()
	return func() uint64 { close(ended); return <-done }
}

// errUnavailable is an answer that a busy machine did not have in time.
var errUnavailable = errors.New("503")

// row measures what do takes, 8 at a time.
func row(what string, do func() error, t *testing.T) {
	t.Helper()
	began := time.Now()
	if err := do(); err != nil && err != errUnavailable { //nolint:errorlint // it is this one
		t.Error(err)
		return
	}
	cold := time.Since(began)
	var mu sync.Mutex
	var took []time.Duration
	late := 0
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 40 {
				began := time.Now()
				err := do()
				d := time.Since(began)
				mu.Lock()
				took = append(took, d)
				switch {
				case err == errUnavailable: //nolint:errorlint // it is this one
					late++
				case err != nil:
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	fmt.Printf("| %s | %v | %v | %v | %d |\n", what, cold.Round(10*time.Microsecond), took[len(took)/2].Round(10*time.Microsecond), took[len(took)*99/100].Round(10*time.Microsecond), late)
}

// quiet sends a request without a look at the document, which many may do at once.
func (cl *client) quiet(t *testing.T, path string) answer {
	t.Helper()
	w := httptest.NewRecorder()
	cl.c.Handler().ServeHTTP(w, cl.request(t, "GET", path, ""))
	return answer{w.Code, w.Header(), w.Body.String()}
}

// processorTime is what this process has used of the processors.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
