package analytics_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/tenancytest"
)

const killedKeeperEnv = "USAGE_KILLED_KEEPER"

// A keeper that is killed at any time, in a roll-up, in sums or while it removes old rows, leaves nothing that is doubled,
// missing or left over once the next has kept.
func TestKilledKeeper(t *testing.T) {
	if where := os.Getenv(killedKeeperEnv); where != "" {
		keepUntilKilled(t, where)
		return
	}
	t.Parallel()
	kills := 3
	if os.Getenv("TENANCY_SOAK") != "" {
		kills = 100
	}
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		where := s.Name + " " + filepath.Join(t.TempDir(), "usage.db")
		if s.Name != "sqlite" {
			where = s.Name + " " + s.Tenant(t, "usage").Placement.Database
		}
		db := openKept(t, where)
		store, err := analytics.NewSQL(db, patient(1))
		if err == nil {
			err = store.Migrate(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		k := &keptUsage{db: db, store: store, want: map[tenancy.ID]int64{}}
		for i := range 20 {
			tenant := tenancytest.NewTenant(fmt.Sprintf("t%d", i))
			tenant.ID = tenancy.ID(tenant.Slug)
			k.tenants = append(k.tenants, tenant)
		}
		for round := range kills {
			k.add(t, int64(round+1))
			killKeeper(t, where, rand.N(40))
			// As if the time of the lease that it held had passed.
			if _, err := db.ExecContext(t.Context(), `UPDATE tenancy_usage_leases SET expires_at = 0`); err != nil {
				t.Fatal(err)
			}
			k.check(t, fmt.Sprintf("kill %d", round))
		}
		k.keep(t)
		k.check(t, "after the last")
		k.checkTables(t)
	})
}

