package analytics

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
)

// MonthsRequest asks for the usage of tenants in calendar months, in UTC.
type MonthsRequest struct {
	// Filter selects tenants, as in a [TenantsRequest].
	Filter tenancy.Filter
	// From and To are times in the first and in the last month: at most 25 months, for
	// which days are kept. Default: both are the present month.
	From, To time.Time
	// After continues a listing: the Next of the page before.
	After tenancy.Cursor
	// Limit is how many tenants a page has: at most 500. Default: 50.
	Limit int
}

// MonthsPage is a page of tenants with their usage in months, in ascending order of ID.
type MonthsPage struct {
	// Months are those of the report, the oldest first.
	Months  []Month        `json:"months"`
	Total   int64          `json:"total"`
	Tenants []TenantMonths `json:"tenants"`
	// Next continues the listing. It is empty on the last page.
	Next tenancy.Cursor `json:"next,omitempty"`
}

// Month is a calendar month in UTC.
type Month struct {
	// Name is the month, such as 2026-11.
	Name string `json:"month"`
	Period
	// Complete is set when the month is over and all its days were rolled up. Instances
	// that write late may still add to it.
	Complete bool `json:"complete"`
}

// TenantMonths is what a tenant used in months.
type TenantMonths struct {
	TenantInfo
	// Usage has the figures of each month, by its name. The largest size of the database is
	// [FigureStorageMax].
	Usage map[string]map[string]*Figure `json:"usage"`
	// Own are the application's own counts, in the same way.
	Own map[string]map[string]*Figure `json:"own,omitempty"`
}

// FigureStorageMax is the name of the largest size of a database in a period.
const FigureStorageMax = "storage_max"

// maxMonths is for how many months days are kept.
const maxMonths = int(keepDays / (31 * day))

// Months returns a page of the tenants of the scope with their usage by month.
func (r *Reports) Months(ctx context.Context, scope tenancy.Scope, req *MonthsRequest) (*MonthsPage, error) {
	page, err := shared(ctx, r, "months", scope, req, r.months)
	return page, tenancy.Wrap("analytics.Reports.Months", "", err)
}

