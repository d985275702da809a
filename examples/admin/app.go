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
	"os"
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
	"github.com/artflow-studio/tenancy/dbpool/driver"
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
	outbox   *catalog.Outbox
	catalog  *catalog.Catalog
	cache    *cache.Cache
	recorder *analytics.Recorder
	usage    *analytics.SQL
	keeper   *analytics.Keeper
	reports  *analytics.Reports
	tenants  *lifecycle.Lifecycle
	migrator *migrate.Migrator
	runner   *runs.Runner
	keys     *catalog.KeyIssuer
	gate     *maintenance.Gate
	server   string // of tenants' databases
	shared

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
	if a.db, err = openControl(ctx, f, engine); err != nil {
		return a, err
	}
	a.closers = append(a.closers, a.db.Close)
	// The record of tenants; each change leaves an entry in the audit, and an event for those who follow.
	if a.trail, err = audit.New(a.db, nil); err != nil {
		return a, err
	}
	if a.outbox, err = catalog.NewOutbox(a.db, &catalog.OutboxOptions{Deliver: a.follow, Audit: a.trail}); err != nil {
		return a, err
	}
	if a.catalog, err = catalog.New(a.db, &catalog.Options{Audit: a.trail, Events: a.outbox}); err != nil {
		return a, err
	}
	for _, migrate := range []func(context.Context) error{a.trail.Migrate, a.catalog.Migrate} {
		if err := migrate(ctx); err != nil {
			return a, err
		}
	}
	if err := a.share(ctx, f); err != nil {
		return a, err
	}
	a.closers = append(a.closers, a.cache.Close)
	// Figures.
	if a.usage, err = analytics.NewSQL(a.db, nil); err != nil {
		return a, err
	}
	var err1, err2, err3, err4 error
	a.recorder, err1 = analytics.NewRecorder(a.usage, &analytics.Options{Flush: 2 * time.Second, Feed: a.feed})
	a.reports, err2 = analytics.NewReports(a.usage, &analytics.ReportsOptions{Feed: a.feed, Catalog: a.catalog})
	if err := errors.Join(err1, err2); err != nil {
		return a, err
	}
	// The tenants' databases.
	if a.pool, err = dbpool.New(map[string]driver.Engine{where: engine}, &dbpool.Options{Observer: a.recorder}); err != nil {
		return a, err
	}
	a.closers = append(a.closers, a.pool.Close)
	a.recorder.Attach(a.pool, a.cache) // memory that they hold for each tenant
	a.cache.WatchRemoved(a.pool.Forget)
	migrations, err1 := fs.Sub(embedded, "migrations")
	locks, err5 := lifecycle.NewLocks(a.db, &lifecycle.LocksOptions{TTL: f.lockTTL})
	a.migrator, err2 = migrate.New(a.pool, migrations, &migrate.Options{Records: a.catalog, Locks: locks, Audit: a.trail})
	a.keeper, err3 = analytics.NewKeeper(a.usage, a.catalog, &analytics.KeeperOptions{Interval: 10 * time.Second, Sizes: a.pool})
	a.keys, err4 = catalog.NewKeyIssuer(a.catalog, "demo", nil)
	a.gate, err = maintenance.NewGate(a.catalog, &maintenance.GateOptions{DB: a.db, Audit: a.trail, Drains: a.drains, Insecure: true})
	if err := errors.Join(err, err1, err2, err3, err4, err5); err != nil {
		return a, err
	}
	// Activities: at once of what this process changes, and by the events, in follow, of what others change.
	a.catalog.Watch(func(ctx context.Context, c catalog.Change) { a.recorder.Changed(ctx, c.Before, c.After, c.Err) })
	if a.tenants, err = lifecycle.New(a.catalog, a.pool, a.migrator, &lifecycle.Options{
		Server: where, Locks: locks, Audit: a.trail,
		Forget: []func(context.Context, tenancy.ID) error{a.forget},
	}); err != nil {
		return a, err
	}
	// Work over many tenants.
	tasks := runs.Tasks(maintenance.Tasks(a.catalog))
	tasks["migrate"], tasks["revoke-keys"] = a.migrator.Task(), a.keys.RevokeTask()
	tasks["maintenance-on"], tasks["maintenance-off"] = a.gate.BeginTask(), a.gate.EndTask()
	tasks[provision] = tenancy.Task{Do: a.provision}
	a.server = where
	if a.runner, err = runs.New(a.db, a.catalog, &runs.Options{Tasks: tasks, Context: dbpool.LowPriority, Audit: a.trail, Bell: a.bell}); err != nil {
		return a, err
	}
	for _, migrate := range []func(context.Context) error{locks.Migrate, a.usage.Migrate, a.gate.Migrate, a.runner.Migrate} {
		if err := migrate(ctx); err != nil {
			return a, err
		}
	}
	a.beside(ctx, a.trail.Run, a.outbox.Run, a.cache.Run, a.recorder.Run, a.keeper.Run, a.reports.Run, a.gate.Run, a.keys.Run, a.runner.Run)
	return a, nil
}

