package admin

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/internal/csvtext"
)

// exportRoutes are the rows whose answers are files.
func (a *Admin) exportRoutes() []route {
	return []route{
		{method: "GET", pattern: "analytics/tenants/export", permission: auth.AnalyticsExport, reach: within, query: "filter sort window from to format", action: "analytics.export", part: partReports, handle: a.exportTenants},
		{method: "GET", pattern: "analytics/usage/export", permission: auth.AnalyticsExport, reach: within, query: "filter window from to step format", action: "analytics.export", part: partReports, handle: a.exportUsage},
		{method: "GET", pattern: "audit/export", permission: auth.AuditExport, reach: within, query: "action actor tenant result text from before format", action: "audit.export", part: partAudit, handle: a.exportAudit},
	}
}

// exportTenants writes all tenants of the report, in its order.
func (a *Admin) exportTenants(c *call) error {
	q := c.r.URL.Query()
	p, err1 := c.period()
	f, err2 := c.filter(q.Get("filter"), "?filter", analytics.Fields()...)
	format, as, err3 := c.exportAs("tenants")
	if err := cmp.Or(err1, err2, err3); err != nil {
		return err
	}
	req := &analytics.TenantsRequest{Filter: f, Period: p, Sort: q.Get("sort")}
	return a.export(c, as, func(ctx context.Context, w *exportWriter) error {
		return a.opts.Reports.ExportTenants(ctx, c.id.Scope, w, format, req)
	})
}

// exportUsage writes exact counts: a row for each tenant and step.
func (a *Admin) exportUsage(c *call) error {
	q := c.r.URL.Query()
	p, err1 := c.period()
	f, err2 := c.filter(q.Get("filter"), "?filter", analytics.Fields()...)
	format, as, err3 := c.exportAs("usage")
	if err := cmp.Or(err1, err2, err3); err != nil {
		return err
	}
	req := &analytics.UsageExport{Filter: f, Period: p}
	if step := q.Get("step"); step != "" {
		var ok bool
		if req.Step, ok = map[string]time.Duration{"hour": time.Hour, "day": 24 * time.Hour}[step]; !ok {
			return fmt.Errorf("%w: step %.40q, want hour or day", tenancy.ErrInvalid, step)
		}
	}
	return a.export(c, as, func(ctx context.Context, w *exportWriter) error {
		return a.opts.Reports.ExportUsage(ctx, c.id.Scope, w, format, req)
	})
}

// exportAudit writes the entries that the filter selects, without what may be secret. The form by which they are verified is exportChain's.
func (a *Admin) exportAudit(c *call) error {
	f, err1 := c.auditFilter()
	format, as, err2 := c.exportAs("audit")
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	return a.export(c, as, func(ctx context.Context, w *exportWriter) error { return a.writeEntries(ctx, c, w, format, f) })
}

// writeEntries writes entries as the list shows them, the newest first.
func (a *Admin) writeEntries(ctx context.Context, c *call, w *exportWriter, format analytics.Format, f audit.Filter) error {
	lines, rows := json.NewEncoder(w), csv.NewWriter(w)
	rows.UseCRLF = true // RFC 4180, section 2
	begun, names := false, map[string]string{}
	begin := func() error {
		if begun || format != analytics.FormatCSV {
			return nil
		}
		begun = true
		return rows.Write([]string{"id", "time", "actor_kind", "actor_id", "actor_name", "address", "action", "tenant", "object", "result", "problem", "count", "request_id", "reason", "changes"})
	}
	for e, err := range a.opts.Audit.Entries(ctx, f) {
		if err != nil { // a bad filter comes before anything is written
			return err
		}
		if err := begin(); err != nil {
			return err
		}
		shown := a.entryOf(c, &e, names)
		if format == analytics.FormatJSONLines {
			err = lines.Encode(shown)
		} else {
			err = rows.Write(entryFields(&shown))
		}
		if err != nil {
			return err
		}
	}
	if err := begin(); err != nil {
		return err
	}
	rows.Flush()
	return rows.Error()
}

// entryFields are the fields of an entry in CSV.
func entryFields(e *entry) []string {
	changes := ""
	if len(e.Changes) > 0 {
		if text, err := json.Marshal(e.Changes); err == nil { // texts, and JSON that the audit has checked
			changes = string(text)
		}
	}
	fields := []string{
		e.ID, e.Time.UTC().Format(time.RFC3339Nano), string(e.Actor.Kind), e.Actor.ID, e.Actor.Name, e.Actor.Address, e.Action, string(e.Tenant), e.Object,
		string(e.Result), e.Problem, strconv.FormatInt(e.Count, 10), e.RequestID, e.Reason, changes,
	}
	for i, f := range fields {
		fields[i] = csvtext.Harmless(f)
	}
	return fields
}
