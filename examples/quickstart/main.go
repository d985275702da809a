// Quickstart is a web service with two tenants, each with a database of its own, API
// keys, limits and maintenance mode.
//
//	go run ./examples/quickstart
//
// It needs nothing: tenants' databases are SQLite files, unless -server names a
// PostgreSQL or MySQL server.
package main

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
)

//go:embed migrations/*.sql
var embedded embed.FS

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on")
	data := flag.String("data", "", "folder to keep data in (default: a new temporary one, which is removed at the end unless there is a -server)")
	server := flag.String("server", "", "postgres://… or mysql://… URL of the server for tenants' databases (default: SQLite files in -data)")
	flag.Parse()
	slog.SetDefault(slog.New(tenancy.NewLogHandler(slog.NewTextHandler(os.Stderr, nil))))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *data, *server); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run wires the service and serves it until ctx ends.
func run(ctx context.Context, addr, data, server string) (err error) {
	ln, err := net.Listen("tcp", addr) // first: nothing is made in vain
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }() // serve closes it, unless something fails before
	if data == "" {
		if data, err = os.MkdirTemp("", "quickstart-"); err != nil {
			return err
		}
		if server == "" { // else this folder alone knows what was made there
			defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
		}
	}
	where, engine, err := engineOf(filepath.Join(data, "tenants"), server)
	if err != nil {
		return err
	}
	// The record of tenants, and what changes and reads it.
	db, err := sqlite.Open(filepath.Join(data, "catalog.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	cat, err := catalog.New(db, nil)
	if err != nil {
		return err
	}
	find, err1 := cache.New(cat, nil)
	keys, err2 := catalog.NewKeyIssuer(cat, keyPrefix, nil)
	gate, err3 := maintenance.NewGate(cat, &maintenance.GateOptions{DB: db, Insecure: true}) // Insecure: there is no TLS here
	used, err4 := newUsage(ctx, db, cat)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, find.Close()) }()
	// The tenants' databases.
	pool, err := dbpool.New(map[string]driver.Engine{where: engine}, &dbpool.Options{Observer: used.rec})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	if err := errors.Join(cat.Migrate(ctx), gate.Migrate(ctx), gate.Refresh(ctx)); err != nil {
		return err
	}
	beside, end := context.WithCancel(context.WithoutCancel(ctx))
	var working sync.WaitGroup
	defer func() { end(); working.Wait(); err = errors.Join(err, used.print(context.WithoutCancel(ctx))) }()
	for _, work := range []func(context.Context) error{find.Run, keys.Run, gate.Run, used.rec.Run} {
		working.Go(func() { _ = work(beside) })
	}
	// Two tenants, each with a key.
	migrations, err1 := fs.Sub(embedded, "migrations")
	migrator, err2 := migrate.New(pool, migrations, &migrate.Options{Records: cat})
	tenants, err3 := lifecycle.New(cat, pool, migrator, &lifecycle.Options{
		Server: where, Forget: []func(context.Context, tenancy.ID) error{used.rec.Forget}, // what is kept of a tenant that is purged
	})
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	fmt.Printf("Data is in %s. Paste this into another terminal, the keys are good for a day:\n\n", data)
	for slug, t := range map[string]*tenancy.Tenant{
		"acme":   {Name: "Acme", Settings: map[string]string{"readers": "everybody"}},
		"globex": {Name: "Globex"},
	} {
		t.Slug, t.Limits = slug, map[string]int64{"rate.key": 600, "rate.address": 30, "burst.address": 30, "concurrency": 20}
		if t, err = tenants.Ensure(ctx, t); err == nil {
			err = migrator.Up(ctx, t) // what was added since the tenant was made
		}
		if err != nil {
			return err
		}
		key, _, err := keys.Issue(ctx, t.ID, catalog.APIKeySpec{Name: "quickstart", Scopes: []string{"write"}, TTL: 24 * time.Hour})
		if err != nil {
			return err
		}
		fmt.Printf("  %s=%s\n", slug, key.Reveal())
	}
	o := &ops{find, gate, tenancy.NewSecret(rand.Text())}
	fmt.Printf("  operator=%s\n\n", o.token.Reveal())
	return serve(ctx, ln, used.rec.Handler(routes(find, &notes{pool}, o, keys.Used)))
}
