package analytics

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/csvtext"
)

// Format is how an export is written.
type Format string

// The formats.
const (
	// FormatCSV is that of RFC 4180, with a header. Text that a spreadsheet would take for
	// a formula has an apostrophe in front; numbers stay numbers. A figure that is absent is
	// empty.
	FormatCSV Format = "csv"
	// FormatJSONLines is a JSON object in each line, as reports have them.
	FormatJSONLines Format = "jsonl"
)

// lines writes rows in a format.
type lines struct {
	csv  *csv.Writer
	json *json.Encoder
}

func newLines(w io.Writer, format Format, header []string) (*lines, error) {
	switch format {
	case FormatCSV:
		l := &lines{csv: csv.NewWriter(w)}
		l.csv.UseCRLF = true // RFC 4180, section 2
		return l, l.csv.Write(header)
	case FormatJSONLines:
		return &lines{json: json.NewEncoder(w)}, nil
	}
	return nil, fmt.Errorf("%w: format %.40q, want csv or jsonl", tenancy.ErrInvalid, string(format))
}

// write writes one row: the fields in CSV, the value in JSON.
func (l *lines) write(fields []string, value any) error {
	if l.csv != nil {
		return l.csv.Write(fields)
	}
	return l.json.Encode(value)
}

// flush ends what was written so far.
func (l *lines) flush() error {
	if l.csv == nil {
		return nil
	}
	l.csv.Flush()
	return l.csv.Error()
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// infoFields are the fields of a tenant in CSV.
func infoFields(t *TenantInfo) []string {
	return []string{
		string(t.ID), csvtext.Harmless(t.Slug), csvtext.Harmless(t.Name), string(t.Status), csvtext.Harmless(t.Plan), csvtext.Harmless(t.Server), csvtext.Harmless(strings.Join(t.Tags, " ")),
		t.CreatedAt.UTC().Format(time.RFC3339),
	}
}

func infoHeader() []string {
	return []string{"id", "slug", "name", "status", "plan", "server", "tags", "created_at"}
}

// ExportTenants writes all tenants that the request selects, in its order, in constant
// memory: its cursor says where to begin, and its limit is the size of the pages that are
// read. Counts are exact, of the same period for each tenant, however many there are: an export
// reads no sums that are kept ready. What is counted for that period meanwhile may be in
// the rows that come later.
func (r *Reports) ExportTenants(ctx context.Context, scope tenancy.Scope, w io.Writer, format Format, req *TenantsRequest) error {
	return tenancy.Wrap("analytics.Reports.ExportTenants", "", r.exportTenants(ctx, scope, w, format, req))
}

func (r *Reports) exportTenants(ctx context.Context, scope tenancy.Scope, w io.Writer, format Format, req *TenantsRequest) error {
	var next TenantsRequest
	if req != nil {
		next = *req
	}
	if next.Limit == 0 {
		next.Limit = maxPage
	}
	state, err := r.source.State(ctx)
	if err != nil {
		return err
	}
	q, err := r.tenantsQuery(scope, &next, state)
	if err != nil {
		return err
	}
	q.Period, q.Now = state.read(q.Period), state.Now // or each page has another
	figures := append(columnNames(), FigureErrors, FigureStorage)
	page, err := r.pageOf(ctx, scope, &next, state, q) // before the header: a bad request writes nothing
	if err != nil {
		return err
	}
	out, err := newLines(w, format, append(infoHeader(), figures...))
	if err != nil {
		return err
	}
	for {
		for i := range page.Tenants {
			t := &page.Tenants[i]
			fields := infoFields(&t.TenantInfo)
			for _, name := range figures {
				if f := t.Usage[name]; f != nil {
					fields = append(fields, decimal(f.Value))
				} else {
					fields = append(fields, "")
				}
			}
			if err := out.write(fields, t); err != nil {
				return err
			}
		}
		if err := out.flush(); err != nil || page.Next == "" {
			return err
		}
		if err := q.behind(page.Next, cursorOf(scope, &next)); err != nil {
			return err
		}
		if page, err = r.pageOf(ctx, scope, &next, state, q); err != nil {
			return err
		}
	}
}

// UsageRow is a row of an export of usage: exact counts of one tenant in one step.
type UsageRow struct {
	Tenant tenancy.ID       `json:"tenant_id"`
	Start  time.Time        `json:"start"`
	Counts map[string]int64 `json:"counts"`
	Own    map[string]int64 `json:"own,omitempty"`
}

// UsageExport asks for rows of usage.
type UsageExport struct {
	// Filter selects tenants, as in a [TenantsRequest].
	Filter tenancy.Filter
	// Period is of whole steps at its beginning: the first row is of all of the step in which it begins, and the last one
	// of what the period has of its step. Default: the last [ReportsOptions.Span].
	Period Period
	// Step is the length of each row: whole minutes, hours or days; weeks begin on Mondays.
	// Rows of minutes are kept for 49 hours, and those of hours for 100 days: a shorter step
	// than what is kept of the whole period is an error that wraps [tenancy.ErrInvalid].
	// Default: 1 hour, or 1 day of a period that begins earlier than hours are kept.
	Step time.Duration
}

// ExportUsage writes the counts of the tenants that the export selects, in order of ID and
// time, in constant memory. Steps in which a tenant did nothing have no row.
func (r *Reports) ExportUsage(ctx context.Context, scope tenancy.Scope, w io.Writer, format Format, export *UsageExport) error {
	return tenancy.Wrap("analytics.Reports.ExportUsage", "", r.exportUsage(ctx, scope, w, format, export))
}

// usageAtOnce is how many rows of usage are in memory at most.
const usageAtOnce = 20_000

func (r *Reports) exportUsage(ctx context.Context, scope tenancy.Scope, w io.Writer, format Format, export *UsageExport) error {
	var e UsageExport
	if export != nil {
		e = *export
	}
	if e.Step != 0 && e.Step < time.Minute || e.Step%time.Minute != 0 || e.Step > time.Hour && e.Step%time.Hour != 0 || e.Step > day && e.Step%day != 0 {
		return fmt.Errorf("%w: step of %v, want whole minutes, hours or days", tenancy.ErrInvalid, e.Step)
	}
	state, err := r.source.State(ctx)
	if err != nil {
		return err
	}
	q, err := r.tenantsQuery(scope, &TenantsRequest{Filter: e.Filter, Period: e.Period, Limit: 100}, state)
	if err != nil {
		return err
	}
	fine := fineOf(state.Now.Sub(q.Period.From))
	if e.Step == 0 {
		e.Step = max(time.Hour, fine)
	}
	if e.Step < fine {
		return fmt.Errorf("%w: step of %v from %v on, want %v or more: shorter rows are not kept for so long", tenancy.ErrInvalid, e.Step, q.Period.From.Format(time.RFC3339), fine)
	}
	out, err := newLines(w, format, append([]string{"tenant_id", "start"}, columnNames()...))
	if err != nil {
		return err
	}
	for {
		rows, err := r.source.Tenants(ctx, q)
		if err != nil {
			return err
		}
		present, err := inScope(ctx, r, scope, rows, (*TenantRow).tenant)
		if err != nil {
			return err
		}
		for _, t := range present {
			if err := r.exportTenant(ctx, scope, out, t.ID, q.Period, e.Step); err != nil {
				return err
			}
		}
		if err := out.flush(); err != nil || len(rows) < q.Limit {
			return err
		}
		last := &rows[len(rows)-1]
		q.After = &TenantsPosition{Key: last.Key, ID: last.ID}
	}
}

// exportTenant writes the rows of one tenant, some steps at a time.
func (r *Reports) exportTenant(ctx context.Context, scope tenancy.Scope, out *lines, id tenancy.ID, p Period, step time.Duration) error {
	most := min(usageAtOnce, maxPeriod/step+1) * step // of more, a duration of many weeks is too long
	for from := p.From.Truncate(step); from.Before(p.To); from = from.Add(most) {
		to := from.Add(most)
		if p.To.Before(to) {
			to = p.To
		}
		rows, err := r.source.Sum(ctx, &SumQuery{Scope: scope, Tenants: []tenancy.ID{id}, Period: Period{from, to}, Step: step, ByTenant: true, Latency: true})
		if err != nil {
			return err
		}
		slices.SortFunc(rows, func(a, b SumRow) int { return a.Start.Compare(b.Start) })
		for _, row := range rows {
			line := UsageRow{Tenant: id, Start: row.Start, Counts: map[string]int64{}, Own: row.Counts.Own}
			fields := []string{string(id), row.Start.Format(time.RFC3339)}
			for _, c := range Columns() {
				line.Counts[c.String()] = row.Counts.Get(c)
				fields = append(fields, strconv.FormatInt(row.Counts.Get(c), 10))
			}
			if err := out.write(fields, &line); err != nil {
				return err
			}
		}
	}
	return nil
}
