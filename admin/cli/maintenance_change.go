package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy/maintenance"
)

func (p *program) maintenanceExtend() *cobra.Command {
	var service bool
	var until string
	s := &selection{}
	cmd := &cobra.Command{
		Use: "extend [tenant]...", Short: "Make maintenance that is in force last longer",
		Long: `Make maintenance that is in force last longer, or end by itself if it had no end. A bypass
stays valid.`,
		Example: "  tenantctl maintenance extend acme --until 2h\n  tenantctl maintenance extend --service --until \"2027-01-31 04:00\"",
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if err := need(p.app.Gate != nil, "maintenance mode"); err != nil {
				return err
			}
			if until == "" {
				return usage(errors.New("say until when: --until"))
			}
			end, err := moment(until, time.Now(), time.Local)
			if err != nil {
				return usage(fmt.Errorf("--until %w", err))
			}
			if service {
				if err := p.mayService(cmd, args, (&selection{}).flags); err != nil {
					return err
				}
				return p.extended(cmd, serviceName, "the whole service", end, p.app.Gate.Service().Extend(cmd.Context(), end))
			}
			var became []error
			for t, err := range s.each(p, cmd, args) {
				if err != nil {
					return err
				}
				became = append(became, p.extended(cmd, t.Slug, t.Slug, end, p.app.Gate.Tenant(t.ID).Extend(cmd.Context(), end)))
			}
			return someFailed(became)
		}),
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&service, "service", false, "the whole service, instead of tenants")
	cmd.Flags().StringVar(&until, "until", "", "when it ends: a time, or how long from now")
	return cmd
}

// extended says until when maintenance lasts, or why it does not.
func (p *program) extended(cmd *cobra.Command, name, who string, until time.Time, err error) error {
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", name, err)
		return &quietError{err}
	}
	if p.json {
		return p.writeJSON(cmd, map[string]any{"tenant": name, "until": until.UTC()})
	}
	return p.say(cmd, "Maintenance of %s lasts until %s.", who, minute(until))
}

func (p *program) maintenanceBypass() *cobra.Command {
	var service bool
	cmd := &cobra.Command{
		Use: "bypass [tenant]", Short: "Make the link by which people are served during maintenance, and show it, once",
		Long: `Make the link by which people are served during maintenance, and show it, once. It is a
path below the tenant's own address. Who opens it gets a cookie that counts no longer
than this maintenance. A link from before, and cookies by it, end.`,
		Example: "  tenantctl maintenance bypass acme\n  tenantctl maintenance bypass --service",
		RunE: p.with(func(cmd *cobra.Command, names []string) error {
			if err := need(p.app.Gate != nil, "maintenance mode"); err != nil {
				return err
			}
			if service {
				if err := p.mayService(cmd, names, (&selection{}).flags); err != nil {
					return err
				}
				return p.bypass(cmd.Context(), cmd, serviceName, p.app.Gate.Service())
			}
			if err := args(cobra.ExactArgs(1))(cmd, names); err != nil {
				return err
			}
			t, err := p.find(cmd, names[0])
			if err != nil {
				return err
			}
			return p.bypass(cmd.Context(), cmd, t.Slug, p.app.Gate.Tenant(t.ID))
		}),
	}
	cmd.Flags().BoolVar(&service, "service", false, "the whole service, instead of a tenant")
	return cmd
}

// bypass makes a link and shows it. Nobody can show it again.
func (p *program) bypass(ctx context.Context, cmd *cobra.Command, name string, of maintenance.Scope) error {
	secret, err := of.NewBypass(ctx)
	if err != nil {
		return err
	}
	path := p.app.Gate.BypassPath() + "/" + secret.Reveal()
	if p.json {
		return p.writeJSON(cmd, map[string]string{"tenant": name, "secret": secret.Reveal(), "path": path})
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "Open this path at the tenant's address. It cannot be shown again.")
	_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
	return err
}
