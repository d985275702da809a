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
		"Commands over many tenants take the same flags. Which tenants: names, `--tenant`, `--where`, `--all`, `--exclude`. How: `--parallel`,\n" +
		"`--per-server`, `--canary`, `--waves`, `--pause`, `--approve`, `--budget`, `--timeout`, `--key`, `--dry-run`, `--detach`, `--new`.\n" +
		"Every command takes `--json` and `--yes`.\n")
	root := cli.New(nil, &cli.Options{Name: "tenantctl"})
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
			if f.Name != "help" && !(bulk && common[f.Name]) {
				lines = append(lines, fmt.Sprintf("- `--%s`: %s\n", f.Name, f.Usage))
			}
		})
		if bulk {
			lines = append(lines, "- and the flags of commands over many tenants\n")
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

// docs/upgrading.md names all tables that the library makes.
func TestUpgradingNamesTables(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "upgrading.md")) //nolint:gosec // a page of the repository
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
		text, err := os.ReadFile(path) //nolint:gosec // a file of the repository
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
