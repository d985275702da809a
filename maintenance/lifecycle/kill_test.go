package lifecycle_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// killedEnv tells a process that it is the one to be killed: the engine, its DSN,
// where the catalog is and the template, separated by spaces.
const killedEnv = "TENANCY_TEST_KILLED"

const killMigration = "-- +goose Up\nCREATE TABLE notes (id INTEGER NOT NULL PRIMARY KEY);\nCREATE TABLE a (id INTEGER);\n" +
	"CREATE TABLE b (id INTEGER);\nCREATE TABLE c (id INTEGER);\nCREATE TABLE d (id INTEGER);\n"

func killEngine(t *testing.T, name, dsn, template string) driver.Engine {
	t.Helper()
	var e driver.Engine
	var err error
	switch name {
	case "sqlite":
		e, err = sqlite.New(dsn)
	case "mysql":
		e, err = mysql.New(dsn, nil)
	default:
		e, err = postgres.New(dsn, &postgres.Options{Template: template})
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestKilledChild is the process that is killed: it creates tenants forever, each
// other one with a seed that fails.
func TestKilledChild(t *testing.T) {
	env := strings.Split(os.Getenv(killedEnv), " ")
	if len(env) != 4 {
		return // run as a test of its own it has nothing to show
	}
	k := killKit(t, env[0], env[1], env[2], env[3])
	life := func(seed func(context.Context, *tenancy.Tenant) error) *lifecycle.Lifecycle {
		l, err := lifecycle.New(tellingCatalog{k.cat}, k.pool, k.migrator(t, killMigration), &lifecycle.Options{Server: k.server.Name, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	good := life(k.seedOne)
	bad := life(func(context.Context, *tenancy.Tenant) error { return errors.New("bad seed") })
	fmt.Println("killme")
	for i := 0; ; i++ {
		slug := fmt.Sprintf("k%d-%d", os.Getpid(), i)
		if i%2 == 0 {
			_, _ = good.Ensure(context.Background(), &tenancy.Tenant{Slug: slug})
		} else {
			_, _ = bad.Create(context.Background(), &tenancy.Tenant{Slug: slug})
		}
	}
}

// tellingCatalog writes which tenant is about to be made.
type tellingCatalog struct{ *catalog.Catalog }

func (c tellingCatalog) Create(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error) {
	fmt.Println("making", t.Placement.Database)
	return c.Catalog.Create(ctx, t)
}

// ownPool is a pool that knows of some databases only, where the tests beside this one have others.
type ownPool struct {
	*dbpool.Pool
	own map[string]bool
}

func (p ownPool) Names(ctx context.Context, server string) ([]string, error) {
	names, err := p.Pool.Names(ctx, server)
	return slices.DeleteFunc(names, func(name string) bool { return !p.own[name] }), err
}

func (k *kit) seedOne(ctx context.Context, _ *tenancy.Tenant) error {
	db, err := k.pool.DB(ctx)
	if err == nil {
		_, err = db.ExecContext(ctx, `INSERT INTO notes (id) SELECT COUNT(*) + 1 FROM notes`)
	}
	return err
}

// killKit returns what the killed and the others share.
func killKit(t *testing.T, name, dsn, database, template string) *kit {
	t.Helper()
	s := &tenancytest.Server{Name: name, DSN: dsn, Engine: killEngine(t, name, dsn, template)}
	c, err := s.Engine.Connector(database)
	if err != nil {
		t.Fatal(err)
	}
	db := sqlx.NewDb(sql.OpenDB(c), s.Engine.DriverName())
	t.Cleanup(func() { _ = db.Close() })
	cat, err := catalog.New(db, nil)
	if err == nil {
		err = cat.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return &kit{s, s.Pool(t, nil), cat, db}
}

// Processes are killed at any time while they create tenants or undo that. Any
// other process resumes what has a record, and finds and removes what has none.
func TestKilledWhileCreating(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		home := s.Tenant(t, "catalog") // the catalog's database
		template := killTemplate(t, s)
		killKit(t, s.Name, s.DSN, home.Placement.Database, "") // makes the catalog's tables
		rounds := 6
		if testing.Short() {
			rounds = 3
		}
		if os.Getenv("TENANCY_SOAK") != "" {
			rounds = 60
		}
		own := map[string]bool{}
		for i := 0; i < rounds || len(own) == 0; i++ {
			for _, line := range kill(t, "TestKilledChild", strings.Join([]string{s.Name, s.DSN, home.Placement.Database, template}, " ")) {
				if name, ok := strings.CutPrefix(line, "making "); ok {
					own[name] = true
				}
			}
		}
		// Another process, which knows what the catalog and the servers say.
		k := killKit(t, s.Name, s.DSN, home.Placement.Database, "")
		pool := ownPool{k.pool, own}
		p, err := lifecycle.New(k.cat, pool, k.migrator(t, killMigration), &lifecycle.Options{Server: s.Name, Seed: k.seedOne})
		if err != nil {
			t.Fatal(err)
		}
		tenants, err := k.cat.List(t.Context(), tenancy.Filter{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, tenant := range tenants {
			k.dropLater(t, tenant)
			if tenant.Status == tenancy.StatusProvisioning {
				if _, err := p.Resume(t.Context(), tenant.ID); err != nil {
					t.Errorf("Resume: %v", err)
					continue
				}
			}
			if strings.HasPrefix(tenant.Slug, "k") {
				k.wantNotes(t, tenant, 1)
			}
		}
		orphans := 0
		for o, err := range p.Orphans(t.Context()) {
			if err != nil {
				t.Errorf("orphan %+v: %v", o, err)
			}
			orphans++
			if err := p.RemoveOrphan(t.Context(), o); err != nil {
				t.Errorf("RemoveOrphan: %v", err)
			}
		}
		t.Logf("%d begun, %d tenants, %d orphans", len(own), len(tenants), orphans)
		names, err := pool.Names(t.Context(), s.Name)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, tenant := range tenants {
			want = append(want, tenant.Placement.Database)
		}
		slices.Sort(names)
		slices.Sort(want)
		if !slices.Equal(names, want) {
			t.Errorf("got the databases %q, want one of each tenant: %q", names, want)
		}
	})
}

// killTemplate makes a database with a table and without an owner, for servers with
// templates.
func killTemplate(t *testing.T, s *tenancytest.Server) string {
	t.Helper()
	if s.Name != "postgres" {
		return ""
	}
	conn, err := pgx.Connect(t.Context(), s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	name := "template_" + string(tenancy.NewID())
	if _, err := conn.Exec(t.Context(), `CREATE DATABASE `+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_, err := conn.Exec(ctx, `DROP DATABASE `+name+` WITH (FORCE)`)
		if err := errors.Join(err, conn.Close(ctx)); err != nil {
			t.Error(err)
		}
	})
	config := conn.Config()
	config.Database = name
	in, err := pgx.ConnectConfig(t.Context(), config)
	if err == nil {
		_, err = in.Exec(t.Context(), `CREATE TABLE base (id INT)`)
		err = errors.Join(err, in.Close(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// kill runs a test of this binary as a process that makes or ends tenants, and kills it. It
// returns what the process wrote meanwhile.
func kill(t *testing.T, child, env string) (wrote []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+child+"$")
	cmd.Env = append(os.Environ(), killedEnv+"="+env)
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
	time.Sleep(rand.N(700 * time.Millisecond)) // any moment will do
	_ = cmd.Process.Kill()
	for lines.Scan() {
		wrote = append(wrote, lines.Text())
	}
	_ = cmd.Wait()
	return wrote
}
