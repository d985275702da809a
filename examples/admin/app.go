package main

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

//go:embed migrations/*.sql
var embedded embed.FS

// app is the service with tenants.
type app struct {
	db       *sqlx.DB
	pool     *dbpool.Pool
	trail    *audit.Trail
	catalog  *catalog.Catalog
	cache    *cache.Cache
	recorder *analytics.Recorder
	keeper   *analytics.Keeper
	reports  *analytics.Reports
	tenants  *lifecycle.Lifecycle
	runner   *runs.Runner

	working sync.WaitGroup
	end     context.CancelFunc
	closers []func() error
}

func newApp(ctx context.Context, f *flags) (a *app, err error) {
	a = &app{end: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	where, engine, err := engineOf(filepath.Join(f.data, "tenants"), f.server)
	if err != nil {
		return a, err
	}
	if a.db, err = sqlite.Open(filepath.Join(f.data, "control.db")); err != nil {
		return a, err
	}
	a.closers = append(a.closers, a.db.Close)
	// The record of tenants; each change leaves an entry in the audit.
	if a.trail, err = audit.New(a.db, nil); err != nil {
		return a, err
	}
	if a.catalog, err = catalog.New(a.db, &catalog.Options{Audit: a.trail}); err != nil {
		return a, err
	}
	if a.cache, err = cache.New(a.catalog, nil); err != nil {
		return a, err
	}
	a.closers = append(a.closers, a.cache.Close)
	// Figures.
	store, err := analytics.NewSQL(a.db, nil)
	if err != nil {
		return a, err
	}
	feed := analytics.NewMemoryFeed()
	var err1, err2, err3 error
	a.recorder, err1 = analytics.NewRecorder(store, &analytics.Options{Flush: 2 * time.Second, Feed: feed})
	a.keeper, err2 = analytics.NewKeeper(store, a.catalog, nil)
	a.reports, err3 = analytics.NewReports(store, &analytics.ReportsOptions{Feed: feed})
	if err := errors.Join(err1, err2, err3); err != nil {
		return a, err
	}
	// The tenants' databases.
	if a.pool, err = dbpool.New(map[string]dbpool.Engine{where: engine}, &dbpool.Options{Observer: a.recorder}); err != nil {
		return a, err
	}
	a.closers = append(a.closers, a.pool.Close)
	migrations, err1 := fs.Sub(embedded, "migrations")
	migrator, err2 := migrate.New(a.pool, migrations, nil)
	if err := errors.Join(err1, err2); err != nil {
		return a, err
	}
	a.catalog.Watch(func(ctx context.Context, c catalog.Change) { a.recorder.Changed(ctx, c.Before, c.After, c.Err) })
	if a.tenants, err = lifecycle.New(a.catalog, a.pool, migrator, &lifecycle.Options{Server: where}); err != nil {
		return a, err
	}
	// Work over many tenants.
	tasks := runs.Tasks(maintenance.Tasks(a.catalog))
	tasks["migrate"] = migrator.Task()
	if a.runner, err = runs.New(a.db, a.catalog, &runs.Options{Tasks: tasks, Context: dbpool.Background, Audit: a.trail}); err != nil {
		return a, err
	}
	for _, migrate := range []func(context.Context) error{a.trail.Migrate, a.catalog.Migrate, store.Migrate, a.runner.Migrate} {
		if err := migrate(ctx); err != nil {
			return a, err
		}
	}
	a.beside(ctx, a.trail.Run, a.cache.Run, a.recorder.Run, a.keeper.Run, a.reports.Run, a.runner.Run)
	return a, nil
}

// beside does work until the application is closed.
func (a *app) beside(ctx context.Context, work ...func(context.Context) error) {
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	before := a.end
	a.end = func() { before(); end() }
	for _, w := range work {
		a.working.Go(func() { _ = w(ctx) })
	}
}

func (a *app) close() (err error) {
	a.end()
	a.working.Wait()
	for i := len(a.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, a.closers[i]())
	}
	return err
}

// consoleOptions are what the console shows and does. The second factor is optional because this is a demo on one machine.
func (a *app) consoleOptions(f *flags, page http.Handler) *admin.Options {
	return &admin.Options{
		Page:    page,
		Auth:    auth.Options{OptionalSecondFactor: true, Name: "tenancy demo"},
		Audit:   a.trail,
		Reports: a.reports,
		Runs:    a.runner,
		Create:  a.tenants.Create, Lifecycle: a.tenants,
		Demo:   f.demo,
		Checks: map[string]func(context.Context) error{"catalog": a.db.PingContext},
	}
}

// handler is the service: notes, in the database of the tenant that a request names. It is behind the recommended chain, and the recorder
// is in front of it.
func (a *app) handler() http.Handler {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	resolve := resolver.Agree(a.cache, resolver.Must(resolver.NewPath("/t/", nil)), resolver.Must(resolver.NewHeader("X-Tenant", loopback, nil)))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /notes", a.listNotes)
	mux.HandleFunc("POST /notes", a.createNote)
	return a.recorder.Handler(middleware.Standard(a.cache, resolve, nil)(mux))
}

func (a *app) listNotes(w http.ResponseWriter, r *http.Request) {
	db, err := a.pool.DB(r.Context())
	var texts []string
	if err == nil {
		err = db.SelectContext(r.Context(), &texts, `SELECT text FROM notes ORDER BY created_at DESC LIMIT 20`)
	}
	if err != nil {
		middleware.Refuse(w, r, err, nil)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(texts)
}

func (a *app) createNote(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err == nil && len(text) == 0 {
		err = fmt.Errorf("%w: an empty note", tenancy.ErrInvalid)
	}
	if err == nil {
		err = a.pool.Tx(r.Context(), nil, func(tx *sqlx.Tx) error {
			_, err := tx.ExecContext(r.Context(), tx.Rebind(`INSERT INTO notes (id, text, created_at) VALUES (?, ?, ?)`), rand.Text(), string(text), time.Now().UnixMicro())
			return err
		})
	}
	if err != nil {
		middleware.Refuse(w, r, err, nil)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

// makeTenants makes that many tenants, with plans and tags, or finds those of an earlier start.
func (a *app) makeTenants(ctx context.Context, n int) ([]*tenancy.Tenant, error) {
	ctx = tenancy.WithActor(ctx, tenancy.Actor{Kind: tenancy.ActorSystem, ID: "demo"})
	plans, tags := []string{"free", "pro", "business"}, [][]string{{"eu"}, {"us"}, {"eu", "overdue"}}
	var all []*tenancy.Tenant
	for i := range min(max(n, 1), 300) {
		name, slug := fmt.Sprintf("Tenant %d", i+1), fmt.Sprintf("tenant-%d", i+1)
		if i < 3 {
			name, slug = []string{"Acme", "Globex", "Initech"}[i], []string{"acme", "globex", "initech"}[i]
		}
		t, err := a.tenants.Ensure(ctx, &tenancy.Tenant{Slug: slug, Name: name, Plan: plans[i%len(plans)], Tags: tags[i%len(tags)]})
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}
