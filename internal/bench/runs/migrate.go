package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

const parallel = 8

// migrations compares runs with loops over goose: 20 tables for each tenant from nothing,
// and nothing to do.
func migrations(ctx context.Context, c *config, dir string) (err error) {
	files, err := tables(dir, 20)
	if err != nil {
		return err
	}
	for _, side := range []string{"goose loop", "goose", "runs"} {
		err := func() (err error) {
			f, err := newFleet(ctx, c, files)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, f.close(ctx, c)) }()
			switch side {
			case "goose loop":
				return f.goose(ctx, c, step{"20 tables from nothing: goose loop", 1})
			case "goose":
				return f.goose(ctx, c, step{"20 tables from nothing: goose, 8 workers", parallel}, step{"nothing to migrate: goose loop", 1},
					step{"nothing to migrate: goose, 8 workers", parallel})
			}
			return f.runs(ctx)
		}()
		if err != nil {
			return err
		}
	}
	return nil
}

// fleet are tenants with databases of their own.
type fleet struct {
	control  *control
	engine   driver.Engine
	files    fs.FS
	tenants  []*tenancy.Tenant
	pool     *dbpool.Pool
	migrator *migrate.Migrator
}

func newFleet(ctx context.Context, c *config, files fs.FS) (*fleet, error) {
	f := &fleet{files: files}
	var err error
	if f.control, err = newControl(ctx, c, ""); err != nil {
		return nil, err
	}
	if f.engine, err = postgres.New(c.dsn, nil); err != nil {
		return nil, err
	}
	if f.pool, err = dbpool.New(map[string]driver.Engine{"main": f.engine}, nil); err != nil {
		return nil, err
	}
	if f.migrator, err = migrate.New(f.pool, files, nil); err != nil {
		return nil, err
	}
	for i := range c.tenants {
		t := &tenancy.Tenant{Slug: fmt.Sprintf("t-%05d", i), Status: tenancy.StatusActive, Placement: tenancy.Placement{Server: "main"}}
		t.ID = tenancy.NewID()
		t.Placement.Database = "tenant_" + string(t.ID)
		if t, err = f.control.catalog.Create(ctx, t); err != nil {
			return nil, err
		}
		if err := f.pool.Create(ctx, t); err != nil {
			return nil, err
		}
		f.tenants = append(f.tenants, t)
	}
	return f, nil
}

func (f *fleet) close(ctx context.Context, c *config) error {
	err := f.pool.Close()
	for _, t := range f.tenants {
		err = errors.Join(err, inServer(context.WithoutCancel(ctx), c, `DROP DATABASE "`+t.Placement.Database+`" WITH (FORCE)`))
	}
	return errors.Join(err, f.control.close())
}

// step is a loop over the tenants.
type step struct {
	what    string
	workers int
}

// goose measures what an application without this library would write.
func (f *fleet) goose(ctx context.Context, c *config, steps ...step) error {
	up := func(t *tenancy.Tenant) error {
		connector, err := f.engine.Connector(t.Placement.Database)
		if err != nil {
			return err
		}
		db := sql.OpenDB(connector)
		defer func() { _ = db.Close() }()
		p, err := goose.NewProvider(goose.DialectPostgres, db, f.files, goose.WithDisableGlobalRegistry(true))
		if err == nil {
			_, err = p.Up(ctx)
		}
		return err
	}
	loop := func(workers int) (time.Duration, error) {
		began := time.Now()
		todo := make(chan *tenancy.Tenant)
		var wg sync.WaitGroup
		var mu sync.Mutex
		var failed error
		for range workers {
			wg.Go(func() {
				for t := range todo {
					if err := up(t); err != nil {
						mu.Lock()
						failed = errors.Join(failed, err)
						mu.Unlock()
					}
				}
			})
		}
		for _, t := range f.tenants {
			todo <- t
		}
		close(todo)
		wg.Wait()
		return time.Since(began), failed
	}
	for _, step := range steps {
		took, err := loop(step.workers)
		if err != nil {
			return err
		}
		row(step.what, "%s", each(took, c.tenants))
	}
	return nil
}

func (f *fleet) runs(ctx context.Context) error {
	r, err := f.control.runner(ctx, &runs.Options{Tasks: runs.Tasks{"migrate": f.migrator.Task()}, Poll: 50 * time.Millisecond})
	if err != nil {
		return err
	}
	for _, what := range []string{"20 tables from nothing: a run, parallel 8", "nothing to migrate: a run, parallel 8"} {
		took, err := through(ctx, r, "migrate", runs.Spec{Parallel: parallel}, true, nil)
		if err != nil {
			return err
		}
		row(what, "%s", each(took, len(f.tenants)))
	}
	return nil
}
