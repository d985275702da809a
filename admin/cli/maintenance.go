package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
)

func (p *program) maintenance() *cobra.Command {
	return group("maintenance", "Maintenance mode of tenants, or of the whole service", p.maintenanceOn(), p.maintenanceOff(), p.maintenanceStatus())
}

func (p *program) maintenanceOn() *cobra.Command {
	var service, readOnly bool
	var message, contact string
	var lasts time.Duration
	b := &bulk{p: p, task: TaskMaintenanceOn, verb: "Close for maintenance"}
	cmd := &cobra.Command{
		Use: "on [tenant]...", Short: "Begin maintenance",
		Example: `  tenantctl maintenance on acme --message "Back at noon." --for 2h
  tenantctl maintenance on --service --read-only`,
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			mode := tenancy.MaintenanceClosed
			if readOnly {
				mode = tenancy.MaintenanceReadOnly
			}
			if service {
				if err := p.mayService(args); err != nil {
					return err
				}
				m := tenancy.Maintenance{Mode: mode, Message: message, Contact: contact}
				if lasts != 0 {
					m.Windows = []tenancy.Window{{Start: time.Now(), End: time.Now().Add(lasts)}}
				}
				if err := p.confirm(cmd, "Close the whole service?", "service"); err != nil {
					return err
				}
				return p.app.Gate.Service().Begin(cmd.Context(), m)
			}
			b.spec.Params = tenancy.Params{"mode": string(mode)}
			for name, value := range map[string]string{"message": message, "contact": contact} {
				if value != "" {
					b.spec.Params[name] = value
				}
			}
			if lasts != 0 {
				b.spec.Params["for"] = lasts.String()
			}
			return b.run(cmd, args)
		}),
	}
	b.flags(cmd)
	cmd.Flags().BoolVar(&service, "service", false, "the whole service, instead of tenants")
	cmd.Flags().BoolVar(&readOnly, "read-only", false, "serve what only reads")
	cmd.Flags().StringVar(&message, "message", "", "text for clients")
	cmd.Flags().StringVar(&contact, "contact", "", "contact for clients")
	cmd.Flags().DurationVar(&lasts, "for", 0, "end by itself after this time (default: until \"maintenance off\")")
	return cmd
}

// mayService checks a command that is about the whole service.
func (p *program) mayService(args []string) error {
	if len(args) > 0 {
		return usage(errors.New("--service is for the whole service: name no tenants"))
	}
	return need(p.app.Gate != nil, "maintenance mode")
}

func (p *program) maintenanceOff() *cobra.Command {
	var service bool
	b := &bulk{p: p, task: TaskMaintenanceOff, verb: "End maintenance of"}
	cmd := &cobra.Command{
		Use: "off [tenant]...", Short: "End maintenance",
		Example: "  tenantctl maintenance off acme\n  tenantctl maintenance off --service",
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if !service {
				return b.run(cmd, args)
			}
			if err := p.mayService(args); err != nil {
				return err
			}
			return p.app.Gate.Service().End(cmd.Context())
		}),
	}
	b.flags(cmd)
	cmd.Flags().BoolVar(&service, "service", false, "the whole service, instead of tenants")
	return cmd
}

func (p *program) maintenanceStatus() *cobra.Command {
	s := &selection{}
	cmd := &cobra.Command{
		Use: "status [tenant]...", Short: "List the tenants that have maintenance, now or planned",
		Example: "  tenantctl maintenance status --all",
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			rows := newTable(cmd.OutOrStdout(), "TENANT", "MODE", "SINCE", "WINDOWS", "MESSAGE")
			for t, err := range s.each(p, cmd, args) {
				if err != nil {
					return err
				}
				m := t.Guards.Maintenance
				switch {
				case m == nil:
				case p.json:
					if err := writeJSON(cmd, map[string]any{"tenant": t.Slug, "maintenance": m}); err != nil {
						return err
					}
				default:
					windows := "until off"
					if len(m.Windows) > 0 {
						windows = fmt.Sprint(len(m.Windows))
						if w := m.Windows[0]; w.Rule == "" && len(m.Windows) == 1 {
							windows = "until " + date(w.End)
						}
					}
					rows.row(t.Slug, string(m.Mode), date(m.BeganAt), windows, m.Message)
				}
			}
			if p.json {
				return nil
			}
			return rows.flush()
		}),
	}
	s.flags(cmd)
	return cmd
}
