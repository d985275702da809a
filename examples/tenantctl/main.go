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
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy/admin/cli"
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
	flags.StringVar(&where.redis, "redis", cmp.Or(where.redis, os.Getenv("TENANTCTL_REDIS")), "Redis of the service, host:port or redis://…, by which its instances see changes at once (default: none, they see them within a minute; $TENANTCTL_REDIS)")
	flags.StringVar(&where.migrations, "migrations", where.migrations, "folder with the migrations of tenants' databases (default: those of the example)")
	for _, name := range []string{"catalog", "server", "redis"} {
		flags.Lookup(name).DefValue = "" // help shows defaults, and these may have passwords
	}
	return root
}

// long lets the flags of this program be written with one hyphen.
func long(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		switch name {
		case "-data", "-catalog", "-server", "-migrations", "-redis":
			arg = "-" + arg
		}
		out[i] = arg
	}
	return out
}

// places say where everything is.
type places struct{ data, catalog, server, redis, migrations string }

// schema returns the migrations of tenants' databases.
func schema(folder string) (fs.FS, error) {
	if folder != "" {
		return os.DirFS(folder), nil
	}
	return fs.Sub(embedded, "migrations")
}
