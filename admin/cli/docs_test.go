package cli_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/artflow-studio/tenancy/admin/cli"
)

var update = flag.Bool("update", false, "write docs/commands.md")

// docs/commands.md is what the command tree says. To write it:
//
//	go test ./admin/cli -run TestCommandsPage -update
func TestCommandsPage(t *testing.T) {
	t.Parallel()
	var page strings.Builder
	page.WriteString("# Commands\n\nGenerated from the command tree: `go test ./admin/cli -run TestCommandsPage -update`.\n\n" +
		"Exit codes: 0 done; 1 some tenants failed, or the command did; 2 bad usage; 3 the database or a server could not be reached.\n\n" +
		"Every command takes these flags:\n\n")
	root := cli.New(nil, &cli.Options{Name: "tenantctl"})
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { page.WriteString(flagLine(f)) })
	page.WriteString(intro)
	bulk, _, err := root.Find([]string{"tenant", "suspend"})
	if err != nil {
		t.Fatal(err)
	}
	bulk.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if common[f.Name] {
			page.WriteString(flagLine(f))
		}
	})
	page.WriteString(filters)
	describe(&page, root)
	file := filepath.Join("..", "..", "docs", "commands.md")
	if *update {
		if err := os.WriteFile(file, []byte(page.String()), 0o644); err != nil { // a page of the repository
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file) // a page of the repository
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != page.String() {
		t.Error("docs/commands.md is not what the command tree says; see the comment of this test")
	}
}

