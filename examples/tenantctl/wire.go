package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/admin/cli"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// closers are closed in the order opposite to that in which they were opened.
type closers []func() error

func (c closers) close() (err error) {
	for i := len(c) - 1; i >= 0; i-- {
		err = errors.Join(err, c[i]())
	}
	return err
}

// open wires the application.
func open(ctx context.Context, where places) (app *cli.App, err error) {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	var opened closers
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.close())
		}
	}()
	exists, err := where.exists()
	if err != nil {
		return nil, err
	}
	db, err := catalogDatabase(where)
	if err != nil {
		return nil, err
	}
	opened = append(opened, db.Close)
	app = &cli.App{}
	if app.Audit, err = audit.New(db, nil); err != nil {
		return nil, err
	}
	if app.Outbox, err = catalog.NewOutbox(db, &catalog.OutboxOptions{Audit: app.Audit}); err != nil {
		return nil, err
	}
	if app.Catalog, err = catalog.New(db, &catalog.Options{Audit: app.Audit, Events: app.Outbox}); err != nil {
		return nil, err
	}
	made := !exists || app.Catalog.Check(ctx) != nil // there are no tables yet, or the next lines fail, too
	for _, migrate := range []func(context.Context) error{app.Audit.Migrate, app.Catalog.Migrate} {
		if err := migrate(ctx); err != nil {
			return nil, err
		}
	}
	about, err := where.serviceOf(ctx, app.Catalog, made)
	if err != nil {
		return nil, err
	}
	engine, err := engineOf(where)
	if err != nil {
		return nil, err
	}
	pool, err := dbpool.New(map[string]driver.Engine{about.server: engine}, nil)
	if err != nil {
		return nil, err
	}
	opened = append(opened, pool.Close)
	others, err := share(ctx, where.redis, app.Catalog, &opened)
	if err != nil {
		return nil, err
	}
	if app.Keys, err = catalog.NewKeyIssuer(app.Catalog, cmp.Or(about.keyPrefix, "unknown"), nil); err != nil { // without it no key is made
		return nil, err
	}
	if app.Gate, err = maintenance.NewGate(app.Catalog, &maintenance.GateOptions{DB: db, Audit: app.Audit, Drains: others.drains}); err != nil {
		return nil, err
	}
	operators, err := auth.New(db, &auth.Options{Auditor: app.Audit})
	if err != nil {
		return nil, err
	}
	app.Operators = operators
	locks, err := lifecycle.NewLocks(db, nil)
	if err != nil {
		return nil, err
	}
	migrator := lifecycle.Migrator(noFiles{})
	if about.migrations != nil {
		if app.Migrator, err = migrate.New(pool, about.migrations, &migrate.Options{Records: app.Catalog, Locks: locks, Audit: app.Audit}); err != nil {
			return nil, err
		}
		migrator = app.Migrator
	}
	usage, err := analytics.NewSQL(db, nil)
	if err != nil {
		return nil, err
	}
	if app.Reports, err = analytics.NewReports(usage, &analytics.ReportsOptions{Catalog: app.Catalog}); err != nil {
		return nil, err
	}
	app.Lifecycle, err = lifecycle.New(app.Catalog, pool, migrator, &lifecycle.Options{
		Server: about.server, Locks: locks, Audit: app.Audit, Forget: []func(context.Context, tenancy.ID) error{usage.Forget},
	})
	if err != nil {
		return nil, err
	}
	app.Runner, err = runs.New(db, app.Catalog, &runs.Options{
		Tasks: tasks(app), Context: dbpool.LowPriority, Poll: 200 * time.Millisecond, Audit: app.Audit, Bell: others.bell,
	})
	if err != nil {
		return nil, err
	}
	for _, migrate := range []func(context.Context) error{locks.Migrate, app.Gate.Migrate, app.Runner.Migrate, operators.Migrate, usage.Migrate} {
		if err := migrate(ctx); err != nil {
			return nil, err
		}
	}
	app.Checks = map[string]func(context.Context) error{"usage": usage.Check, "locks": locks.Check}
	app.Shell = func(t *tenancy.Tenant) (*exec.Cmd, error) {
		if where.server == "" || where.server == filesServer {
			return cli.Client(filepath.Join(where.data, "tenants", t.Placement.Database+".db"), t)
		}
		return cli.Client(where.server, t)
	}
	app.Close = opened.close
	return app, nil
}

// tasks returns what can be done for many tenants. This program has nothing to seed.
func tasks(app *cli.App) runs.Tasks {
	out := runs.Tasks(maintenance.Tasks(app.Catalog))
	if app.Migrator != nil {
		out[cli.TaskMigrate] = app.Migrator.Task()
		out[cli.TaskRollback] = app.Migrator.RollbackTask()
	}
	out[cli.TaskRevokeKeys] = app.Keys.RevokeTask()
	out[cli.TaskMaintenanceOn] = app.Gate.BeginTask()
	out[cli.TaskMaintenanceOff] = app.Gate.EndTask()
	return out
}
