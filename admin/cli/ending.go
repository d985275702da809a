package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
)

func (p *program) tenantRestore() *cobra.Command {
	return &cobra.Command{
		Use:     "restore <tenant>",
		Short:   "Take an archived tenant back, as an inactive one",
		Example: "  tenantctl tenant restore acme",
		Args:    args(cobra.ExactArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			t, err := p.ending(cmd, args[0], "Restore")
			if err != nil {
				return err
			}
			if err := p.app.Lifecycle.Restore(cmd.Context(), t.ID); err != nil {
				return err
			}
			t, err = p.find(cmd, string(t.ID))
			return p.changed(cmd, t, err)
		}),
	}
}

func (p *program) tenantPurge() *cobra.Command {
	var now bool
	cmd := &cobra.Command{
		Use:     "purge <tenant>",
		Short:   "Remove a tenant that is archived or half made, and its database, for good",
		Example: "  tenantctl tenant purge acme\n  tenantctl tenant purge acme --now --reason \"they asked for it\"",
		Args:    args(cobra.ExactArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if now && p.reason == "" {
				return usage(errors.New("--now wants a --reason"))
			}
			t, err := p.ending(cmd, args[0], "Purge for good")
			if err != nil {
				return err
			}
			purge := p.app.Lifecycle.Purge
			if now {
				purge = p.app.Lifecycle.PurgeNow
			}
			if err := purge(cmd.Context(), t.ID); err != nil {
				return err
			}
			if p.json {
				return p.writeJSON(cmd, map[string]tenancy.ID{"purged": t.ID})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Purged tenant %s (%s).\n", t.Slug, t.ID)
			return err
		}),
	}
	cmd.Flags().BoolVar(&now, "now", false, "do not wait for the grace time")
	return cmd
}

// ending finds the tenant of a command and wants its slug to be typed.
func (p *program) ending(cmd *cobra.Command, name, verb string) (*tenancy.Tenant, error) {
	if err := need(p.app.Lifecycle != nil, "life cycle"); err != nil {
		return nil, err
	}
	t, err := p.find(cmd, name)
	if err != nil {
		return nil, err
	}
	return t, p.confirm(cmd, fmt.Sprintf("%s %s?", verb, t.Slug), t.Slug)
}
