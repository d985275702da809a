package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
)

// show prints an overview, the tenants of a scope, one tenant, and what happens now.
func show(ctx context.Context, out io.Writer, reports *analytics.Reports) error {
	all := tenancy.AllTenants()
	o, err := reports.Overview(ctx, all)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "Overview of all tenants")
	for _, f := range []struct {
		name   string
		figure *analytics.Figure
	}{
		{"total_tenants", o.TotalTenants}, {"active_tenants", o.ActiveTenants}, {"requests", o.Requests}, {"errors", o.Errors}, {"bytes_out", o.BytesOut},
		{"cpu_usage", o.CPUUsage.Total}, {"memory_usage", o.MemoryUsage.Total}, {"storage_usage", o.StorageUsage.Total},
	} {
		figure(out, f.name, f.figure)
	}
	filter, err := tenancy.ParseFilter("tag:eu requests:>0", analytics.Fields()...)
	if err != nil {
		return err
	}
	page, err := reports.Tenants(ctx, all, &analytics.TenantsRequest{Filter: filter, Sort: "-requests", Spark: []analytics.Column{analytics.Requests}})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nTenants (%d) with the tag eu, the busiest first\n", page.Total)
	for _, t := range page.Tenants {
		fmt.Fprintf(out, "  %s, by %v: %v\n", t.Slug, page.SparkStep, t.Spark["requests"])
		for _, name := range []string{"requests", analytics.FigureErrors, "slow"} {
			figure(out, name, t.Usage[name])
		}
	}
	t, err := reports.Tenant(ctx, tenancy.ByTags("eu"), page.Tenants[0].ID, analytics.Period{})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nTenant %s, of the plan %s\n", t.Slug, t.Plan)
	for _, name := range slices.Sorted(maps.Keys(t.Usage)) {
		figure(out, name, t.Usage[name])
	}
	figure(out, "emails", t.Own["emails"])
	for _, a := range t.Activities[:min(2, len(t.Activities))] {
		fmt.Fprintf(out, "  %s: %s\n", a.Type, a.Description)
	}
	if err := showMore(ctx, out, reports, t); err != nil {
		return err
	}
	live, err := reports.Live(ctx, all, 0)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\nNow")
	for _, name := range slices.Sorted(maps.Keys(live.Total)) {
		figure(out, name, live.Total[name])
	}
	return nil
}

// figure prints a figure with its method.
func figure(out io.Writer, name string, f *analytics.Figure) {
	if f == nil {
		fmt.Fprintf(out, "    %-16s not measured\n", name)
		return
	}
	partial := ""
	if f.Partial {
		partial = ", partial"
	}
	fmt.Fprintf(out, "    %-16s %12.0f %-10s %s ±%.0f%%%s\n", name, f.Value, f.Unit, f.Method, 100*f.Error, partial)
}
