// Admin is an admin server: the console's API over a small service with tenants, each with a database of its own.
//
//	go run ./examples/admin
//
// It needs nothing: everything is in SQLite files in a temporary folder. It makes tenants, sends them real requests, and prints the
// lines by which an operator signs in and looks. No figure is made up: history begins when it starts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/ui"
)

// flags are the program's.
type flags struct {
	addr, appAddr, data, server, control, redis, owner, rescue, mail string
	tenants, rate                                                    int
	demo                                                             bool
	lockTTL                                                          time.Duration // of tests on slow machines
}

func main() {
	var f flags
	flag.StringVar(&f.addr, "addr", "127.0.0.1:8081", "address of the console")
	flag.StringVar(&f.appAddr, "app-addr", "", "address of the tenants' service, which is an origin of its own (default: 127.0.0.1:8080, or a free port if that is taken)")
	flag.StringVar(&f.data, "data", "", "folder to keep data in (default: a new temporary one, which is removed at the end unless there is a -server)")
	flag.StringVar(&f.server, "server", "", "postgres://… or mysql://… URL of the server for all databases (default: SQLite files in -data)")
	flag.StringVar(&f.control, "control", "tenancy_control", "database of the control plane on -server; a second process with the same flags is the second instance")
	flag.StringVar(&f.redis, "redis", "", "host:port of a Redis by which instances hear of each other at once (default: none)")
	flag.StringVar(&f.rescue, "rescue", "", "address of an owner who is locked out: print a link that works once, for 15 minutes, and end")
	flag.StringVar(&f.owner, "owner", "", `file with the first owner, {"email":…,"name":…,"password":…}, instead of a setup token`)
	flag.StringVar(&f.mail, "mail", "", "file to append mails to operators to (default: links are shown once to the operator who makes them)")
	flag.IntVar(&f.tenants, "tenants", 300, "how many tenants to make, 1 to 10000; a run makes those behind the third")
	flag.IntVar(&f.rate, "rate", 20, "requests a second that the demo sends")
	flag.BoolVar(&f.demo, "demo", true, "send requests to the tenants")
	flag.Parse()
	if flag.NArg() > 0 || f.tenants < 1 || f.tenants > 10_000 {
		fmt.Fprintln(os.Stderr, "admin: it takes no arguments, and makes 1 to 10000 tenants")
		os.Exit(2)
	}
	slog.SetDefault(slog.New(tenancy.NewLogHandler(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &f, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "admin:", err)
		os.Exit(1)
	}
}

// run wires the service and the console, and serves both until ctx ends.
func run(ctx context.Context, f *flags, out *os.File) (err error) {
	if f.data == "" {
		if f.data, err = os.MkdirTemp("", "tenancy-admin-"); err != nil {
			return err
		}
		if f.server == "" { // else this folder alone knows what was made there
			defer func() { err = errors.Join(err, os.RemoveAll(f.data)) }()
		}
	}
	if err := os.MkdirAll(f.data, 0o700); err != nil { // nobody else may read the setup token
		return err
	}
	app, err := newApp(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, app.close()) }()

	// The console: the record of tenants, the audit, the figures, and the runs.
	dashboard, err := ui.Handler()
	if err != nil {
		return err
	}
	console, err := admin.New(app.db, app.catalog, app.consoleOptions(f, dashboard))
	if err != nil {
		return err
	}
	if err := console.Migrate(ctx); err != nil {
		return err
	}
	if f.rescue != "" {
		return rescue(ctx, f, console.Auth(), out)
	}
	app.beside(ctx, console.Run)

	service, err := listenAt(ctx, f.appAddr, "127.0.0.1:8080", app.handler())
	if err != nil {
		return err
	}
	defer service.stop()
	page, err := listen(ctx, f.addr, console.Handler())
	if err != nil {
		return err
	}
	defer page.stop()

	made, err := app.makeTenants(ctx, f.tenants)
	if err != nil {
		return err
	}
	if err := welcome(ctx, f, console.Auth(), page.addr, service.addr, made, out); err != nil {
		return err
	}
	if f.demo {
		app.beside(ctx, func(ctx context.Context) error { return traffic(ctx, service.addr, f.rate, app.active) })
	}
	<-ctx.Done()
	return nil
}
