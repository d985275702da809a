//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

const (
	// makers is how many databases are made at a time. The two checkpoints that
	// PostgreSQL makes for each are then shared by several.
	makers = 8
	// calmTimeout bounds the wait until nobody is connected.
	calmTimeout = 30 * time.Second
)

// ground is the server that all sides are measured on, with the tenants'
// databases.
type ground struct {
	config
	dir     string
	server  *testserver.Server
	engine  engine
	admin   *sqlx.DB
	tenants []*tenancy.Tenant
}

type engine interface {
	driver.Engine
	driver.Databases
}

// prepare starts the server and makes n databases.
func prepare(ctx context.Context, c config, n int) (_ *ground, err error) {
	g := &ground{config: c}
	if g.dir, err = os.MkdirTemp(c.dir, "tenancy-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	if err := os.Chmod(g.dir, 0o755); err != nil { // the servers run as another user
		return nil, err
	}
	if g.server, err = testserver.Start(ctx, c.engine, g.dir, nil); err != nil {
		return nil, err
	}
	if c.engine == testserver.Postgres {
		g.engine, err = postgres.New(g.server.URL, nil)
	} else {
		g.engine, err = mysql.New(g.server.URL, nil)
	}
	if err != nil {
		return nil, err
	}
	if g.admin, err = g.openPlain("", false); err != nil {
		return nil, err
	}
	g.admin.SetMaxIdleConns(makers)
	began := time.Now()
	if err := g.makeTenants(ctx, n); err != nil {
		return nil, err
	}
	fmt.Printf("%s, %d databases made in %v\n", c.engine, n, time.Since(began).Round(100*time.Millisecond))
	g.admin.SetMaxOpenConns(1)
	g.admin.SetMaxIdleConns(1)
	if c.engine == testserver.Postgres {
		_, err = g.admin.ExecContext(ctx, `CHECKPOINT`) // now, not while something is measured
	}
	return g, err
}

// makeTenants makes n tenants and their databases.
func (g *ground) makeTenants(ctx context.Context, n int) error {
	statement := ""
	if g.config.engine == testserver.Postgres {
		var version int
		if err := g.admin.GetContext(ctx, &version, `SELECT current_setting('server_version_num')::int`); err != nil {
			return err
		}
		// When several are made at a time this is quicker than WAL_LOG, and there is
		// no write-ahead log as large as the databases. Nobody is ever connected to
		// template0.
		statement = `CREATE DATABASE %s TEMPLATE template0 STRATEGY FILE_COPY`
		if version < 150000 {
			statement = `CREATE DATABASE %s TEMPLATE template0`
		}
	}
	var wg sync.WaitGroup
	turns := make(chan struct{}, makers)
	errs := make([]error, n)
	for i := range n {
		id := tenancy.NewID()
		t := &tenancy.Tenant{ID: id, Placement: tenancy.Placement{Server: "main", Database: "tenant_" + string(id)}}
		g.tenants = append(g.tenants, t)
		turns <- struct{}{}
		wg.Go(func() {
			errs[i] = g.makeDatabase(ctx, t, statement)
			<-turns
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// makeDatabase makes a tenant's database, with a statement of the server's own
// if there is one.
func (g *ground) makeDatabase(ctx context.Context, t *tenancy.Tenant, statement string) error {
	if statement == "" {
		return g.engine.Create(ctx, t.Placement.Database, t.ID)
	}
	if _, err := g.admin.ExecContext(ctx, fmt.Sprintf(statement, t.Placement.Database)); err != nil {
		return err
	}
	return g.engine.Claim(ctx, t.Placement.Database, t.ID)
}

// close stops the server and removes its data.
func (g *ground) close() error {
	var err error
	if g.admin != nil {
		_ = g.admin.Close()
	}
	if g.server != nil {
		err = g.server.Stop()
	}
	return errors.Join(err, os.RemoveAll(g.dir))
}

// calm returns when nobody else is connected to the server.
func (g *ground) calm(ctx context.Context) error {
	query := `SELECT count(*) - 1 FROM pg_stat_activity WHERE backend_type = 'client backend'`
	if g.config.engine == testserver.MariaDB {
		query = `SELECT variable_value - 1 FROM information_schema.global_status WHERE variable_name = 'THREADS_CONNECTED'`
	}
	var n int
	for until := time.Now().Add(calmTimeout); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if err := g.admin.GetContext(ctx, &n, query); err != nil || n == 0 {
			return err
		}
	}
	return fmt.Errorf("%d connections are left %v after their side was closed", n, calmTimeout)
}

// sessions is how many connections the server says that tenants' databases had.
// Those that have not ended may be missing.
func (g *ground) sessions(ctx context.Context) (n int, err error) {
	query := `SELECT sum(sessions)::bigint FROM pg_stat_database WHERE datname LIKE 'tenant\_%'`
	if g.config.engine == testserver.MariaDB {
		query = `SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'CONNECTIONS'`
	}
	err = g.admin.GetContext(ctx, &n, query)
	return n, err
}
