package cli

import "github.com/spf13/cobra"

func (p *program) db() *cobra.Command {
	return group("db", "Bring tenants' schemas up to date", p.dbMigrate())
}

func (p *program) dbMigrate() *cobra.Command {
	b := &bulk{p: p, task: TaskMigrate, verb: "Migrate"}
	cmd := &cobra.Command{
		Use:   "migrate [tenant]...",
		Short: "Apply the migrations that tenants' databases lack",
		Long: `Apply the migrations that tenants' databases lack, as a run.

A run that was interrupted goes on where it was when the same command is given again.
Ctrl-C finishes the tenants in hand and leaves the rest of the run.`,
		Example: `  tenantctl db migrate acme
  tenantctl db migrate --all --canary 5 --waves 25% --approve
  tenantctl db migrate --where "plan:pro" --exclude acme --dry-run`,
		RunE: p.with(b.run),
	}
	b.flags(cmd)
	return cmd
}