func (r *Reports) months(ctx context.Context, scope tenancy.Scope, req *MonthsRequest) (*MonthsPage, error) {
	if req == nil {
		req = &MonthsRequest{}
	}
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	page := &MonthsPage{Tenants: []TenantMonths{}}
	if page.Months, err = monthsOf(req.From, req.To, state); err != nil {
		return nil, err
	}
	listing := &TenantsRequest{Filter: req.Filter, After: req.After, Limit: req.Limit}
	q, err := r.tenantsQuery(scope, listing, state)
	if err != nil {
		return nil, err
	}
	fleet, err := r.source.Fleet(ctx, q)
	if err != nil {
		return nil, err
	}
	page.Total = fleet.Tenants
	q.Limit++
	rows, err := r.source.Tenants(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(rows) == q.Limit {
		rows = rows[:q.Limit-1]
		last := &rows[len(rows)-1]
		page.Next = tenancy.NewCursor(cursorOf(scope, listing), last.Key, string(last.ID))
	}
	if rows, err = inScope(ctx, r, scope, rows, (*TenantRow).tenant); err != nil {
		return nil, err
	}
	for i := range rows {
		page.Tenants = append(page.Tenants, TenantMonths{TenantInfo: rows[i].TenantInfo, Usage: map[string]map[string]*Figure{}})
	}
	for _, m := range page.Months {
		if err := r.fillMonth(ctx, scope, state, m, page.Tenants); err != nil {
			return nil, err
		}
	}
	return page, nil
}

// monthsOf returns the months from that of the one time to that of the other.
func monthsOf(from, to time.Time, state *State) ([]Month, error) {
	if to.IsZero() {
		to = state.Now
	}
	if from.IsZero() {
		from = to
	}
	first, last := monthOf(from), monthOf(to)
	if first.Before(state.Now.Add(-keepDays)) {
		return nil, fmt.Errorf("%w: of the whole month %s nothing is kept any more, but of the last %d days", tenancy.ErrInvalid, first.Format(monthForm), keepDays/(24*time.Hour))
	}
	if last.Before(first) || last.After(state.Now) || first.AddDate(0, maxMonths, 0).Before(last.AddDate(0, 1, 0)) {
		return nil, fmt.Errorf("%w: months from %s to %s, want at most %d that have begun", tenancy.ErrInvalid, first.Format(monthForm), last.Format(monthForm), maxMonths)
	}
	var all []Month
	for at := first; !at.After(last); at = at.AddDate(0, 1, 0) {
		end := at.AddDate(0, 1, 0)
		all = append(all, Month{at.Format(monthForm), Period{at, end}, !end.After(state.Days)})
	}
	return all, nil
}

const monthForm = "2006-01"

// fillMonth adds the figures of a month to the tenants.
func (r *Reports) fillMonth(ctx context.Context, scope tenancy.Scope, state *State, m Month, tenants []TenantMonths) error {
	if len(tenants) == 0 {
		return nil
	}
	ids := make([]tenancy.ID, len(tenants))
	for i := range tenants {
		ids[i] = tenants[i].ID
	}
	rows, err := r.source.Sum(ctx, &SumQuery{Scope: scope, Tenants: ids, Period: m.Period, ByTenant: true, Latency: true})
	if err != nil {
		return err
	}
	sums := map[tenancy.ID]*Counts{}
	for i := range rows {
		sums[rows[i].Tenant] = &rows[i].Counts
	}
	largest, err := r.largestIn(ctx, scope, ids, m.Period)
	if err != nil {
		return err
	}
	f := newFigures(state)
	if m.Complete { // an instance that is missing now does not matter
		f.partial = false
	}
	for i := range tenants {
		t := &tenants[i]
		c := sums[t.ID]
		if c == nil {
			c = &Counts{}
		}
		t.Usage[m.Name] = f.usage(c)
		if s, ok := largest[t.ID]; ok {
			t.Usage[m.Name][FigureStorageMax] = &Figure{Value: float64(s.Bytes), Unit: UnitBytes, Method: Measured, MeasuredAt: s.Day}
		}
		for name, n := range c.Own {
			if t.Own == nil {
				t.Own = map[string]map[string]*Figure{}
			}
			if t.Own[m.Name] == nil {
				t.Own[m.Name] = map[string]*Figure{}
			}
			t.Own[m.Name][name] = f.count(n)
		}
	}
	return nil
}

// MonthRow is a row of an export of months.
type MonthRow struct {
	TenantInfo
	Month string             `json:"month"`
	Usage map[string]*Figure `json:"usage"`
	Own   map[string]*Figure `json:"own,omitempty"`
}

// ExportMonths writes a row for each tenant that the request selects and each month, in
// order of ID and month, in constant memory. Its limit is the size of the pages that are
// read.
func (r *Reports) ExportMonths(ctx context.Context, scope tenancy.Scope, w io.Writer, format Format, req *MonthsRequest) error {
	return tenancy.Wrap("analytics.Reports.ExportMonths", "", r.exportMonths(ctx, scope, w, format, req))
}

func (r *Reports) exportMonths(ctx context.Context, scope tenancy.Scope, w io.Writer, format Format, req *MonthsRequest) error {
	var next MonthsRequest
	if req != nil {
		next = *req
	}
	next.Limit = cmp.Or(next.Limit, 100)
	page, err := r.months(ctx, scope, &next) // before the header: a bad request writes nothing
	if err != nil {
		return err
	}
	next.From, next.To = page.Months[0].From, page.Months[len(page.Months)-1].From // or a page at the end of a month has another
	figures := slices.DeleteFunc(append(columnNames(), FigureErrors, FigureP50, FigureP95, FigureP99, FigureStorageMax), func(name string) bool { return name == LastSeen.String() })
	out, err := newLines(w, format, slices.Concat(infoHeader(), []string{"month"}, figures, []string{"own"}))
	if err != nil {
		return err
	}
	for {
		for i := range page.Tenants {
			t := &page.Tenants[i]
			for _, m := range page.Months {
				row := MonthRow{t.TenantInfo, m.Name, t.Usage[m.Name], t.Own[m.Name]}
				if err := out.write(row.fields(figures), &row); err != nil {
					return err
				}
			}
		}
		if err := out.flush(); err != nil || page.Next == "" {
			return err
		}
		next.After = page.Next
		if page, err = r.months(ctx, scope, &next); err != nil {
			return err
		}
	}
}

// fields are those of the row in CSV. The application's own counts are in one field.
func (row *MonthRow) fields(figures []string) []string {
	fields := append(infoFields(&row.TenantInfo), row.Month)
	for _, name := range figures {
		if f := row.Usage[name]; f != nil {
			fields = append(fields, decimal(f.Value))
		} else {
			fields = append(fields, "")
		}
	}
	var own []string
	for name, f := range row.Own {
		own = append(own, name+"="+strconv.FormatInt(int64(f.Value), 10))
	}
	slices.Sort(own)
	return append(fields, strings.Join(own, " "))
}
