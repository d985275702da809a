package cli

import (
	"github.com/spf13/cobra"
)

func (p *program) namespace() *cobra.Command {
	return group("namespace", "The catalog's identity, which keeps services that share a Redis apart", p.namespaceShow(), p.namespaceRenew())
}

func (p *program) namespaceShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the catalog's namespace, under which its instances keep what they share in Redis",
		Example: "  tenantctl namespace show",
		Args:    args(cobra.NoArgs),
		RunE: p.with(func(cmd *cobra.Command, _ []string) error {
			name, err := p.app.Catalog.Namespace(cmd.Context())
			if err != nil {
				return err
			}
			return p.showNamespace(cmd, name)
		}),
	}
}

func (p *program) namespaceRenew() *cobra.Command {
	return &cobra.Command{
		Use: "renew", Short: "Give a copy of a catalog a namespace of its own, before its service starts",
		Long: `Give a copy of a catalog a namespace of its own, before its service starts.

A copy, such as a staging environment made from a backup of production, has the namespace
of its original: on the same Redis it would be given production's records, and change
production's limits and drains. Instances that run already keep the namespace that they
began with. The new one is shown.`,
		Example: "  tenantctl namespace renew",
		Args:    args(cobra.NoArgs),
		RunE: p.with(func(cmd *cobra.Command, _ []string) error {
			old, err := p.app.Catalog.Namespace(cmd.Context())
			if err != nil {
				return err
			}
			if err := p.confirm(cmd, "Give this catalog a new namespace? Instances that run on it share nothing with those that start later.", old); err != nil {
				return err
			}
			name, err := p.app.Catalog.RenewNamespace(cmd.Context())
			if err != nil {
				return err
			}
			return p.showNamespace(cmd, name)
		}),
	}
}

func (p *program) showNamespace(cmd *cobra.Command, name string) error {
	if p.json {
		return p.writeJSON(cmd, map[string]string{"namespace": name})
	}
	return p.say(cmd, "%s", name)
}
