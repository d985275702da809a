package dbpool_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// However many files there are, those that are open at a time are no more than
// the budget, three descriptors for each connection. With TENANCY_SOAK set there
// are ten thousand.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	files, budget := 100, 10
	if os.Getenv("TENANCY_SOAK") != "" {
		files = 10_000
	}
	dir := t.TempDir()
	engine, err := sqlite.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	tenants := make([]*tenancy.Tenant, files)
	var made sync.WaitGroup
	for part := range 8 {
		made.Go(func() {
			for i := part; i < files; i += 8 {
				tenants[i] = tenancytest.NewTenant(fmt.Sprintf("t%d", i))
				if err := engine.Create(t.Context(), tenants[i].Placement.Database, tenants[i].ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	made.Wait()
	pool, err := dbpool.New(map[string]driver.Engine{tenants[0].Placement.Server: engine}, &dbpool.Options{Budget: budget})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 9)) // not a secret
			for range 2 * files / 16 {
				tenant := tenants[rnd.IntN(files)]
				db, err := pool.For(t.Context(), tenant)
				if err != nil {
					t.Error(err)
					return
				}
				var id tenancy.ID
				if err := db.Get(&id, `SELECT tenant_id FROM tenancy_marker`); err != nil || id != tenant.ID {
					t.Errorf("got %q, %v, want %q", id, err, tenant.ID)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	most := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			most = max(most, openFiles(t, dir))
		}
	}
	// While descriptors are listed, connections come and go and count twice.
	if listed := budget + 3; most == 0 || most > 3*listed {
		t.Errorf("got %d open files, want some, and 3 for each of %d connections at most", most, listed)
	}
	if err := pool.Close(); err != nil {
		t.Error(err)
	}
	if n := openFiles(t, dir); n != 0 {
		t.Errorf("after Close: got %d open files, want none", n)
	}
	t.Logf("%d files, at most %d descriptors, %+v", files, most, pool.Stat(tenants[0].Placement.Server))
}

// openFiles counts this process's descriptors below a folder.
func openFiles(t *testing.T, dir string) int {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(links) == 0 {
		t.Skip("no /proc")
	}
	n := 0
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, dir+"/") { // the folder itself is opened to sync it
			n++
		}
	}
	return n
}
