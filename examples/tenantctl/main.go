// Tenantctl is the command line of the package admin/cli as a program.
//
//	go run ./examples/tenantctl tenant create acme
//	go run ./examples/tenantctl db migrate --all
//
// It needs nothing: the catalog and tenants' databases are SQLite files in the current
// directory or in -data, unless -catalog and -server name servers. A service has its own
// program like this one, with its own migrations and tasks.
package main

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy/admin/cli"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

//go:embed migrations/*.sql
var embedded embed.FS

func main() {
	root := command(&places{})
	root.SetArgs(long(os.Args[1:]))
	os.Exit(cli.Main(root))
}

// command returns the command line over what its flags name. Flags that are not given
// leave their place as it is.
func command(where *places) *cobra.Command {
	root := cli.New(func(ctx context.Context) (*cli.App, error) { return open(ctx, *where) }, &cli.Options{Name: "tenantctl"})
	flags := root.PersistentFlags()
	flags.StringVar(&where.data, "data", cmp.Or(where.data, "."), "folder for SQLite files")
	flags.StringVar(&where.catalog, "catalog", os.Getenv("TENANTCTL_CATALOG"), "URL of the catalog's database, postgres://… or mysql://… (default: a file in --data; $TENANTCTL_CATALOG)")
	flags.StringVar(&where.server, "server", os.Getenv("TENANTCTL_SERVER"), "URL of the server for tenants' databases (default: files in --data; $TENANTCTL_SERVER)")
	flags.StringVar(&where.migrations, "migrations", where.migrations, "folder with the migrations of tenants' databases (default: those of the example)")
	return root
}

// long lets the flags of this program be written with one hyphen.
func long(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		switch name {
		case "-data", "-catalog", "-server", "-migrations":
			arg = "-" + arg
		}
		out[i] = arg
	}
	return out
}

// places say where everything is.
type places struct{ data, catalog, server, migrations string }

// open wires the application.
func open(ctx context.Context, where places) (app *cli.App, err error) {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	var closers []func() error
	closeAll := func() (err error) {
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i]())
		}
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll())
		}
	}()
	db, err := catalogDatabase(where)
	if err != nil {
		return nil, err
	}
	closers = append(closers, db.Close)
	name, engine, err := engineOf(where)
	if err != nil {
		return nil, err
	}
	pool, err := dbpool.New(map[string]dbpool.Engine{name: engine}, nil)
	if err != nil {
		return nil, err
	}
	closers = append(closers, pool.Close)
	cat, err := catalog.New(db, nil)
	if err != nil {
		return nil, err
	}
	if err := cat.Migrate(ctx); err != nil {
		return nil, err
	}
	files, err := schema(where.migrations)
	if err != nil {
		return nil, err
	}
	migrator, err := migrate.New(pool, files, nil)
	if err != nil {
		return nil, err
	}
	provisioner, err := maintenance.NewProvisioner(cat, pool, migrator, &maintenance.ProvisionerOptions{Server: name})
	if err != nil {
		return nil, err
	}
	runner, err := runs.New(db, cat, &runs.Options{
		Context: dbpool.Background,
		Poll:    200 * time.Millisecond,
		Tasks:   runs.Tasks{cli.TaskMigrate: migrator.Task()},
	})
	if err != nil {
		return nil, err
	}
	if err := runner.Migrate(ctx); err != nil {
		return nil, err
	}
	return &cli.App{Catalog: cat, Provisioner: provisioner, Runner: runner, Close: closeAll}, nil
}

// schema returns the migrations of tenants' databases.
func schema(folder string) (fs.FS, error) {
	if folder != "" {
		return os.DirFS(folder), nil
	}
	return fs.Sub(embedded, "migrations")
}
