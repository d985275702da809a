package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
)

func (p *program) usage() *cobra.Command {
	return group("usage", "What tenants use, as the application has recorded it",
		p.usageOverview(), p.usageList(), p.usageShow(), p.usageMonths(), p.usageExport())
}

// onReports returns the function of a command about usage.
func (p *program) onReports(fn func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return p.with(func(cmd *cobra.Command, args []string) error {
		if err := need(p.app.Reports != nil, "usage reports"); err != nil {
			return err
		}
		return fn(cmd, args)
	})
}

// span are the flags that say which time a report is about.
type span struct{ from, to string }

func (s *span) flags(cmd *cobra.Command, form string) {
	cmd.Flags().StringVar(&s.from, "from", "", "when it begins: "+form)
	cmd.Flags().StringVar(&s.to, "to", "", "when it ends (default: now)")
}

// timeForm is how times that are past are given.
const timeForm = "a time, or how long ago, such as 24h"

// period reads the flags. Times that are not given are zero.
func (s *span) period(now time.Time) (p analytics.Period, err error) {
	for _, of := range []struct {
		name, text string
		to         *time.Time
	}{{"from", s.from, &p.From}, {"to", s.to, &p.To}} {
		if of.text == "" {
			continue
		}
		if *of.to, err = past(of.text, now, time.Local); err != nil {
			return p, usage(fmt.Errorf("--%s %w", of.name, err))
		}
	}
	return p, nil
}

// months reads the flags as months.
func (s *span) months() (from, to time.Time, err error) {
	for _, of := range []struct {
		name, text string
		to         *time.Time
	}{{"from", s.from, &from}, {"to", s.to, &to}} {
		if of.text == "" {
			continue
		}
		if *of.to, err = time.Parse("2006-01", of.text); err != nil {
			return from, to, usage(fmt.Errorf("--%s %q, want a month such as 2027-01", of.name, of.text))
		}
	}
	return from, to, nil
}

// tenantsFilter reads --where, which may name fields of usage.
func tenantsFilter(where string) (tenancy.Filter, error) {
	return tenancy.ParseFilter(where, analytics.Fields()...)
}

const usageWhere = "only tenants that the filter selects, such as \"plan:pro errors_7d:>100\""

