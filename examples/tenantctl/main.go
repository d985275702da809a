// Tenantctl is the command line of the package admin/cli as a program.
//
//	go run ./examples/tenantctl tenant create acme
//	go run ./examples/tenantctl db migrate --all
//
// It needs nothing: the catalog and tenants' databases are SQLite files in the current
// directory or in -data, unless -catalog and -server name servers. In the catalog of a
// service it takes the name of the server from the records of tenants, and wants
// -migrations and -key-prefix, which are the service's. A service has its own program like
// this one, with its own migrations and tasks: docs/commands.md shows it.
package main

import (
	"cmp"
	"context"
	"embed"
	"io"
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
	flags.StringVar(&where.serverName, "server-name", cmp.Or(where.serverName, os.Getenv("TENANTCTL_SERVER_NAME")), "name by which the service knows that server (default: the one that tenants' records have; $TENANTCTL_SERVER_NAME)")
	flags.StringVar(&where.migrations, "migrations", cmp.Or(where.migrations, os.Getenv("TENANTCTL_MIGRATIONS")), "folder with the migrations of tenants' databases (default, in a catalog that this program made: those of the example; $TENANTCTL_MIGRATIONS)")
	flags.StringVar(&where.keyPrefix, "key-prefix", cmp.Or(where.keyPrefix, os.Getenv("TENANTCTL_KEY_PREFIX")), "prefix of the service's API keys (default, in a catalog that this program made: key; $TENANTCTL_KEY_PREFIX)")
	for _, name := range []string{"catalog", "server", "redis"} {
		flags.Lookup(name).DefValue = "" // help shows defaults, and these may have passwords
	}
	where.command = "complete" // of words for a shell, unless one runs
	note(root, where)
	return root
}

// note makes each command tell where which one it is, and where its notes go.
func note(cmd *cobra.Command, where *places) {
	for _, sub := range cmd.Commands() {
		note(sub, where)
	}
	run := cmd.RunE
	if run == nil || cmd.HasSubCommands() {
		return
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, where.command, _ = strings.Cut(cmd.CommandPath(), " ")
		if mend := cmd.Flags().Lookup("mend"); mend != nil && mend.Changed {
			where.command += " --mend " + mend.Value.String()
		}
		where.notes = cmd.ErrOrStderr()
		return run(cmd, args)
	}
}

// long lets the flags of this program be written with one hyphen.
func long(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		switch name {
		case "-data", "-catalog", "-server", "-server-name", "-migrations", "-key-prefix", "-redis":
			arg = "-" + arg
		}
		out[i] = arg
	}
	return out
}

// places say where everything is.
type places struct {
	data, catalog, server, serverName, redis, migrations, keyPrefix string

	command string    // that is run, such as "tenant create"
	notes   io.Writer // nil: none
}
