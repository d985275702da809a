package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
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

// TestMeasure prints how fast the console is: make bench-admin. It judges nothing, because a busy machine is no defect.
func TestMeasure(t *testing.T) {
	if os.Getenv("TENANCY_MEASURE") == "" {
		t.Skip("set TENANCY_MEASURE=1, or run make bench-admin")
	}
	n, err := strconv.Atoi(os.Getenv("TENANCY_MEASURE_TENANTS"))
	if err != nil {
		n = 2000
	}
	for _, name := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(name, func(t *testing.T) { measure(t, tenancytest.NewServer(t, name), n) })
	}
	t.Run("viewers", measureViewers)
	t.Run("sign-in", measureSignIn)
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
	c.keep(t)
	hour := time.Now().UTC().Truncate(time.Minute)
	for chunk := range slices.Chunk(ids, 500) {
		b := &analytics.Batch{Instance: analytics.Instance{ID: 1, Name: "one", Started: time.Now(), Interval: time.Second, Recorded: analytics.Columns()}}
		for i, id := range chunk {
			p := analytics.Part{Tenant: id, Start: hour, Source: 1, Revision: 1}
			p.Counts.Values[analytics.Requests], p.Counts.Values[analytics.Status2xx], p.Counts.Values[analytics.LastSeen] = int64(i), int64(i), time.Now().UnixMicro()
			b.Parts = append(b.Parts, p)
		}
		if _, err := c.store.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println("| 8 clients at once, each 40 times | cold | p50 | p99 |\n|---|---|---|---|")
	var one int
	row("a bare query: SELECT COUNT(*) of the tenants", func() error { return c.db.Get(&one, `SELECT COUNT(*) FROM tenancy_tenants`) }, t)
	cl := c.as(t, auth.RoleOwner, tenancy.AllTenants())
	scoped := c.as(t, auth.RoleViewer, tenancy.ByTags("eu"))
	for _, path := range []string{"me", "tenants", "tenants?filter=plan:pro%20sort:-created&limit=50", "facets", "lookup?q=m-00042", "analytics/overview", "analytics/tenants?sort=-requests&limit=50", "analytics/memory", "analytics/performance", "analytics/trends", "analytics/top", "analytics/health?limit=50", "audit?limit=50"} {
		for who, as := range map[string]*client{"": cl, "(scope of a tag)": scoped} {
			if who != "" && path != "tenants" && path != "facets" {
				continue
			}
			row(strings.TrimSpace("GET "+path+" "+who), func() error {
				w := as.quiet(t, path)
				if w.code != 200 {
					return fmt.Errorf("%s: %d %s", path, w.code, w.body)
				}
				return nil
			}, t)
		}
	}
	began = time.Now()
	report, err := c.trail.Verify(t.Context())
	if err != nil || report.Fault != nil {
		t.Fatalf("%+v, %v", report, err)
	}
	took := time.Since(began)
	fmt.Printf("audit sealed and verified: %d entries in %v, %.0f a second\n", report.Entries, took.Round(time.Millisecond), float64(report.Entries)/took.Seconds())
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
	fmt.Printf("1000 denials in %v: %d rows of the audit\n", time.Since(began).Round(time.Millisecond), rows)
}

