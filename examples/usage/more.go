package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
)

// showMore prints the reports that explain what the overview shows.
func showMore(ctx context.Context, out io.Writer, reports *analytics.Reports, t *analytics.TenantReport) error {
	for _, part := range []func(context.Context, io.Writer, *analytics.Reports, *analytics.TenantReport) error{
		statements, patterns, months, memory, neighbours,
	} {
		if err := part(ctx, out, reports, t); err != nil {
			return err
		}
	}
	return nil
}

// statements prints the slowest statements of the tenant, which have no literals.
func statements(_ context.Context, out io.Writer, _ *analytics.Reports, t *analytics.TenantReport) error {
	fmt.Fprintf(out, "\nSlowest statements of %s\n", t.Slug)
	for _, s := range t.Statements {
		fmt.Fprintf(out, "  %s\n", s.Text)
		figure(out, "calls", s.Calls)
		figure(out, "longest", s.Longest)
		figure(out, "time", s.Time)
	}
	return nil
}

// patterns prints the routes that were asked for most.
func patterns(ctx context.Context, out io.Writer, reports *analytics.Reports, t *analytics.TenantReport) error {
	report, err := reports.Patterns(ctx, tenancy.AllTenants(), &analytics.PatternsRequest{Tenant: t.ID})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nRoutes of %s\n", t.Slug)
	for _, p := range report.Patterns {
		fmt.Fprintf(out, "  %s\n", p.Pattern)
		figure(out, "requests", p.Usage["requests"])
		figure(out, analytics.FigureP95, p.Usage[analytics.FigureP95])
	}
	return nil
}

// months prints what tenants used in this month, as for a bill.
func months(ctx context.Context, out io.Writer, reports *analytics.Reports, _ *analytics.TenantReport) error {
	report, err := reports.Months(ctx, tenancy.AllTenants(), nil)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\nMonths")
	for _, t := range report.Tenants {
		for _, month := range slices.Sorted(maps.Keys(t.Usage)) {
			fmt.Fprintf(out, "  %s in %s\n", t.Slug, month)
			figure(out, "requests", t.Usage[month]["requests"])
			figure(out, "bytes_out", t.Usage[month]["bytes_out"])
		}
	}
	return nil
}

// memory prints what is known about the memory of the process.
func memory(ctx context.Context, out io.Writer, reports *analytics.Reports, _ *analytics.TenantReport) error {
	report, err := reports.Memory(ctx, tenancy.AllTenants())
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\nMemory")
	figure(out, "of tenants", report.Tenants.Total)
	for _, i := range report.Instances {
		fmt.Fprintf(out, "  instance %s\n", i.Name)
		figure(out, "rss", i.RSS)
		figure(out, "heap", i.Heap)
		for _, kind := range slices.Sorted(maps.Keys(i.Kinds)) {
			figure(out, kind, i.Kinds[kind])
		}
	}
	return nil
}

// neighbours prints who took most of what tenants share while others became slow.
func neighbours(ctx context.Context, out io.Writer, reports *analytics.Reports, _ *analytics.TenantReport) error {
	const clock = "15:04"
	n, err := reports.Neighbours(ctx, tenancy.AllTenants(), time.Time{})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nNeighbours, %s to %s: %d noisy\n  %s\n", n.Period.From.Format(clock), n.Period.To.Format(clock), len(n.Noisy), n.Note)
	for _, t := range n.Noisy {
		fmt.Fprintf(out, "  %s took %.0f%% of %s of %s; %d became slow\n", t.Slug, 100*t.Share, t.Resource, t.On, t.SlowedTotal)
		figure(out, string(t.Resource), t.Used)
	}
	return nil
}
