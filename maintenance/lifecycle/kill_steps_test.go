package lifecycle_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// mortal counts the steps of a process, and kills it at one of them. At 0 it lives.
type mortal struct{ steps, last atomic.Int64 }

func (m *mortal) step() {
	if m.steps.Add(1) == m.last.Load() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// dyingCatalog and dyingDatabases may die before and behind whatever a life cycle asks of
// them.
type dyingCatalog struct {
	*catalog.Catalog
	m *mortal
}

func (c dyingCatalog) Create(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error) {
	c.m.step()
	defer c.m.step()
	return c.Catalog.Create(ctx, t)
}

func (c dyingCatalog) SetStatus(ctx context.Context, id tenancy.ID, status tenancy.Status) (*tenancy.Tenant, error) {
	c.m.step()
	defer c.m.step()
	return c.Catalog.SetStatus(ctx, id, status)
}

func (c dyingCatalog) Edit(ctx context.Context, id tenancy.ID, change func(*tenancy.Tenant) error) (*tenancy.Tenant, error) {
	c.m.step()
	defer c.m.step()
	return c.Catalog.Edit(ctx, id, change)
}

func (c dyingCatalog) Delete(ctx context.Context, id tenancy.ID) error {
	c.m.step()
	defer c.m.step()
	return c.Catalog.Delete(ctx, id)
}

type dyingDatabases struct {
	*dbpool.Pool
	m *mortal
}

func (d dyingDatabases) Create(ctx context.Context, t *tenancy.Tenant) error {
	d.m.step()
	defer d.m.step()
	return d.Pool.Create(ctx, t)
}

func (d dyingDatabases) Drop(ctx context.Context, t *tenancy.Tenant) error {
	d.m.step()
	defer d.m.step()
	return d.Pool.Drop(ctx, t)
}

func (d dyingDatabases) Exclusive(ctx context.Context, t *tenancy.Tenant, fn func(context.Context) error) error {
	d.m.step()
	defer d.m.step()
	return d.Pool.Exclusive(ctx, t, func(ctx context.Context) error {
		d.m.step()
		defer d.m.step()
		return fn(ctx)
	})
}

type dyingMigrator struct {
	lifecycle.Migrator
	m *mortal
}

func (g dyingMigrator) Up(ctx context.Context, t *tenancy.Tenant) error {
	g.m.step()
	defer g.m.step()
	return g.Migrator.Up(ctx, t)
}

// killWard is what the killed and those after them share: a catalog with an audit, and
// locks.
func killWard(t *testing.T, name, dsn, database string) *ward {
	t.Helper()
	w := &ward{kit: killKit(t, name, dsn, database, "")}
	var err error
	if w.trail, err = audit.New(w.db, nil); err == nil {
		err = w.trail.Migrate(t.Context())
	}
	if err == nil {
		w.cat, err = catalog.New(w.db, &catalog.Options{Audit: w.trail})
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// lives returns a life cycle that may die.
func (w *ward) lives(t *testing.T, m *mortal, seed func(context.Context, *tenancy.Tenant) error) *lifecycle.Lifecycle {
	t.Helper()
	hook := func(context.Context) error { m.step(); return nil }
	l, err := lifecycle.New(dyingCatalog{w.cat, m}, dyingDatabases{w.pool, m}, dyingMigrator{w.migrator(t, killMigration), m}, &lifecycle.Options{
		Server: w.server.Name, Locks: locks(t, w.db, nil),
		Seed: func(ctx context.Context, tenant *tenancy.Tenant) error {
			m.step()
			defer m.step()
			return seed(ctx, tenant)
		},
		Drain:       func(ctx context.Context, _ *tenancy.Tenant) error { return hook(ctx) },
		BeforePurge: func(ctx context.Context, _ *tenancy.Tenant) error { return hook(ctx) },
		Forget:      []func(context.Context, tenancy.ID) error{func(ctx context.Context, _ tenancy.ID) error { return hook(ctx) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestKilledStepChild is the process that is killed: one life of a tenant, from its
// creation to its purge, and a creation that is undone.
func TestKilledStepChild(t *testing.T) {
	env := strings.Split(os.Getenv(killedEnv), " ")
	if len(env) != 4 || !strings.HasPrefix(env[3], "step-") {
		return // run as a test of its own it has nothing to show
	}
	w := killWard(t, env[0], env[1], env[2])
	m := &mortal{}
	good := w.lives(t, m, w.seedOne)
	bad := w.lives(t, m, func(context.Context, *tenancy.Tenant) error { return errors.New("bad seed") })
	last, err := strconv.ParseInt(strings.TrimPrefix(env[3], "step-"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("killme")
	m.last.Store(last)
	ctx := because(t)
	slug := fmt.Sprintf("s%d", os.Getpid())
	made, err := good.Create(ctx, &tenancy.Tenant{Slug: slug, Domains: []string{slug + ".example"}})
	for _, next := range []func(context.Context, tenancy.ID) error{good.Archive, good.Restore, good.Archive, good.PurgeNow} {
		if err == nil {
			err = next(ctx, made.ID)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bad.Create(ctx, &tenancy.Tenant{Slug: slug + "-bad"}); err == nil {
		t.Fatal("a tenant was made whose seed fails")
	}
	fmt.Println("steps", m.steps.Load())
}

// live runs a life in a process of its own, which dies at that step, or after that time. It
// returns how many steps there were if it did not.
func live(t *testing.T, env string, step int64, after time.Duration) (pid int, steps int64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledStepChild$")
	cmd.Env = append(os.Environ(), killedEnv+"="+env+fmt.Sprintf(" step-%d", step))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "killme" {
	}
	if after > 0 {
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // any moment will do
		defer timer.Stop()
	}
	said := ""
	for lines.Scan() {
		said += lines.Text() + "\n"
		_, _ = fmt.Sscanf(lines.Text(), "steps %d", &steps)
	}
	if _ = cmd.Wait(); cmd.ProcessState.Exited() && steps == 0 {
		t.Errorf("a life failed by itself:\n%s", said)
	}
	return cmd.Process.Pid, steps
}

// Processes are killed between any two steps, and at any time, of a tenant's life. Another
// one goes on with what was begun, or finds it undone; nothing is left, and nobody else's is
// touched. With TENANCY_SOAK there are 200 kills on each engine, or as many as it says.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		home := s.Tenant(t, "catalog") // the catalog's database
		w := killWard(t, s.Name, s.DSN, home.Placement.Database)
		other := w.archived(t, "other")
		stranger := s.Tenant(t, "stranger") // of no catalog
		w.exec(t, stranger, `CREATE TABLE notes (id INT)`, `INSERT INTO notes VALUES (1)`)
		env := strings.Join([]string{s.Name, s.DSN, home.Placement.Database}, " ")
		began := time.Now()
		_, steps := live(t, env, 0, 0)
		whole := time.Since(began)
		if steps < 20 {
			t.Fatalf("got a life of %d steps", steps)
		}
		kills := 4
		if testing.Short() {
			kills = 3
		}
		if soak := os.Getenv("TENANCY_SOAK"); soak != "" {
			if kills = 200; soak != "1" {
				kills, _ = strconv.Atoi(soak)
			}
		}
		var count struct{ killed, resumed, undone, whole, ended int }
		l := w.lives(t, &mortal{}, w.seedOne)
		for i := range kills {
			step, after := int64(0), time.Duration(0)
			switch {
			case i%3 == 2:
				after = rand.N(whole)
			case kills >= int(steps): // each of them
				step = int64(i)%steps + 1
			default:
				step = rand.N(steps) + 1
			}
			pid, ran := live(t, env, step, after)
			w.buried(t)
			if ran > 0 {
				count.ended++
			} else {
				count.killed++
			}
			found := 0
			for _, slug := range []string{fmt.Sprintf("s%d", pid), fmt.Sprintf("s%d-bad", pid)} {
				tenant, err := w.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: slug})
				if errors.Is(err, tenancy.ErrNotFound) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				found++
				if tenant.Status == tenancy.StatusProvisioning || tenant.Status == tenancy.StatusPurging {
					count.resumed++
				} else {
					count.whole++
				}
				w.goOn(t, l, tenant, step)
			}
			if found == 0 && ran == 0 {
				count.undone++
			}
		}
		left := w.leftOver(t)
		touched := 0
		if now := w.now(t, other.ID); now.Version != other.Version {
			touched++
		}
		w.wantArchived(t, other.ID)
		w.wantNotes(t, stranger, 1)
		report, err := w.trail.Verify(t.Context())
		if err != nil || report.Fault != nil || report.Entries < int64(kills) {
			t.Errorf("the audit: got %+v, %v", report, err)
		}
		t.Logf("%s: runs %d, killed %d, resumed %d, undone %d, whole %d, not killed in time %d, left over %d, foreign touched %d; a life has %d steps, the audit %d entries",
			s.Name, kills, count.killed, count.resumed, count.undone, count.whole, count.ended, left, touched, steps, report.Entries)
		if left != 0 || touched != 0 {
			t.Errorf("got %d left over, %d foreign touched", left, touched)
		}
	})
}

// buried waits until nothing of a process that was killed goes on, and lets the time pass
// that its locks last.
func (w *ward) buried(t *testing.T) {
	t.Helper()
	going := map[string]string{ // statements that were sent end, whoever sent them
		"postgres": `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active'`,
		"mysql":    `SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID() AND command NOT IN ('Sleep', 'Daemon')`,
	}[w.server.Name]
	for n := 1; going != "" && n > 0; {
		if err := w.db.Get(&n, going); err != nil {
			t.Fatal(err)
		}
	}
	w.db.MustExec(`UPDATE tenancy_locks SET expires_at = 1 WHERE expires_at > 1`)
}

// goOn brings a tenant whose process was killed to its end.
func (w *ward) goOn(t *testing.T, l *lifecycle.Lifecycle, tenant *tenancy.Tenant, step int64) {
	t.Helper()
	w.dropLater(t, tenant)
	was, err := tenant.Status, error(nil)
	if was == tenancy.StatusProvisioning {
		_, err = l.Resume(t.Context(), tenant.ID)
	}
	if err == nil && was != tenancy.StatusPurging {
		w.wantNotes(t, tenant, 1)
		err = l.Archive(t.Context(), tenant.ID)
	}
	if err == nil {
		err = l.PurgeNow(because(t), tenant.ID)
	}
	if err != nil {
		t.Errorf("killed at step %d, a tenant that was left %s: %v", step, was, err)
	}
	w.wantNothing(t, tenant.ID)
}

// leftOver returns how much the doctor finds that is this catalog's.
func (w *ward) leftOver(t *testing.T) (n int) {
	t.Helper()
	doc, err := w.lives(t, &mortal{}, w.seedOne).Doctor(t.Context(), &lifecycle.DoctorOptions{Audit: w.trail, Age: -1, Limit: -1, Found: func(f lifecycle.Finding) {
		switch f.Kind {
		case lifecycle.FindStranger, lifecycle.FindUnreadable, lifecycle.FindServer: // of tests beside this one
		default:
			n++
			t.Errorf("left over: %+v", f)
		}
	}})
	if err != nil || doc.Tenants != 1 {
		t.Errorf("got %+v, %v, want the one tenant that nobody killed", doc, err)
	}
	return n
}