// follow is told of each change of a tenant, by whatever process, at least once and in order: the place for
// billing, mail and the like. Here it shows what operators do.
func (a *app) follow(ctx context.Context, e catalog.Event) error {
	if e.Actor.Kind == tenancy.ActorOperator {
		fmt.Fprintf(os.Stderr, "%s: %s of %s, version %d, by %s\n", e.Time.Format(time.TimeOnly), e.Kind, e.Tenant, e.Version, e.Actor)
	}
	if e.Kind == "tenant.delete" { // by a command line, which has no figures; or other instances wrote of it until now
		return a.forget(ctx, e.Tenant)
	}
	t, err := a.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(e.Tenant)})
	if err == nil {
		a.recorder.Delivered(t, analytics.Event(e))
	}
	if errors.Is(err, tenancy.ErrNotFound) { // the event of its end comes
		return nil
	}
	return err
}

// forget removes what is kept of a tenant that is purged: usage, logins, addresses, activities.
func (a *app) forget(ctx context.Context, id tenancy.ID) error {
	err := a.recorder.Forget(ctx, id)
	a.reports.Renew()
	return err
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
	signIn := auth.Options{OptionalSecondFactor: true, Name: "tenancy demo"}
	if f.mail != "" {
		signIn.Mail, signIn.URL = &mailFile{path: f.mail}, "http://"+f.addr+"/"
	}
	return &admin.Options{
		Page:          page,
		Auth:          signIn,
		Audit:         a.trail,
		Reports:       a.reports,
		Runs:          a.runner,
		Keys:          a.keys,
		Gate:          a.gate,
		Pool:          a.pool,
		Migrations:    a.migrator,
		ShownSettings: []string{"notes"},
		Create:        a.tenants.Create,
		Lifecycle:     a.tenants,
		Limiter:       a.limiter,
		Demo:          f.demo,
		Checks:        map[string]func(context.Context) error{"catalog": a.db.PingContext, "cache": a.cache.Check, "maintenance": a.gate.Check, "usage": a.usage.Check},
	}
}

// handler is the service: notes, in the database of the tenant that a request names. It is behind the recommended chain, and the recorder
// is in front of it.
func (a *app) handler() http.Handler {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	resolve := tenancy.Must(resolver.Agree(a.cache, tenancy.Must(resolver.NewPath("/t/", nil)), tenancy.Must(resolver.NewHeader("X-Tenant", loopback, nil))))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /notes", a.listNotes)
	mux.HandleFunc("POST /notes", a.createNote)
	mux.HandleFunc("POST /login", a.login)
	standard := tenancy.Must(middleware.Standard(a.cache, resolve, &middleware.StandardOptions{
		Maintenance:  a.gate.Guard,
		Authenticate: middleware.AuthenticatorFunc(visitor),
		Authorize:    mayVisit,
	}))
	return a.recorder.Handler(standard(mux))
}

// visitor is the one who asks: this demo has no users of its own.
func visitor(_ *http.Request, t *tenancy.Tenant) (*middleware.Principal, error) {
	return &middleware.Principal{Tenant: t.ID}, nil
}

// mayVisit lets visitors in where the tenant's notes are public, as all are that the demo makes. That a path names a tenant says
// nothing about who may see it.
func mayVisit(_ context.Context, _ *middleware.Principal, t *tenancy.Tenant) error {
	if t.Settings["notes"] != "public" {
		return fmt.Errorf("%w: the notes are not public", tenancy.ErrForbidden)
	}
	return nil
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
	if len(text) > upload {
		a.recorder.Note(r.Context(), analytics.Activity{Type: "note.upload", Description: fmt.Sprintf("A note of %d KiB", len(text)>>10)})
	}
	w.WriteHeader(http.StatusCreated)
}

// upload is the size above which a note is an activity.
const upload = 16 << 10

// login is a login of a tenant's user. In this demo one password is right.
func (a *app) login(w http.ResponseWriter, r *http.Request) {
	l := analytics.Login{Subject: r.FormValue("user"), Method: "password", OK: r.FormValue("password") == "demo"}
	if !l.OK {
		l.Reason = "wrong password"
		w.WriteHeader(http.StatusUnauthorized)
	}
	a.recorder.Login(r.Context(), l)
}
