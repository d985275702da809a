// Quickstart is a web service with two tenants, each with a database of its own.
//
//	go run ./examples/quickstart
//
// It needs nothing: tenants' databases are SQLite files, unless -server names a
// PostgreSQL or MySQL server.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

//go:embed migrations/*.sql
var embedded embed.FS

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on")
	data := flag.String("data", "", "folder to keep data in (default: a new temporary one)")
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
	if data == "" {
		if data, err = os.MkdirTemp("", "quickstart-"); err != nil {
			return err
		}
	}
	files, err := sqlite.New(filepath.Join(data, "tenants"))
	if err != nil {
		return err
	}
	engines, where := map[string]dbpool.Engine{"sqlite": files}, "sqlite"
	switch scheme, _, _ := strings.Cut(server, "://"); scheme {
	case "":
	case "postgres", "postgresql":
		where = "postgres"
		engines[where], err = postgres.New(server, nil)
	case "mysql", "mariadb":
		where = "mysql"
		engines[where], err = mysql.New(server, nil)
	default:
		err = errors.New("-server: want a URL like postgres://user:password@host/ or mysql://user:password@host/")
	}
	if err != nil {
		return err
	}
	pool, err := dbpool.New(engines, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()

	db, err := sqlite.Open(filepath.Join(data, "catalog.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	cat, err := catalog.New(db, nil)
	if err == nil {
		err = cat.Migrate(ctx)
	}
	if err != nil {
		return err
	}
	find, err := catalog.NewCache(cat, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, find.Close()) }()
	go func() { _ = find.Run(ctx) }()
	migrations, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return err
	}
	migrator, err := migrate.New(pool, migrations, nil)
	if err != nil {
		return err
	}
	tenants, err := maintenance.NewProvisioner(cat, pool, migrator, &maintenance.ProvisionerOptions{Server: where})
	if err != nil {
		return err
	}
	for slug, name := range map[string]string{"acme": "Acme", "globex": "Globex"} {
		if _, err := tenants.Ensure(ctx, &tenancy.Tenant{Slug: slug, Name: name}); err != nil {
			return err
		}
	}
	fmt.Printf("Data is kept in %s\n", data)
	return serve(ctx, addr, routes(find, &notes{pool}))
}

// routes returns the handler of the whole service.
func routes(find tenancy.Finder, n *notes) http.Handler {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	resolve := resolver.Agree(find,
		resolver.Must(resolver.NewSubdomain([]string{"localhost"}, nil)),
		resolver.Must(resolver.NewPath("/t/", nil)),
		resolver.Must(resolver.NewHeader("X-Tenant", loopback, nil)))
	tenantOnly := middleware.Require(nil)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", n.home)
	mux.Handle("GET /notes", tenantOnly(http.HandlerFunc(n.list)))
	mux.Handle("POST /notes", tenantOnly(http.HandlerFunc(n.create)))
	return middleware.Optional(find, resolve, nil)(mux)
}