// openKept opens the database that the text names.
func openKept(t *testing.T, where string) *sqlx.DB {
	t.Helper()
	name, database, _ := strings.Cut(where, " ")
	if name == "sqlite" {
		db, err := sqlite.Open(database)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	engine := tenancytest.NewServer(t, name).Engine
	to, err := engine.Connector(database)
	if err != nil {
		t.Fatal(err)
	}
	db := sqlx.NewDb(sql.OpenDB(to), engine.DriverName())
	t.Cleanup(func() { _ = db.Close() })
	return db
}

type keptUsage struct {
	db      *sqlx.DB
	store   *analytics.SQL
	tenants []*tenancy.Tenant
	want    map[tenancy.ID]int64
}

// add writes usage of all tenants in minutes of the last two hours, of a source of its own, so that hours are opened again.
func (k *keptUsage) add(t *testing.T, source int64) {
	t.Helper()
	now, err := k.store.Write(t.Context(), &analytics.Batch{Tenants: k.tenants, Instance: analytics.Instance{ID: 1, Interval: time.Hour, Recorded: analytics.Columns()}})
	if err != nil {
		t.Fatal(err)
	}
	b := &analytics.Batch{Instance: analytics.Instance{ID: 1, Interval: time.Hour, Recorded: analytics.Columns()}}
	for _, tenant := range k.tenants {
		for ago := 1; ago < 110; ago += 7 {
			p := analytics.Part{Tenant: tenant.ID, Start: now.Truncate(time.Minute).Add(-time.Duration(ago) * time.Minute), Source: source, Revision: 1}
			n := 1 + rand.Int64N(100)
			p.Counts.Values[analytics.Requests] = n
			k.want[tenant.ID] += n
			b.Parts = append(b.Parts, p)
		}
	}
	if _, err := k.store.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func (k *keptUsage) keep(t *testing.T) {
	t.Helper()
	keeper, err := analytics.NewKeeper(k.store, tenancytest.NewCatalog(t, k.tenants...), nil)
	for err == nil {
		if err = keeper.Keep(t.Context()); err == nil {
			return
		}
		if errors.Is(err, tenancy.ErrLimited) { // one that was killed still ends what it has begun
			err = nil
		}
	}
	t.Fatal(err)
}

// check compares what the store says with what was written.
func (k *keptUsage) check(t *testing.T, when string) {
	t.Helper()
	state, err := k.store.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := k.store.Sum(t.Context(), &analytics.SumQuery{Scope: tenancy.AllTenants(), Period: analytics.Period{From: state.Now.Add(-5 * time.Hour), To: state.Now}, ByTenant: true})
	if err != nil || len(rows) != len(k.tenants) {
		t.Fatalf("%s: got %d rows, %v", when, len(rows), err)
	}
	for _, row := range rows {
		if got := row.Counts.Get(analytics.Requests); got != k.want[row.Tenant] {
			t.Errorf("%s: %s: got %d requests, want %d", when, row.Tenant, got, k.want[row.Tenant])
		}
	}
}

// checkTables compares the rows of each longer table with those of the shorter one.
func (k *keptUsage) checkTables(t *testing.T) {
	t.Helper()
	state, err := k.store.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum := func(query string, args ...any) (n int64) {
		t.Helper()
		if err := k.db.GetContext(t.Context(), &n, k.db.Rebind(`SELECT COALESCE(`+query), args...); err != nil {
			t.Fatal(err)
		}
		return n
	}
	minutes, hours := state.Minutes.UnixMicro(), state.Hours.UnixMicro()
	for name, pair := range map[string][2]int64{
		"minutes": {sum(`SUM(requests), 0) FROM tenancy_usage_parts WHERE bucket < ?`, minutes), sum(`SUM(requests), 0) FROM tenancy_usage_1m WHERE bucket < ?`, minutes)},
		"hours":   {sum(`SUM(requests), 0) FROM tenancy_usage_1m WHERE bucket < ?`, hours), sum(`SUM(requests), 0) FROM tenancy_usage_1h WHERE bucket < ?`, hours)},
		"minutes of all": {sum(`SUM(requests), 0) FROM tenancy_usage_1m WHERE bucket < ?`, minutes),
			sum(`SUM(requests), 0) FROM tenancy_usage_fleet WHERE step = ? AND bucket < ?`, time.Minute.Microseconds(), minutes)},
		"rows behind the minutes": {0, sum(`COUNT(*), 0) FROM tenancy_usage_1m WHERE bucket >= ?`, minutes)},
		"rows behind the hours":   {0, sum(`COUNT(*), 0) FROM tenancy_usage_1h WHERE bucket >= ?`, hours)},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %d, want %d", name, pair[1], pair[0])
		}
	}
	for span, p := range state.Sums {
		rows, err := k.store.Sum(t.Context(), &analytics.SumQuery{Scope: tenancy.AllTenants(), Span: span})
		exact, err2 := k.store.Sum(t.Context(), &analytics.SumQuery{Scope: tenancy.AllTenants(), Period: p})
		if err != nil || err2 != nil || len(rows) != 1 || rows[0].Counts.Get(analytics.Requests) != exact[0].Counts.Get(analytics.Requests) {
			t.Errorf("sums of %v: got %+v, %v %v, want %+v", span, rows, err, err2, exact)
		}
	}
	if n := sum(`COUNT(*), 0) FROM (SELECT DISTINCT span, bucket FROM tenancy_usage_sums WHERE span <> 'month') s`); n > 10 {
		t.Errorf("got sums up to %d times, want at most two for each of five spans", n)
	}
}

// killKeeper starts a keeper, and kills it that many lines and some time later.
func killKeeper(t *testing.T, where string, lines int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKilledKeeper$") // this program
	cmd.Env = append(os.Environ(), killedKeeperEnv+"="+where)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for text := bufio.NewScanner(out); text.Scan(); {
		if !strings.HasPrefix(text.Text(), "keeping") {
			continue
		}
		if seen++; seen == 1 {
			time.AfterFunc(time.Duration(lines)*10*time.Millisecond, func() { _ = cmd.Process.Kill() }) // in the middle of something
		}
	}
	_ = cmd.Wait() // it was killed
	if seen == 0 {
		t.Error("it did not begin to keep")
	}
}

// keepUntilKilled keeps over and over, and lets the store open its hours again.
func keepUntilKilled(t *testing.T, where string) {
	db := openKept(t, where)
	store, err := analytics.NewSQL(db, patient(1))
	if err != nil {
		t.Fatal(err)
	}
	var tenants []*tenancy.Tenant
	for i := range 20 {
		tenant := tenancytest.NewTenant(fmt.Sprintf("t%d", i))
		tenant.ID = tenancy.ID(tenant.Slug)
		tenants = append(tenants, tenant)
	}
	keeper, err := analytics.NewKeeper(store, tenancytest.NewCatalog(t, tenants...), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	for {
		fmt.Println("keeping")
		if err := keeper.Keep(ctx); err != nil && !errors.Is(err, tenancy.ErrLimited) {
			t.Fatal(err)
		}
		// Rolled up again from the first minute on, as after a late flush.
		if _, err := db.ExecContext(ctx, `UPDATE tenancy_usage_state SET value = value + 1 WHERE name = 'reopened'`); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"minutes", "hours"} {
			_, err := db.ExecContext(ctx, db.Rebind(`UPDATE tenancy_usage_state SET value = (SELECT COALESCE(MIN(bucket), 0) FROM tenancy_usage_parts) - (SELECT COALESCE(MIN(bucket), 0) FROM tenancy_usage_parts) % 3600000000 WHERE name = ?`), name)
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
