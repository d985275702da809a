package cli

import (
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
)

func (p *program) db() *cobra.Command {
	return group("db", "Tenants' schemas: bring them up to date, roll back, seed",
		p.dbMigrate(), p.dbStatus(), p.dbRollback(), p.dbRedo(),
		p.bulkCommand(&bulk{task: TaskSeed, verb: "Seed"}, "seed", "Fill tenants' databases as those of new tenants are", "  tenantctl db seed acme"))
}

func (p *program) dbMigrate() *cobra.Command {
	return p.dbVersion(&bulk{p: p, task: TaskMigrate, verb: "Migrate"}, "go up to this version (default: the latest)", &cobra.Command{
		Use:   "migrate [tenant]...",
		Short: "Apply the migrations that tenants' databases lack",
		Long: `Apply the migrations that tenants' databases lack, as a run.

A run that was interrupted goes on where it was when the same command is given again.
Ctrl-C finishes the tenants in hand and leaves the rest of the run.`,
		Example: `  tenantctl db migrate acme
  tenantctl db migrate --all --canary 5 --waves 25% --approve
  tenantctl db migrate --where "plan:pro" --exclude acme --dry-run`,
	})
}

func (p *program) dbRollback() *cobra.Command {
	return p.dbVersion(&bulk{p: p, task: TaskRollback, verb: "Roll back", destroys: true}, "go down to this version (default: one version down)", &cobra.Command{
		Use:     "rollback [tenant]...",
		Short:   "Take migrations back: the last one, or those later than --to",
		Example: "  tenantctl db rollback acme\n  tenantctl db rollback --all --to 41",
	})
}

// dbVersion is a command over many tenants that takes a version.
func (p *program) dbVersion(b *bulk, help string, cmd *cobra.Command) *cobra.Command {
	var to string
	cmd.RunE = p.with(func(cmd *cobra.Command, args []string) error {
		if to != "" {
			b.spec.Params = tenancy.Params{"to": to}
		}
		return b.run(cmd, args)
	})
	b.flags(cmd)
	cmd.Flags().StringVar(&to, "to", "", help)
	return cmd
}

func (p *program) dbRedo() *cobra.Command {
	return &cobra.Command{
		Use: "redo <tenant>", Short: "Take the last migration back and apply it again, for development",
		Example: "  tenantctl db redo acme",
		Args:    args(cobra.ExactArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if err := need(p.app.Migrator != nil, "migrations"); err != nil {
				return err
			}
			t, err := p.find(cmd, args[0])
			if err != nil {
				return err
			}
			if err := p.confirm(cmd, "Take back the last migration of "+t.Slug+" and apply it again?", t.Slug); err != nil {
				return err
			}
			res, err := p.app.Migrator.Redo(cmd.Context(), t)
			if err != nil {
				return err
			}
			if p.json {
				return writeJSON(cmd, res)
			}
			for _, c := range res.Up {
				fmt.Fprintf(cmd.OutOrStdout(), "Applied %s again.\n", c.File)
			}
			return nil
		}),
	}
}

// schemaOf is how one tenant's schema stands.
type schemaOf struct {
	Tenant string          `json:"tenant"`
	Status *migrate.Status `json:"status,omitempty"`
	Error  string          `json:"error,omitempty"`
	err    error
}

func (p *program) dbStatus() *cobra.Command {
	var s selection
	var behind bool
	cmd := &cobra.Command{
		Use: "status [tenant]...", Short: "Show at which versions tenants' schemas are",
		Example: "  tenantctl db status --all --behind",
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if err := need(p.app.Migrator != nil, "migrations"); err != nil {
				return err
			}
			return p.showStatus(cmd, &s, args, behind)
		}),
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&behind, "behind", false, "list only tenants that lack migrations")
	return cmd
}

// statusParallel is how many tenants are asked at a time.
const statusParallel = 8

func (p *program) showStatus(cmd *cobra.Command, s *selection, names []string, behind bool) error {
	in := make(chan *tenancy.Tenant)
	var failed error
	go func() {
		defer close(in)
		for t, err := range s.each(p, cmd, names) {
			if err != nil {
				failed = err
				return
			}
			if !t.Status.Removable() {
				in <- t
			}
		}
	}()
	out := make(chan schemaOf)
	go func() {
		defer close(out)
		var wg sync.WaitGroup
		for range statusParallel {
			wg.Go(func() {
				for t := range in {
					st, err := p.app.Migrator.Status(cmd.Context(), t)
					each := schemaOf{Tenant: t.Slug, Status: st, err: err}
					if err != nil {
						each.Error = err.Error()
					}
					out <- each
				}
			})
		}
		wg.Wait()
	}()
	rows := newTable(cmd.OutOrStdout(), "TENANT", "VERSION", "PENDING")
	total, upToDate, broken := 0, 0, error(nil)
	for each := range out {
		total++
		pending := each.Error
		switch {
		case each.err != nil:
			broken = each.err
		case each.Status.UpToDate():
			upToDate++
			pending = ""
		default:
			var files []string
			for _, f := range each.Status.Pending {
				files = append(files, f.File)
			}
			pending = fmt.Sprintf("%d: %s", len(files), strings.Join(files, ", "))
		}
		switch {
		case behind && each.err == nil && each.Status.UpToDate():
		case p.json:
			if err := writeJSON(cmd, each); err != nil {
				return err
			}
		case each.err != nil:
			rows.row(each.Tenant, "?", pending)
		default:
			rows.row(each.Tenant, fmt.Sprint(each.Status.Version), pending)
		}
	}
	if failed != nil { // in was closed after it
		return failed
	}
	if !p.json {
		rows.sort()
		if err := rows.flush(); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "\n%d of %s up to date\n", upToDate, tenants(total))
	}
	if broken != nil {
		return &quietError{broken}
	}
	return nil
}
