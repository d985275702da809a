package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog/audit"
)

func (p *program) audit() *cobra.Command {
	return group("audit", "Who changed what", p.auditList(), p.auditVerify())
}

func (p *program) auditList() *cobra.Command {
	var tenant string
	f := audit.Filter{}
	cmd := &cobra.Command{
		Use: "list", Short: "List entries of the audit, the latest first",
		Example: "  tenantctl audit list --tenant acme --action tenant.status",
		Args:    args(cobra.NoArgs),
		RunE: p.with(func(cmd *cobra.Command, _ []string) error {
			if err := need(p.app.Audit != nil, "audit"); err != nil {
				return err
			}
			if tenant != "" {
				t, err := p.find(cmd, tenant)
				if err != nil {
					return err
				}
				f.Tenant = t.ID
			}
			rows := newTable(cmd.OutOrStdout(), "TIME", "ACTOR", "ACTION", "ABOUT")
			slugs := map[tenancy.ID]string{"": ""}
			for e, err := range p.app.Audit.Entries(cmd.Context(), f) {
				if err != nil {
					return err
				}
				if !p.json {
					if _, known := slugs[e.Tenant]; !known {
						slugs[e.Tenant] = p.slug(cmd, e.Tenant)
					}
					action := e.Action
					if e.Result != tenancy.AuditDone {
						action += " " + string(e.Result)
					}
					rows.row(date(e.Time), e.Actor.String(), action, strings.TrimSpace(slugs[e.Tenant]+" "+e.Object+" "+e.Problem))
				} else if err := writeJSON(cmd, e); err != nil {
					return err
				}
			}
			if p.json {
				return nil
			}
			return rows.flush()
		}),
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "only entries about this tenant, by slug, ID or domain")
	cmd.Flags().StringSliceVar(&f.Actions, "action", nil, "only this action; may be repeated")
	cmd.Flags().StringVar(&f.ActorID, "actor", "", "only what the actor with this ID did")
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "at most this many")
	return cmd
}

// slug returns the slug of a tenant, or its ID if it is gone.
func (p *program) slug(cmd *cobra.Command, id tenancy.ID) string {
	t, err := p.app.Catalog.Find(cmd.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(id)})
	if err != nil {
		return string(id)
	}
	return t.Slug
}

func (p *program) auditVerify() *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Check that no entry of the audit was altered, removed or added",
		Example: "  tenantctl audit verify",
		Args:    args(cobra.NoArgs),
		RunE: p.with(func(cmd *cobra.Command, _ []string) error {
			if err := need(p.app.Audit != nil, "audit"); err != nil {
				return err
			}
			report, err := p.app.Audit.Verify(cmd.Context())
			if err != nil {
				return err
			}
			if p.json {
				err = writeJSON(cmd, report)
			} else if report.Fault == nil {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d entries, whole.\nLast: %d\nHash: %s\n", report.Entries, report.Number, report.Hash)
			}
			if report.Fault != nil {
				return errors.Join(err, report.Fault)
			}
			return err
		}),
	}
}
