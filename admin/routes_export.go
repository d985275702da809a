package admin

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
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
		{method: "GET", pattern: "analytics/tenants/export", permission: auth.AnalyticsExport, reach: within, action: "analytics.export", part: partReports, handle: a.exportTenants},
		{method: "GET", pattern: "analytics/usage/export", permission: auth.AnalyticsExport, reach: within, action: "analytics.export", part: partReports, handle: a.exportUsage},
		{method: "GET", pattern: "audit/export", permission: auth.AuditExport, reach: within, action: "audit.export", part: partAudit, handle: a.exportAudit},
		{method: "GET", pattern: "audit/checkpoints", permission: auth.AuditVerify, reach: allOf, part: partAudit, handle: a.checkpoints},
	}
}

// exportTenants writes all tenants of the report, in its order.
func (a *Admin) exportTenants(c *call) error {
	if err := c.onlyQuery("filter", "sort", "window", "from", "to", "format"); err != nil {
		return err
	}
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
	if err := c.onlyQuery("filter", "window", "from", "to", "step", "format"); err != nil {
		return err
	}
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
	if err := c.onlyQuery("action", "actor", "tenant", "result", "from", "before", "format"); err != nil {
		return err
	}
	f, _, err1 := c.auditFilter()
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

// checkpoints lists the signed statements of what the audit was, with the Ed25519 keys that sign them.
func (a *Admin) checkpoints(c *call) error {
	found, err := a.opts.Audit.Checkpoints(c.ctx())
	if err != nil {
		return err
	}
	if found == nil {
		found = []audit.Checkpoint{}
	}
	keys := []string{}
	for _, key := range a.opts.Audit.PublicKeys() {
		keys = append(keys, base64.StdEncoding.EncodeToString(key))
	}
	return c.reply(http.StatusOK, map[string]any{"checkpoints": found, "public_keys": keys})
}