// intro and filters stand around the flags of commands over many tenants.
const (
	intro = `
Commands that change something take ` + "`--reason`" + `: why, for the audit; a run that is paused or cancelled shows it, too. Entries say who (the user of the operating
system), on which machine, and from which address that came by SSH.

A shell completes commands, flags, slugs, runs, tasks, schedules and keys with what ` + "`tenantctl completion bash`, `zsh`, `fish` or `powershell`" + ` prints; add
` + "`--help`" + ` to see where to put it.

## A program of your own

A service has its own program with these commands, which opens what the service opens: the same catalog, the same name of the server, the same migrations. It has the commands
of what it sets in ` + "`cli.App`" + `; the others say what is missing.

` + "```go" + `
// Notesctl is the command line of a service.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/artflow-studio/tenancy/admin/cli"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

func main() { os.Exit(cli.Main(cli.New(open, &cli.Options{Name: "notesctl"}))) }

func open(ctx context.Context) (*cli.App, error) {
	db, err1 := sqlite.Open("data/catalog.db")
	files, err2 := sqlite.New("data/tenants") // or postgres.New(url, nil), mysql.New(url, nil)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	cat, err1 := catalog.New(db, nil)
	pool, err2 := dbpool.New(map[string]driver.Engine{"sqlite": files}, nil) // the name in the service
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	migrator, err1 := migrate.New(pool, os.DirFS("migrations"), &migrate.Options{Records: cat})
	keys, err2 := catalog.NewKeyIssuer(cat, "notes", nil) // the prefix in the service
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	life, err1 := lifecycle.New(cat, pool, migrator, &lifecycle.Options{Server: "sqlite"})
	tasks := runs.Tasks(maintenance.Tasks(cat))
	tasks[cli.TaskMigrate] = migrator.Task()
	runner, err2 := runs.New(db, cat, &runs.Options{Tasks: tasks, Context: dbpool.LowPriority})
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if err := errors.Join(cat.Migrate(ctx), runner.Migrate(ctx)); err != nil {
		return nil, err
	}
	end := func() error { return errors.Join(pool.Close(), db.Close()) }
	return &cli.App{Catalog: cat, Lifecycle: life, Migrator: migrator, Runner: runner, Keys: keys, Close: end}, nil
}
` + "```" + `

## The program of the examples

[examples/tenantctl](../examples/tenantctl) has all these commands and is an example. It takes flags of its own, which ` + "`--help`" + ` lists: ` + "`--data`" + ` (folder for SQLite files, the
current one by default), ` + "`--catalog` and `--server`" + ` (URLs of the catalog's database and of the server for tenants' databases), ` + "`--server-name`" + ` (how the service calls that server;
otherwise it is the one name that tenants' records have), ` + "`--migrations`" + ` (folder with the service's migrations of tenants' databases) and ` + "`--key-prefix`" + ` (of the service's API keys).
The environment variables ` + "`TENANTCTL_CATALOG`, `TENANTCTL_SERVER`, `TENANTCTL_SERVER_NAME`, `TENANTCTL_MIGRATIONS` and `TENANTCTL_KEY_PREFIX`" + ` say the same. Only in a
catalog that it made itself without ` + "`--migrations`" + `, where the server is called ` + "`example`" + `, it uses migrations and a prefix of its own; elsewhere the commands that need them ask for the
flags. While it does not know the server, or has no ` + "`--server`" + ` and finds no tenant's database in ` + "`--data`" + `, it works on no runs of migrations, and commands that would
need tenants' databases ask for the flag: with ` + "`--migrations`" + ` also those that plan a run or let one go on. ` + "`--server=files`" + ` says that they are files in ` + "`--data`" + `, although none is there.

` + "`tenant create` and `tenant adopt`" + ` make a catalog in ` + "`--data`" + ` if there is none; all others fail there. The file ` + "`tenantctl.catalog`" + ` beside it says that this program made it. A catalog
by URL is made by every command.

With ` + "`--redis` (`$TENANTCTL_REDIS`)" + `, the Redis of the service, its instances see a change at once, say when a drain is done, and begin with a run as soon as it is
started; without it their caches serve a record from before the change for up to a minute. ` + "`--redis=`" + ` goes without, such as while Redis is down.

## Flags of commands over many tenants

Which tenants: names as arguments or ` + "`--tenant`, or `--where`, or `--all`; `--exclude`" + ` leaves some out. Such a command is a run: see [migrations.md](migrations.md).

`
	filters = `
## Filters

` + "`--where`" + ` of the commands, ` + "`filter=`" + ` of the console's routes and page, and ` + "`runs.Spec.Filter`" + ` are the same text: words with spaces between them, all of which
must hold.

` + "```\nstatus:active,suspended plan:pro tag:eu created:>2026-01-01 schema:<42 \"acme ltd\" sort:-created\n```" + `

| Word | Selects |
|---|---|
| ` + "`status:active,suspended`" + ` | tenants in one of these statuses |
| ` + "`tag:eu,us`" + ` | tenants that have at least one of the tags |
| ` + "`id:ID,ID`" + ` | these tenants, 1,000 at most |
| ` + "`plan:pro`, `server:pg-1`" + ` | tenants of the plan, on the server: one value each |
| ` + "`created:2026-01-31`, `created:>=2026-01-31T12:00:00Z`, `created:2026-01-01..2026-01-31`" + ` | by when the record was made; days are in UTC, both ends of a range count |
| ` + "`schema:41`, `schema:<42`, `schema:3..12`" + ` | by the version of the schema in the record |
| ` + "`acme`" + ` | tenants with a word in slug, name or domains that begins like this, in any case; up to 16 of these words |
| ` + "`sort:-created`" + ` | all, in this order: ` + "`id`, `slug`, `name`, `created`, `updated`" + `; descending with a hyphen in front |

` + "`>`, `>=`, `<`, `<=`" + ` stand in front of times and numbers. Each field stands in a filter once. What is in double quotes is one word whatever it holds, such as
` + "`plan:\"pro, yearly\"` or `\"a:b\"`" + `; in it, a quote or a backslash has a backslash in front. In a shell put the filter into single quotes. The routes of the console below
` + "`analytics/`" + `, health of tenants and saved views know the figures of usage, too, such as ` + "`requests_24h:>1000`" + `; ` + "`analytics.Fields`" + ` lists them.
`
)

// flagLine describes a flag, with its default.
func flagLine(f *pflag.Flag) string {
	usage := f.Usage
	switch f.DefValue {
	case "", "0", "0s", "false", "[]": // or the text says it
	default:
		value := f.DefValue
		for _, zero := range []string{"m0s", "h0m"} { // 24h0m0s is 24h
			if strings.HasSuffix(value, zero) {
				value = value[:len(value)-2]
			}
		}
		usage += " (default: " + value + ")"
	}
	name := "`--" + f.Name + "`"
	if f.Shorthand != "" {
		name += ", `-" + f.Shorthand + "`"
	}
	return fmt.Sprintf("- %s: %s\n", name, usage)
}

