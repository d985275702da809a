package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
)

func (p *program) event() *cobra.Command {
	return group("event", "Events of changes that could not be delivered", p.eventStuck(), p.eventSkip())
}

func (p *program) eventStuck() *cobra.Command {
	return &cobra.Command{
		Use: "stuck", Short: "List the events that failed, and for which the later events of their tenants wait",
		Example: "  tenantctl event stuck",
		Args:    args(cobra.NoArgs),
		RunE: p.with(func(cmd *cobra.Command, _ []string) error {
			if err := need(p.app.Outbox != nil, "outbox"); err != nil {
				return err
			}
			all, err := p.app.Outbox.Stuck(cmd.Context())
			if err != nil {
				return err
			}
			rows := newTable(cmd.OutOrStdout(), "TENANT", "EVENT", "PROBLEM")
			rows.lines = 6
			for _, each := range all {
				if p.json {
					if err := p.writeJSON(cmd, each); err != nil {
						return err
					}
					continue
				}
				e := each.Event
				rows.row(p.slug(cmd, e.Tenant), e.ID, fmt.Sprintf("%s, attempts: %d, next %s, waiting behind it: %d. %s", e.Kind, each.Attempts, minute(each.Next), each.Waiting, each.Problem))
			}
			if p.json {
				return nil
			}
			if len(all) == 0 {
				return p.say(cmd, "No event is stuck.")
			}
			return rows.flush()
		}),
	}
}

func (p *program) eventSkip() *cobra.Command {
	return &cobra.Command{
		Use: "skip <tenant> <event>", Short: "Give up an event that is stuck, so that the tenant's later events are delivered",
		Long: `Give up an event that is stuck, so that the tenant's later events are delivered.

The function that refuses it never gets it. It stays in the table of events and goes to the
stream, if there is one. The audit gets an entry with the reason.`,
		Example: "  tenantctl event skip acme 01kb7z3v9n2c5x8q1w4e6r7t0y --reason \"billing has it\"",
		Args:    args(cobra.ExactArgs(2)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if err := need(p.app.Outbox != nil, "outbox"); err != nil {
				return err
			}
			id := tenancy.ID(args[0]) // of a tenant whose record may be gone
			t, err := p.find(cmd, args[0])
			if err == nil {
				id = t.ID
			} else if !errors.Is(err, tenancy.ErrNotFound) {
				return err
			}
			if err := p.confirm(cmd, "Give up the event "+args[1]+" of tenant "+args[0]+"?", ""); err != nil {
				return err
			}
			if err := p.app.Outbox.Skip(cmd.Context(), id, args[1]); err != nil {
				return err
			}
			if p.json {
				return p.writeJSON(cmd, map[string]string{"tenant": string(id), "skipped": args[1]})
			}
			return p.say(cmd, "The event %s is skipped.", args[1])
		}),
	}
}
