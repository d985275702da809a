//go:build unix

package cache_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

// processEnv is set for the processes of startProcesses, to the file of the
// catalog. The address of Redis follows as an argument.
const processEnv = "CATALOG_TEST_PROCESS"

func TestMain(m *testing.M) {
	if file := os.Getenv(processEnv); file != "" {
		if err := process(file, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// openProcess returns the catalog and the cache of a process.
func openProcess(file, redis string) (*catalog.Catalog, *cache.Cache, error) {
	db, err := sqlite.Open(file)
	if err != nil {
		return nil, nil, err
	}
	cat, err := catalog.New(db, nil)
	if err != nil {
		return nil, nil, err
	}
	opts, err := rueidis.ParseURL(redis)
	if err != nil {
		return nil, nil, err
	}
	client, err := rueidis.NewClient(opts)
	if err != nil {
		return nil, nil, err
	}
	// Nothing is seen but by changes.
	c, err := cache.NewRedis(cat, client, alone, &cache.Options{TTL: time.Hour, MaxAgeUnsynced: time.Hour})
	return cat, c, err
}

// process asks for the tenant acme all the time and prints each version that it
// sees, and when: in nanoseconds since 1970.
func process(file, redis string) error {
	ctx := context.Background()
	_, c, err := openProcess(file, redis)
	if err != nil {
		return err
	}
	go func() { _ = c.Run(ctx) }()
	for c.Stat().Unsynced {
		time.Sleep(time.Millisecond)
	}
	for seen := int64(0); ; time.Sleep(200 * time.Microsecond) {
		t, err := c.Find(ctx, slug("acme"))
		if err != nil {
			return err
		}
		if t.Version < seen {
			return fmt.Errorf("version %d after %d", t.Version, seen)
		}
		if t.Version > seen {
			seen = t.Version
			fmt.Println(seen, time.Now().UnixNano())
		}
	}
}

// sight is what a process has printed.
type sight struct {
	process int
	version int64
	at      time.Time
}

// startProcesses starts so many processes beside this one and returns what they see.
func startProcesses(tb testing.TB, n int, file, redis string) <-chan sight {
	tb.Helper()
	seen := make(chan sight, 1000)
	for i := range n {
		cmd := exec.CommandContext(tb.Context(), os.Args[0], redis)
		cmd.Env = append(os.Environ(), processEnv+"="+file)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			tb.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		go func() {
			for lines := bufio.NewScanner(out); lines.Scan(); {
				var version, at int64
				if _, err := fmt.Sscan(lines.Text(), &version, &at); err == nil {
					seen <- sight{i, version, time.Unix(0, at)}
				}
			}
		}()
	}
	return seen
}

// freshness makes so many changes, and returns for each and each of three other
// processes how long after its beginning it was seen there, in ascending order.
func freshness(tb testing.TB, server *testserver.Server, changes int) []time.Duration {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "catalog.db")
	cat, c, err := openProcess(file, server.URL)
	if err != nil {
		tb.Fatal(err)
	}
	if err := cat.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	run(tb, c)
	if _, err := cat.Create(tb.Context(), &tenancy.Tenant{ID: "acme-1", Slug: "acme"}); err != nil {
		tb.Fatal(err)
	}
	const processes = 3
	seen := startProcesses(tb, processes, file, server.URL)
	at := [processes]int64{} // the last version
	await := func(version int64, each func(process int, from, to int64, at time.Time)) {
		tb.Helper()
		timeout := time.After(patient)
		for slices.Min(at[:]) < version {
			select {
			case s := <-seen:
				each(s.process, at[s.process], s.version, s.at)
				at[s.process] = s.version
			case <-timeout:
				tb.Fatalf("processes have seen versions %d, want %d", at, version)
			}
		}
	}
	await(1, func(int, int64, int64, time.Time) {})
	var took []time.Duration
	for i := range changes {
		began := time.Now()
		plan := fmt.Sprint(i)
		t, err := c.Find(tb.Context(), slug("acme"))
		if err != nil {
			tb.Fatal(err)
		}
		t = t.Clone()
		t.Plan = plan
		if t, err = cat.Update(tb.Context(), t); err != nil {
			tb.Fatal(err)
		}
		await(t.Version, func(_ int, _, _ int64, at time.Time) { took = append(took, at.Sub(began)) })
	}
	slices.Sort(took)
	return took
}

// Processes of their own see each change. Records last for an hour there, so what they
// see they were told. How soon is up to the machine: BenchmarkCacheFreshness says it.
func TestCacheProcesses(t *testing.T) {
	t.Parallel()
	took := freshness(t, startRedis(t), 50)
	if len(took) != 150 {
		t.Errorf("%d changes were seen, want 150", len(took))
	}
	t.Logf("within %v (p50), %v (p90), %v (all)", took[len(took)/2], took[len(took)*9/10], took[len(took)-1])
}

// BenchmarkCacheFreshness shows how long after the beginning of a change three
// other processes see it. Run it with -benchtime 2000x.
func BenchmarkCacheFreshness(b *testing.B) {
	server := startRedis(b)
	took := freshness(b, server, b.N)
	for name, at := range map[string]int{"p50-ms": len(took) / 2, "p99-ms": len(took) * 99 / 100, "max-ms": len(took) - 1} {
		b.ReportMetric(float64(took[at].Microseconds())/1000, name)
	}
}
