package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
)

// Doctor is the optional ability of a [Lifecycle] to compare the catalog with the
// servers. A *lifecycle.Lifecycle has it.
type Doctor interface {
	Doctor(ctx context.Context, opts *lifecycle.DoctorOptions) (*lifecycle.Diagnosis, error)
}

// diagnosed is the result of doctor.
type diagnosed struct {
	lifecycle.Diagnosis
	At time.Time `json:"as_of"`
}

func (p *program) doctor() *cobra.Command {
	var opts lifecycle.DoctorOptions
	var mend string
	var kinds []string
	for _, kind := range lifecycle.Mendable() {
		kinds = append(kinds, string(kind))
	}
	cmd := &cobra.Command{
		Use: "doctor", Short: "Compare the catalog with the servers, and mend one kind of what does not fit",
		Long: `Compare the catalog with the servers: databases without a tenant, tenants without a
database, half-made and half-purged tenants, schema versions, and what dangles. It
changes nothing without --mend, which mends what is found of one kind:

  orphan       drops databases of tenants that are gone and that the audit knows; from
               one that was adopted for a tenant that was never in service it only
               takes the mark
  half-made    resumes creations, with a new database where one was cut off
  half-purged  goes on with purges, and so drops the tenants' databases
  schema       makes the record say what the database says
  dangling     removes domains, tags and uses of keys whose tenant or key is gone

The exit code is 1 if something is wrong still. docs/lifecycle.md says what to do about
the other kinds. The last result is shown again, with its age, for --max-age; --refresh
looks again.`,
		Example: "  tenantctl doctor\n  tenantctl doctor --mend half-made",
		Args:    args(cobra.NoArgs),
		RunE: p.with(func(cmd *cobra.Command, _ []string) error {
			d, ok := p.app.Lifecycle.(Doctor)
			if err := need(ok, "life cycle with a doctor"); err != nil {
				return err
			}
			opts.Mend = lifecycle.FindingKind(mend)
			if mend != "" && !slices.Contains(kinds, mend) {
				return usage(fmt.Errorf("--mend %q, want one of %s", mend, strings.Join(kinds, ", ")))
			}
			result, err := p.diagnose(cmd, d, &opts)
			if err != nil {
				return err
			}
			return p.showDiagnosis(cmd, result)
		}),
	}
	p.keep.flags(cmd)
	cmd.Flags().StringVar(&mend, "mend", "", "mend what is found of this kind: "+strings.Join(kinds, ", "))
	cmd.Flags().DurationVar(&opts.Age, "age", 10*time.Minute, "how long a tenant may be half made or half purged")
	cmd.Flags().IntVar(&opts.Parallel, "parallel", 4, "databases looked at together")
	_ = cmd.RegisterFlagCompletionFunc("mend", cobra.FixedCompletions(kinds, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// diagnose returns the last result, or a new one; with --mend always a new one.
func (p *program) diagnose(cmd *cobra.Command, d Doctor, opts *lifecycle.DoctorOptions) (result diagnosed, err error) {
	of := fmt.Sprint("doctor ", opts.Age)
	if lines, at, ok := p.keep.last(cmd, of); ok && opts.Mend == "" && len(lines) == 1 && json.Unmarshal(lines[0], &result) == nil {
		p.keep.sayAge(cmd, at)
		return result, nil
	}
	if opts.Mend != "" {
		question, word := "Mend all findings of the kind "+string(opts.Mend)+"?", ""
		if opts.Mend == lifecycle.FindOrphan || opts.Mend == lifecycle.FindHalfPurged {
			question, word = "Drop the databases of all findings of the kind "+string(opts.Mend)+"?", string(opts.Mend)
		}
		if err := p.confirm(cmd, question, word); err != nil {
			return result, err
		}
		defer p.keep.forget(cmd, cmd.Parent().Name()+"-doctor")
	}
	if opts.Age == 0 {
		opts.Age = -1
	}
	if p.app.Audit != nil {
		opts.Audit = p.app.Audit
	}
	opts.Context = dbpool.LowPriority
	g := p.gauge(cmd, "doctor", "findings", 0)
	opts.Found = func(lifecycle.Finding) { g.add(1) }
	doc, err := d.Doctor(cmd.Context(), opts)
	g.end()
	if err != nil {
		return result, err
	}
	result = diagnosed{*doc, time.Now().UTC()}
	if opts.Mend != "" {
		return result, nil
	}
	p.keep.keep(cmd, of, func(yield func(any) bool) { yield(result) })
	return result, nil
}

func (p *program) showDiagnosis(cmd *cobra.Command, result diagnosed) error {
	rows := newTable(cmd.OutOrStdout(), "KIND", "TENANT", "WHAT")
	rows.lines = 4
	for _, f := range result.Findings {
		if p.json {
			if err := p.writeJSON(cmd, f); err != nil {
				return err
			}
			continue
		}
		what := f.Detail
		if f.Database != "" && f.Slug == "" {
			what = f.Server + "/" + f.Database + ": " + what
		} else if f.Tenant == "" && f.Server != "" {
			what = f.Server + ": " + what
		}
		switch {
		case f.Mended:
			what = "mended: " + what
		case f.Error != "":
			what = "not mended: " + f.Error
		}
		rows.row(string(f.Kind), cmp.Or(f.Slug, string(f.Tenant)), what)
	}
	if p.json {
		result.Findings = nil
		if err := p.writeJSON(cmd, result); err != nil {
			return err
		}
	} else {
		if len(result.Findings) > 0 {
			rows.sort()
			if err := rows.flush(); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout())
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s, %s: %s\n", tenants(result.Tenants), counted(result.Databases, "database", "databases"), findings(&result.Diagnosis))
	}
	if !result.Healthy() {
		return &quietError{errors.New("something is wrong still")}
	}
	return nil
}

// findings says how many findings there are.
func findings(d *lifecycle.Diagnosis) string {
	n := 0
	for _, count := range d.Counts {
		n += count
	}
	if n == 0 {
		return "nothing is wrong"
	}
	text := counted(n, "finding", "findings")
	if d.Mended+d.Failed > 0 {
		text += fmt.Sprintf(", %d mended, %d could not be", d.Mended, d.Failed)
	}
	if more := n - len(d.Findings); more > 0 {
		text += fmt.Sprintf("; %d more are not shown", more)
	}
	return text
}

var (
	_ Doctor          = (*lifecycle.Lifecycle)(nil)
	_ lifecycle.Trail = (*audit.Trail)(nil)
)
