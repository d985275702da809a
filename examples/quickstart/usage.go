package main

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/catalog"
)

// usage is what tenants use, and the reports of it.
type usage struct {
	rec     *analytics.Recorder
	reports *analytics.Reports
}

// newUsage keeps usage in the catalog's database.
func newUsage(ctx context.Context, db *sqlx.DB, cat *catalog.Catalog) (*usage, error) {
	store, err := analytics.NewSQL(db, nil)
	if err != nil {
		return nil, err
	}
	if err := store.Migrate(ctx); err != nil {
		return nil, err
	}
	rec, err := analytics.NewRecorder(store, nil)
	if err != nil {
		return nil, err
	}
	cat.Watch(func(ctx context.Context, c catalog.Change) { rec.Changed(ctx, c.Before, c.After, c.Err) })
	reports, err := analytics.NewReports(store, &analytics.ReportsOptions{Catalog: cat})
	return &usage{rec, reports}, err
}

// print prints what each tenant used in the last 24 hours.
func (u *usage) print(ctx context.Context) error {
	all := tenancy.AllTenants()
	o, err := u.reports.Overview(ctx, all)
	if err != nil {
		return err
	}
	fmt.Printf("\nRequests in the last 24 hours: %v. A refusal for maintenance is an error, too.\n", o.Requests)
	for _, t := range o.TopActiveTenants {
		report, err := u.reports.Tenant(ctx, all, t.ID, o.Period)
		if err != nil {
			return err
		}
		separator := ":"
		fmt.Print("  ", t.Slug)
		for _, name := range []string{"requests", "status_2xx", "status_4xx", "errors", "limited", "maintenance", "bytes_in", "bytes_out", "statements", analytics.FigureP95} {
			if f := report.Usage[name]; f != nil {
				fmt.Printf("%s %s %v", separator, name, f)
				separator = ","
			}
		}
		fmt.Println()
	}
	return nil
}
