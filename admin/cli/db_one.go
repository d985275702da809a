package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
)

// dbOne fills in a command that changes the schema of one tenant.
func (p *program) dbOne(cmd *cobra.Command, question string, typed bool, do func(context.Context, *tenancy.Tenant) (*migrate.Result, error)) *cobra.Command {
	cmd.Args = args(cobra.ExactArgs(1))
	cmd.RunE = p.with(func(cmd *cobra.Command, args []string) error {
		if err := need(p.app.Migrator != nil, "migrations"); err != nil {
			return err
		}
		t, err := p.find(cmd, args[0])
		if err != nil {
			return err
		}
		word := ""
		if typed {
			word = t.Slug
		}
		if err := p.confirm(cmd, fmt.Sprintf(question, t.Slug), word); err != nil {
			return err
		}
		defer p.keep.forget(cmd, "db-status")
		res, err := do(cmd.Context(), t)
		if err != nil {
			return err
		}
		if p.json {
			return p.writeJSON(cmd, res)
		}
		for _, c := range res.Down {
			fmt.Fprintf(cmd.OutOrStdout(), "Took %s back.\n", c.File)
		}
		for _, c := range res.Up {
			fmt.Fprintf(cmd.OutOrStdout(), "Applied %s.\n", c.File)
		}
		if len(res.Up)+len(res.Down) == 0 {
			fmt.Fprintln(cmd.OutOrStdout(), "There was nothing to do.")
		}
		return nil
	})
	return cmd
}

func (p *program) dbFresh() *cobra.Command {
	return p.dbOne(&cobra.Command{
		Use: "fresh <tenant>", Short: "Drop a tenant's database and make it anew, for development",
		Long: `Drop a tenant's database with all that is in it, make it anew and apply all migrations.
It wants the slug to be typed. The seed does not run: see db seed.`,
		Example: "  tenantctl db fresh acme",
	}, "Drop all that is in the database of %s?", true, func(ctx context.Context, t *tenancy.Tenant) (*migrate.Result, error) {
		return p.app.Migrator.Fresh(ctx, t)
	})
}

func (p *program) dbResume() *cobra.Command {
	var from int
	cmd := p.dbOne(&cobra.Command{
		Use: "resume <tenant>", Short: "Go on with a migration that MySQL has carried out in part",
		Long: `Go on with a migration that MySQL or MariaDB has carried out in part, at the statement
--from. db status shows which statement it reached: give its number if it was not
carried out, and the next if it was.`,
		Example: "  tenantctl db status acme --refresh\n  tenantctl db resume acme --from 3",
	}, "Go on with the half migration of %s?", false, func(ctx context.Context, t *tenancy.Tenant) (*migrate.Result, error) {
		if from == 0 {
			return nil, usage(errors.New("say with which statement to go on: --from"))
		}
		return p.app.Migrator.Resume(ctx, t, from)
	})
	cmd.Flags().IntVar(&from, "from", 0, "number of the statement to go on with")
	return cmd
}

func (p *program) dbMark() *cobra.Command {
	return p.dbOne(&cobra.Command{
		Use: "mark <tenant>", Short: "Say that a half migration was brought to its end by hand",
		Long: `Say that a migration that MySQL or MariaDB has carried out in part was brought to its end
by hand. It counts as applied, or as taken back, from then on.`,
		Example: "  tenantctl db mark acme",
	}, "Is the half migration of %s complete?", false, func(ctx context.Context, t *tenancy.Tenant) (*migrate.Result, error) {
		return p.app.Migrator.Mark(ctx, t)
	})
}