// common are the flags that the page describes once.
var common = map[string]bool{
	"tenant": true, "where": true, "all": true, "exclude": true, "parallel": true, "per-server": true, "canary": true, "waves": true, "pause": true,
	"approve": true, "budget": true, "timeout": true, "key": true, "dry-run": true, "detach": true, "new": true,
}

func describe(w *strings.Builder, cmd *cobra.Command) {
	if cmd.Runnable() && !cmd.HasSubCommands() {
		fmt.Fprintf(w, "\n## %s\n\n%s.\n", cmd.CommandPath(), cmd.Short)
		if cmd.Long != "" {
			fmt.Fprintf(w, "\n%s\n", cmd.Long)
		}
		fmt.Fprintf(w, "\n```\n%s\n```\n", cmd.UseLine())
		bulk := cmd.Flags().Lookup("waves") != nil
		var lines []string
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && f.Name != "reason" && !(bulk && common[f.Name]) {
				lines = append(lines, flagLine(f))
			}
		})
		if bulk {
			lines = append(lines, "- and the [flags of commands over many tenants](#flags-of-commands-over-many-tenants)\n")
		}
		if len(lines) > 0 {
			w.WriteString("\n" + strings.Join(lines, ""))
		}
		if cmd.Example != "" {
			fmt.Fprintf(w, "\n```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(cmd.Example, "  "), "\n  ", "\n"))
		}
	}
	for _, sub := range cmd.Commands() {
		describe(w, sub)
	}
}

// Every command has a description and an example, and every flag a help text.
func TestCommandsExplainThemselves(t *testing.T) {
	t.Parallel()
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: description %q, want one without a full stop", cmd.CommandPath(), cmd.Short)
		}
		if !cmd.HasSubCommands() && !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s: example %q, want one of the command", cmd.CommandPath(), cmd.Example)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s has no help text", cmd.CommandPath(), f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(cli.New(nil, &cli.Options{Name: "tenantctl"}))
}

// Every command takes --reason, except those that change nothing.
func TestReasons(t *testing.T) {
	t.Parallel()
	var without []string
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		if cmd.Runnable() && !cmd.HasSubCommands() && cmd.Flags().Lookup("reason") == nil {
			without = append(without, strings.TrimPrefix(cmd.CommandPath(), "tenantctl "))
		}
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(cli.New(nil, &cli.Options{Name: "tenantctl"}))
	slices.Sort(without)
	want := []string{
		"apikey list", "audit export", "audit list", "audit verify", "db shell", "db status", "event stuck", "health", "maintenance drain", "maintenance status",
		"namespace show", "operator list", "pool stat", "run list", "run show", "run watch", "schedule list", "tenant list", "tenant show",
		"usage export", "usage list", "usage months", "usage overview", "usage show",
	}
	if !slices.Equal(without, want) {
		t.Errorf("got %q without --reason, want %q", without, want)
	}
}

// docs/upgrading.md names all tables that the library makes.
func TestUpgradingNamesTables(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "upgrading.md")) // a page of the repository
	if err != nil {
		t.Fatal(err)
	}
	table := regexp.MustCompile(`CREATE TABLE (?:IF NOT EXISTS )?(tenancy_[a-z_]+)`)
	var families []string // that are named together, such as `tenancy_usage_…`
	for _, m := range regexp.MustCompile("`(tenancy_[a-z_]+_)…`").FindAllStringSubmatch(string(page), -1) {
		families = append(families, m[1])
	}
	found := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".sql" {
			return err
		}
		text, err := os.ReadFile(path) // a file of the repository
		if err != nil {
			return err
		}
		for _, m := range table.FindAllStringSubmatch(string(text), -1) {
			found++
			if !strings.Contains(string(page), "`"+m[1]+"`") && !slices.ContainsFunc(families, func(family string) bool { return strings.HasPrefix(m[1], family) }) {
				t.Errorf("%s makes %s, which docs/upgrading.md does not name", path, m[1])
			}
		}
		return nil
	})
	if err != nil || found < 20 {
		t.Errorf("got %d tables, %v", found, err)
	}
}
