package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
)

// bulkCommand makes a command over many tenants that takes no parameters.
func (p *program) bulkCommand(b *bulk, use, short, example string) *cobra.Command {
	b.p = p
	cmd := &cobra.Command{Use: use + " [tenant]...", Short: short, Example: example, RunE: p.with(b.run)}
	b.flags(cmd)
	return cmd
}

// statusCommands change the status of tenants.
func (p *program) statusCommands() []*cobra.Command {
	var out []*cobra.Command
	for _, c := range []struct {
		name, verb, short string
		destroys          bool
	}{
		{"activate", "Activate", "Serve tenants", false},
		{"suspend", "Suspend", "Close tenants for a while", false},
		{"block", "Block", "Close tenants, usually over abuse", false},
		{"deactivate", "Deactivate", "Close tenants at their own wish", false},
		{"archive", "Archive", "Close tenants for good", true},
	} {
		out = append(out, p.bulkCommand(&bulk{task: c.name, verb: c.verb, destroys: c.destroys}, c.name, c.short,
			fmt.Sprintf("  tenantctl tenant %s acme\n  tenantctl tenant %s --where \"plan:trial\" --dry-run", c.name, c.name)))
	}
	return out
}

func (p *program) tenantTag() *cobra.Command {
	var add, remove []string
	b := &bulk{p: p, task: "tag", verb: "Tag"}
	cmd := &cobra.Command{
		Use: "tag [tenant]...", Short: "Add and remove tags",
		Example: "  tenantctl tenant tag acme globex --add eu --remove trial",
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			b.spec.Params = tenancy.Params{}
			for name, tags := range map[string][]string{"add": add, "remove": remove} {
				if len(tags) > 0 {
					b.spec.Params[name] = strings.Join(tags, ",")
				}
			}
			return b.run(cmd, args)
		}),
	}
	b.flags(cmd)
	cmd.Flags().StringSliceVar(&add, "add", nil, "tag to add; may be repeated")
	cmd.Flags().StringSliceVar(&remove, "remove", nil, "tag to remove; may be repeated")
	return cmd
}

func (p *program) tenantRename() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "rename <tenant> [slug]", Short: "Give a tenant another slug, or with --name another display name",
		Example: "  tenantctl tenant rename acme acme-eu --name \"Acme Europe\"",
		Args:    args(cobra.RangeArgs(1, 2)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && name == "" {
				return usage(fmt.Errorf("want a slug or --name"))
			}
			t, err := p.find(cmd, args[0])
			if err != nil {
				return err
			}
			t, err = p.app.Catalog.Edit(cmd.Context(), t.ID, func(t *tenancy.Tenant) error {
				if len(args) == 2 {
					t.Slug = args[1]
				}
				if name != "" {
					t.Name = name
				}
				return nil
			})
			return p.changed(cmd, t, err)
		}),
	}
	cmd.Flags().StringVar(&name, "name", "", "new display name")
	return cmd
}

// changed shows a record that a command changed.
func (p *program) changed(cmd *cobra.Command, t *tenancy.Tenant, err error) error {
	if err != nil {
		return err
	}
	if p.json {
		return p.writeJSON(cmd, t)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "Tenant %s (%s), %s.\n", t.Slug, t.Name, cmp.Or(strings.Join(t.Domains, ", "), "without domains"))
	return err
}

func (p *program) tenantDomain() *cobra.Command {
	one := func(use, short string, change func(cmd *cobra.Command, id tenancy.ID, domain string) (*tenancy.Tenant, error)) *cobra.Command {
		return &cobra.Command{
			Use: use + " <tenant> <domain>...", Short: short, Args: args(cobra.MinimumNArgs(2)),
			Example: "  tenantctl tenant domain " + use + " acme notes.acme.example",
			RunE: p.with(func(cmd *cobra.Command, args []string) error {
				t, err := p.find(cmd, args[0])
				if err != nil {
					return err
				}
				id := t.ID
				for _, domain := range args[1:] {
					if t, err = change(cmd, id, domain); err != nil {
						return fmt.Errorf("%s: %w", domain, err)
					}
				}
				return p.changed(cmd, t, nil)
			}),
		}
	}
	return group("domain", "Domains that lead to a tenant",
		one("add", "Lead domains to a tenant", func(cmd *cobra.Command, id tenancy.ID, domain string) (*tenancy.Tenant, error) {
			return p.app.Catalog.AddDomain(cmd.Context(), id, domain)
		}),
		one("remove", "Take domains from a tenant", func(cmd *cobra.Command, id tenancy.ID, domain string) (*tenancy.Tenant, error) {
			return p.app.Catalog.RemoveDomain(cmd.Context(), id, domain)
		}))
}