func (p *program) usageOverview() *cobra.Command {
	return &cobra.Command{
		Use: "overview", Short: "Show what all tenants use together, and which use most",
		Example: "  tenantctl usage overview",
		Args:    args(cobra.NoArgs),
		RunE: p.onReports(func(cmd *cobra.Command, _ []string) error {
			o, err := p.app.Reports.Overview(cmd.Context(), tenancy.AllTenants())
			if err != nil {
				return err
			}
			if p.json {
				return p.writeJSON(cmd, o)
			}
			w := cmd.OutOrStdout()
			err = pairs(w, "Tenants", amount(o.TotalTenants)+", "+amount(o.ActiveTenants)+" active", "Databases", amount(o.TotalDatabases), "Storage", amount(o.StorageUsage.Total),
				"From", date(o.Period.From), "To", date(o.Period.To), "Requests", amount(o.Requests), "Errors", amount(o.Errors),
				"Received", amount(o.BytesIn), "Sent", amount(o.BytesOut), "Processor", amount(o.CPUUsage.Total), "Memory", amount(o.MemoryUsage.Total))
			if err != nil {
				return err
			}
			most := []tenantAmount{}
			for _, t := range o.TopActiveTenants {
				most = append(most, tenantAmount{t.Slug, t.Usage[analytics.Requests.String()]})
			}
			for _, of := range []struct {
				title string
				rows  []tenantAmount
			}{{"MOST REQUESTS", most}, {"MOST PROCESSOR", amounts(o.CPUUsage)}, {"MOST MEMORY", amounts(o.MemoryUsage)}, {"MOST STORAGE", amounts(o.StorageUsage)}} {
				if len(of.rows) == 0 {
					continue
				}
				fmt.Fprintln(w)
				rows := newTable(w, of.title, "")
				for _, r := range of.rows {
					rows.row(r.slug, amount(r.figure))
				}
				if err := rows.flush(); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// tenantAmount is how much of something a tenant uses.
type tenantAmount struct {
	slug   string
	figure *analytics.Figure
}

func amounts(u analytics.Usage) (out []tenantAmount) {
	for _, t := range u.Tenants {
		out = append(out, tenantAmount{t.Slug, t.Figure})
	}
	return out
}

func (p *program) usageList() *cobra.Command {
	var s span
	var where, sort string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List tenants with what they use, sorted by it",
		Long: `List tenants with what they use, sorted by it: without --from over the last 24 hours, or
what the application has set.`,
		Example: "  tenantctl usage list --sort=-errors --from 7h\n  tenantctl usage list --sort=-storage --where \"plan:pro\" --limit 10",
		Args:    args(cobra.NoArgs),
		RunE: p.onReports(func(cmd *cobra.Command, _ []string) error {
			period, err1 := s.period(time.Now())
			f, err2 := tenantsFilter(where)
			if err := cmp.Or(err1, err2); err != nil {
				return err
			}
			if limit < 1 {
				return usage(fmt.Errorf("--limit %d, want at least 1", limit))
			}
			rows, shown, total := newTable(cmd.OutOrStdout(), "TENANT", "REQUESTS", "ERRORS", "SENT", "CPU", "STORAGE", "SEEN"), 0, int64(0)
			req := &analytics.TenantsRequest{Filter: f, Period: period, Sort: sort, Limit: min(limit, maxUsagePage)}
			for page, err := range p.usagePages(cmd.Context(), req) {
				if err != nil {
					return err
				}
				total = page.Total
				for i := range page.Tenants[:min(len(page.Tenants), limit-shown)] {
					t := &page.Tenants[i]
					shown++
					if !p.json {
						rows.row(append([]string{t.Slug}, usageCells(t.Usage, analytics.FigureStorage)...)...)
					} else if err := p.writeJSON(cmd, t); err != nil {
						return err
					}
				}
				if shown == limit {
					break
				}
			}
			if p.json {
				return nil
			}
			if err := rows.flush(); err != nil || int64(shown) == total {
				return err
			}
			return p.say(cmd, "\n%d of %s", shown, tenants(int(total)))
		}),
	}
	s.flags(cmd, timeForm)
	cmd.Flags().StringVar(&where, "where", "", usageWhere)
	cmd.Flags().StringVar(&sort, "sort", "-requests", "figure or field to sort by, with a hyphen in front for the largest first")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most this many")
	return cmd
}

// maxUsagePage is how many tenants are read at a time.
const maxUsagePage = 500

// usagePages yields pages of tenants with their usage.
func (p *program) usagePages(ctx context.Context, req *analytics.TenantsRequest) func(func(*analytics.TenantsPage, error) bool) {
	return func(yield func(*analytics.TenantsPage, error) bool) {
		for {
			page, err := p.app.Reports.Tenants(ctx, tenancy.AllTenants(), req)
			if !yield(page, err) || err != nil || page.Next == "" {
				return
			}
			req.After, req.Period = page.Next, page.Period
		}
	}
}

// usageCells are the columns of figures in tables.
func usageCells(figures map[string]*analytics.Figure, storage string) (out []string) {
	for _, name := range []string{analytics.Requests.String(), analytics.FigureErrors, analytics.BytesOut.String(), analytics.CPUTime.String(), storage, analytics.LastSeen.String()} {
		out = append(out, amount(figures[name]))
	}
	return out
}

func (p *program) usageShow() *cobra.Command {
	var s span
	cmd := &cobra.Command{
		Use: "show <tenant>", Short: "Show all figures of a tenant, and how each was obtained",
		Example: "  tenantctl usage show acme --from 7h",
		Args:    args(cobra.ExactArgs(1)),
		RunE: p.onReports(func(cmd *cobra.Command, args []string) error {
			period, err := s.period(time.Now())
			if err != nil {
				return err
			}
			t, err := p.find(cmd, args[0])
			if err != nil {
				return err
			}
			report, err := p.app.Reports.Tenant(cmd.Context(), tenancy.AllTenants(), t.ID, period)
			if err != nil {
				return err
			}
			if p.json {
				return p.writeJSON(cmd, report)
			}
			w := cmd.OutOrStdout()
			if err := pairs(w, "Tenant", t.Slug, "Plan", t.Plan, "Limits", limits(t.Limits), "From", date(report.Period.From), "To", date(report.Period.To)); err != nil {
				return err
			}
			fmt.Fprintln(w)
			rows := newTable(w, "FIGURE", "VALUE", "HOW")
			for _, figures := range []map[string]*analytics.Figure{report.Usage, report.Own} {
				for _, name := range slices.Sorted(maps.Keys(figures)) {
					if f := figures[name]; f != nil {
						rows.row(name, amount(f), obtained(f))
					}
				}
			}
			return rows.flush()
		}),
	}
	s.flags(cmd, timeForm)
	return cmd
}

// obtained says how a figure was obtained.
func obtained(f *analytics.Figure) string {
	text := string(f.Method)
	if f.Error > 0 {
		text += fmt.Sprintf(", ±%.0f %%", f.Error*100)
	}
	if f.Partial {
		text += ", a part is missing"
	}
	return text
}

func (p *program) usageMonths() *cobra.Command {
	var s span
	var where string
	cmd := &cobra.Command{
		Use: "months", Short: "List what tenants used in calendar months",
		Example: "  tenantctl usage months --from 2027-01 --to 2027-03 --where \"plan:pro\"",
		Args:    args(cobra.NoArgs),
		RunE: p.onReports(func(cmd *cobra.Command, _ []string) error {
			from, to, err1 := s.months()
			f, err2 := tenantsFilter(where)
			if err := cmp.Or(err1, err2); err != nil {
				return err
			}
			req := &analytics.MonthsRequest{Filter: f, From: from, To: to}
			if p.json {
				return p.app.Reports.ExportMonths(cmd.Context(), tenancy.AllTenants(), cmd.OutOrStdout(), analytics.FormatJSONLines, req)
			}
			rows := newTable(cmd.OutOrStdout(), "MONTH", "TENANT", "REQUESTS", "ERRORS", "SENT", "CPU", "STORAGE", "SEEN")
			for {
				page, err := p.app.Reports.Months(cmd.Context(), tenancy.AllTenants(), req)
				if err != nil {
					return err
				}
				for i := range page.Tenants {
					t := &page.Tenants[i]
					for _, m := range page.Months {
						rows.row(append([]string{m.Name, t.Slug}, usageCells(t.Usage[m.Name], analytics.FigureStorageMax)...)...)
					}
				}
				if page.Next == "" {
					return rows.flush()
				}
				req.After = page.Next
			}
		}),
	}
	s.flags(cmd, "a month such as 2027-01 (default: the present month)")
	cmd.Flags().StringVar(&where, "where", "", usageWhere)
	return cmd
}

func (p *program) usageExport() *cobra.Command {
	var s span
	var where, of, format string
	cmd := &cobra.Command{
		Use: "export [file]", Short: "Write what tenants use as CSV or JSON lines",
		Long: `Write what tenants use as CSV or JSON lines: a row for each tenant, or for each tenant and
hour, day or calendar month. Without a file they go to the standard output. A file that is
there already is not replaced.`,
		Example: "  tenantctl usage export usage-2027-01.csv --of months --from 2027-01 --to 2027-01",
		Args:    args(cobra.MaximumNArgs(1)),
		RunE: p.onReports(func(cmd *cobra.Command, args []string) error {
			if p.json && !cmd.Flags().Changed("format") {
				format = string(analytics.FormatJSONLines)
			}
			write, err := p.usageWriter(cmd.Context(), of, where, &s, analytics.Format(format))
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return write(cmd.OutOrStdout())
			}
			if err := newFile(args[0], write); err != nil {
				return err
			}
			return p.say(cmd, "Wrote %s.", args[0])
		}),
	}
	s.flags(cmd, timeForm+", or with --of months a month such as 2027-01")
	cmd.Flags().StringVar(&where, "where", "", usageWhere)
	cmd.Flags().StringVar(&of, "of", "tenants", "what the rows are: "+strings.Join(usageRows, ", "))
	cmd.Flags().StringVar(&format, "format", string(analytics.FormatCSV), "csv or jsonl")
	_ = cmd.RegisterFlagCompletionFunc("of", cobra.FixedCompletions(usageRows, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"csv", "jsonl"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// usageRows are what the rows of an export may be.
var usageRows = []string{"tenants", "hours", "days", "months"}

// usageWriter returns what writes an export.
func (p *program) usageWriter(ctx context.Context, of, where string, s *span, format analytics.Format) (func(io.Writer) error, error) {
	f, err := tenantsFilter(where)
	if err != nil {
		return nil, err
	}
	if format != analytics.FormatCSV && format != analytics.FormatJSONLines {
		return nil, usage(fmt.Errorf("--format %q, want csv or jsonl", string(format)))
	}
	all, r := tenancy.AllTenants(), p.app.Reports
	if of == "months" {
		from, to, err := s.months()
		return func(w io.Writer) error {
			return r.ExportMonths(ctx, all, w, format, &analytics.MonthsRequest{Filter: f, From: from, To: to})
		}, err
	}
	period, err := s.period(time.Now())
	if err != nil {
		return nil, err
	}
	step := map[string]time.Duration{"hours": time.Hour, "days": 24 * time.Hour}[of]
	switch {
	case of == "tenants":
		return func(w io.Writer) error {
			return r.ExportTenants(ctx, all, w, format, &analytics.TenantsRequest{Filter: f, Period: period})
		}, nil
	case step == 0:
		return nil, usage(errors.New("--of " + strconv.Quote(of) + ", want one of " + strings.Join(usageRows, ", ")))
	}
	return func(w io.Writer) error {
		return r.ExportUsage(ctx, all, w, format, &analytics.UsageExport{Filter: f, Period: period, Step: step})
	}, nil
}

// amount returns a figure for people, or a hyphen if nobody knows it.
func amount(f *analytics.Figure) string {
	if f == nil {
		return "-"
	}
	switch d := time.Duration(f.Value) * time.Microsecond; {
	case f.Unit == analytics.UnitMicroseconds && d >= 10*time.Second:
		return lasting(d)
	case f.Unit == analytics.UnitTime:
		return minute(time.UnixMicro(int64(f.Value)))
	}
	return analytics.Figure{Value: f.Value, Unit: f.Unit}.String()
}