// row measures what do takes, 8 at a time.
func row(what string, do func() error, t *testing.T) {
	t.Helper()
	began := time.Now()
	if err := do(); err != nil {
		t.Error(err)
		return
	}
	cold := time.Since(began)
	var mu sync.Mutex
	var took []time.Duration
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 40 {
				began := time.Now()
				err := do()
				d := time.Since(began)
				mu.Lock()
				took = append(took, d)
				if err != nil {
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	fmt.Printf("| %s | %v | %v | %v |\n", what, cold.Round(10*time.Microsecond), took[len(took)/2].Round(10*time.Microsecond), took[len(took)*99/100].Round(10*time.Microsecond))
}

// quiet sends a request without a look at the document, which many may do at once.
func (cl *client) quiet(t *testing.T, path string) answer {
	t.Helper()
	w := httptest.NewRecorder()
	cl.c.Handler().ServeHTTP(w, cl.request(t, "GET", path, ""))
	return answer{w.Code, w.Header(), w.Body.String()}
}

// measureSignIn compares sign-ins of accounts that exist with those that do not, and looks at memory while many are wrong.
func measureSignIn(t *testing.T) {
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	if _, err := c.Auth().CreateOperator(t.Context(), auth.OperatorSpec{Email: "known@example.com", Role: auth.RoleViewer, Scope: tenancy.AllTenants(), Password: password}); err != nil {
		t.Fatal(err)
	}
	sign := func(email string) time.Duration {
		began := time.Now()
		if a := c.client().do(t, "POST", "auth/sign-in", `{"email":"`+email+`","password":"not the password, no"}`); a.code != 401 {
			t.Errorf("got %d %s", a.code, a.body)
		}
		return time.Since(began)
	}
	medians := map[string]time.Duration{}
	took := map[string][]time.Duration{}
	for range 100 {
		for _, email := range []string{"known@example.com", "unknown@example.com"} {
			took[email] = append(took[email], sign(email))
		}
	}
	for email, all := range took {
		slices.Sort(all)
		medians[email] = all[len(all)/2]
	}
	known, unknown := medians["known@example.com"], medians["unknown@example.com"]
	fmt.Printf("\nwrong password, medians of 100: known account %v, unknown %v, a difference of %.1f %%\n", known.Round(10*time.Microsecond), unknown.Round(10*time.Microsecond), 100*(float64(known)/float64(unknown)-1))
	runtime.GC()
	var before, most runtime.MemStats
	runtime.ReadMemStats(&before)
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var all sync.WaitGroup
	var peak uint64
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			all.Go(func() {
				c.client().do(t, "POST", "auth/sign-in", `{"email":"known@example.com","password":"not the password, no"}`)
			})
			runtime.ReadMemStats(&most)
			peak = max(peak, most.HeapInuse)
		}
	}
	all.Wait()
	fmt.Printf("50 wrong sign-ins a second for 10 s: heap in use at most %d MiB more\n", (max(peak, before.HeapInuse)-before.HeapInuse)>>20)
}

// share returns the duration that so many of a hundred do not exceed.
func share(all []time.Duration, percent int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)*percent/100, len(all)-1)].Round(10 * time.Microsecond)
}

// measureViewers opens 200 streams that are read and 20 that are not, and says how old frames are when they arrive, and what they cost. Processor and memory
// are those of the console and of the viewers together.
func measureViewers(t *testing.T) {
	const viewers, silent, lasts = 200, 20, 15 * time.Second
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	c.keep(t)
	server := httptest.NewServer(c.Handler())
	defer server.Close()
	defer server.CloseClientConnections()
	var operators []*client
	for range (viewers + silent + 9) / 10 {
		operators = append(operators, c.as(t, auth.RoleViewer, tenancy.AllTenants()))
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var mu sync.Mutex
	var took []time.Duration
	began, used := time.Now(), processorTime(t)
	var all sync.WaitGroup
	for i := range viewers + silent {
		s := operators[i/10].stream(t, server, "overview")
		if s.code != 200 {
			t.Fatalf("got %d", s.code)
		}
		if i >= viewers {
			continue // it is never read
		}
		all.Go(func() {
			for time.Since(began) < lasts && s.Scan() {
				text, isData := strings.CutPrefix(s.Text(), "data: ")
				var f struct{ Time time.Time }
				if !isData || json.Unmarshal([]byte(text), &f) != nil {
					continue
				}
				mu.Lock()
				took = append(took, time.Since(f.Time))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	spent := processorTime(t) - used
	runtime.GC()
	runtime.ReadMemStats(&after)
	fmt.Printf("\n%d viewers and %d that do not read, for %v: from the frame to the client p50 %v, p99 %v of %d; %.1f %% of a core, %d KiB of heap for each, viewer and console together\n",
		viewers, silent, lasts, share(took, 50), share(took, 99), len(took), 100*spent.Seconds()/time.Since(began).Seconds(), (max(after.HeapInuse, before.HeapInuse)-before.HeapInuse)>>10/(viewers+silent))
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
