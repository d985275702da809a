package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog/audit"
)

func (p *program) audit() *cobra.Command {
	return group("audit", "Who changed what", p.auditList(), p.auditVerify(), p.auditExport())
}

func (p *program) auditList() *cobra.Command {
	var tenant string
	var results []string
	var s span
	f := audit.Filter{}
	cmd := &cobra.Command{
		Use: "list", Short: "List entries of the audit, the latest first",
		Example: "  tenantctl audit list --tenant acme --action tenant.status\n  tenantctl audit list --result denied --from 24h --text key",
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
			period, err := s.period(time.Now())
			if err != nil {
				return err
			}
			f.From, f.Before = period.From, period.To
			for _, r := range results {
				f.Results = append(f.Results, tenancy.AuditResult(r))
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
				} else if err := p.writeJSON(cmd, e); err != nil {
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
	cmd.Flags().StringSliceVar(&results, "result", nil, "only actions that ended so: done, denied, failed or unknown; may be repeated")
	cmd.Flags().StringVar(&f.Text, "text", "", "only entries with this text in the action, object, problem, reason, or in who it was")
	s.flags(cmd, timeForm)
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "at most this many")
	_ = cmd.RegisterFlagCompletionFunc("result", cobra.FixedCompletions([]string{"done", "denied", "failed", "unknown"}, cobra.ShellCompDirectiveNoFileComp))
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

// verified is the result of audit verify.
type verified struct {
	audit.Report
	At time.Time `json:"as_of"`
}

func (p *program) auditVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that no entry of the audit was altered, removed or added",
		Long: `Check that no entry of the audit was altered, removed or added. It reads the whole audit.

The last result is shown again, with its age, for --max-age; --refresh checks again.`,
		Example: "  tenantctl audit verify\n  tenantctl audit verify --refresh",
		Args:    args(cobra.NoArgs),
		RunE: p.with(func(cmd *cobra.Command, _ []string) error {
			if err := need(p.app.Audit != nil, "audit"); err != nil {
				return err
			}
			result, err := p.verify(cmd)
			if err != nil {
				return err
			}
			if p.json {
				err = p.writeJSON(cmd, result)
			} else if result.Fault == nil {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, whole.\nLast: %d\nHash: %s\n", counted(result.Entries, "entry", "entries"), result.Number, result.Hash)
				if err == nil && result.Late > 0 {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d of them say they are older than a checkpoint before them.\n", result.Late)
				}
			}
			if result.Fault != nil {
				return errors.Join(err, result.Fault)
			}
			return err
		}),
	}
	p.keep.flags(cmd)
	return cmd
}

// verify returns the last result, or a new one.
func (p *program) verify(cmd *cobra.Command) (result verified, err error) {
	if lines, at, ok := p.keep.last(cmd, "verify"); ok && len(lines) == 1 && json.Unmarshal(lines[0], &result) == nil {
		p.keep.sayAge(cmd, at)
		return result, nil
	}
	g := p.gauge(cmd, "audit verify", "entries", 0)
	report, err := p.app.Audit.VerifyEach(cmd.Context(), func(to audit.Progress) error {
		g.set(to.Number, to.Last)
		return nil
	})
	g.end()
	if err != nil {
		return result, err
	}
	result = verified{*report, time.Now().UTC()}
	p.keep.keep(cmd, "verify", func(yield func(any) bool) { yield(result) })
	return result, nil
}

func (p *program) auditExport() *cobra.Command {
	var checkpoints string
	cmd := &cobra.Command{
		Use: "export [file]", Short: "Write all entries of the audit in the form that can be verified without the database",
		Long: `Write all entries of the audit, one in a line, in the form that can be verified without
the database: see docs/audit.md. Without a file they go to the standard output. A file
that is there already is not replaced.`,
		Example: "  tenantctl audit export audit-2027-01.jsonl --checkpoints checkpoints-2027-01.jsonl",
		Args:    args(cobra.MaximumNArgs(1)),
		RunE: p.with(func(cmd *cobra.Command, args []string) error {
			if err := need(p.app.Audit != nil, "audit"); err != nil {
				return err
			}
			if checkpoints != "" {
				all, err := p.app.Audit.Checkpoints(cmd.Context())
				if err != nil {
					return err
				}
				if err := newFile(checkpoints, func(w io.Writer) (err error) {
					for _, c := range all {
						err = errors.Join(err, json.NewEncoder(w).Encode(c))
					}
					return err
				}); err != nil {
					return err
				}
			}
			if _, shown := terminal(cmd.OutOrStdout()); len(args) == 0 && shown {
				return p.app.Audit.Export(cmd.Context(), cmd.OutOrStdout()) // the entries say themselves how far it is
			}
			export := func(w io.Writer) error {
				g := p.gauge(cmd, "audit export", "entries", 0)
				defer g.end()
				return p.app.Audit.Export(cmd.Context(), &lineCounter{w, g})
			}
			if len(args) == 0 {
				return export(cmd.OutOrStdout())
			}
			if err := newFile(args[0], export); err != nil {
				return err
			}
			return p.say(cmd, "Wrote %s.", args[0])
		}),
	}
	cmd.Flags().StringVar(&checkpoints, "checkpoints", "", "file for the signed checkpoints")
	return cmd
}

// newFile writes a file that only the user may read, whole or not at all. One that is there
// is an error.
func newFile(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // the user names it
	if err != nil {
		return usage(err)
	}
	err = write(f)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(name)
	}
	return err
}
