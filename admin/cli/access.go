package cli

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
)

// tenantAddress shows and changes what middleware.AllowIPs goes by.
func (p *program) tenantAddress() *cobra.Command {
	var allow, deny []string
	cmd := &cobra.Command{
		Use: "address <tenant>", Short: "Show or set the addresses that a tenant's requests may come from",
		Long: `Show the addresses that a tenant's requests may come from, and those that are refused. A
flag takes the place of the whole list; an empty one, such as --deny=, empties it. A
tenant without allowed addresses is open to all that are not denied.`,
		Example: "  tenantctl tenant address acme\n  tenantctl tenant address acme --allow 192.0.2.0/24 --allow 198.51.100.7",
		Args:    args(cobra.ExactArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			allowed, err1 := prefixes("allow", allow)
			denied, err2 := prefixes("deny", deny)
			if err := cmp.Or(err1, err2); err != nil {
				return err
			}
			t, err := p.find(cmd, args[0])
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("allow") || cmd.Flags().Changed("deny") {
				t, err = p.app.Catalog.Edit(cmd.Context(), t.ID, func(t *tenancy.Tenant) error {
					if cmd.Flags().Changed("allow") {
						t.Access.Allow = allowed
					}
					if cmd.Flags().Changed("deny") {
						t.Access.Deny = denied
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			if p.json {
				return p.writeJSON(cmd, map[string]any{"tenant": t.Slug, "allow": append([]netip.Prefix{}, t.Access.Allow...), "deny": append([]netip.Prefix{}, t.Access.Deny...)})
			}
			return pairs(cmd.OutOrStdout(), "Tenant", t.Slug, "Allowed", cmp.Or(texts(t.Access.Allow), "everywhere"), "Denied", texts(t.Access.Deny))
		}),
	}
	cmd.Flags().StringSliceVar(&allow, "allow", nil, "address, or prefix such as 192.0.2.0/24, that requests may come from; may be repeated")
	cmd.Flags().StringSliceVar(&deny, "deny", nil, "address or prefix that is refused, also if it is allowed; may be repeated")
	return cmd
}

// prefixes reads the addresses of a flag.
func prefixes(flag string, all []string) (out []netip.Prefix, err error) {
	for _, text := range all {
		p, err := auth.ParsePrefix(text)
		if err != nil {
			return nil, usage(fmt.Errorf("--%s: %w", flag, err))
		}
		out = append(out, p)
	}
	return out, nil
}

// texts returns prefixes as a line.
func texts(all []netip.Prefix) string {
	out := make([]string, len(all))
	for i, p := range all {
		out[i] = p.String()
	}
	return strings.Join(out, ", ")
}

// tenantSignOut revokes the tokens of middleware/token.
func (p *program) tenantSignOut() *cobra.Command {
	return &cobra.Command{
		Use: "sign-out <tenant>", Short: "Revoke the tokens of all users of a tenant",
		Long: `Revoke the tokens of all users of a tenant that were issued so far: they sign in again. API
keys stay valid: see "apikey revoke".`,
		Example: "  tenantctl tenant sign-out acme",
		Args:    args(cobra.ExactArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			t, err := p.find(cmd, args[0])
			if err != nil {
				return err
			}
			if err := p.confirm(cmd, "Sign all users of "+t.Slug+" out?", t.Slug); err != nil {
				return err
			}
			t, err = p.app.Catalog.Edit(cmd.Context(), t.ID, func(t *tenancy.Tenant) error {
				t.Access.RevokeTokens()
				return nil
			})
			if err != nil {
				return err
			}
			if p.json {
				return p.writeJSON(cmd, t)
			}
			return p.say(cmd, "No user of tenant %s is signed in any more.", t.Slug)
		}),
	}
}
