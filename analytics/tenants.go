package analytics

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
)

// TenantsRequest asks for a page of tenants with their usage.
type TenantsRequest struct {
	// Filter selects tenants. Its terms may be on the fields of [Fields]; its scope,
	// order, cursor and limit are not looked at.
	Filter tenancy.Filter
	// Period is that of the usage. Default: the last [ReportsOptions.Span].
	Period Period
	// Sort is id, slug, name, status, plan, server, created or one of [Fields], with a
	// hyphen in front for descending order. Default: id.
	Sort string
	// Spark are the columns of which each tenant has a short series.
	Spark []Column
	// After continues a listing: the Next of the page before.
	After tenancy.Cursor
	// Limit is how many tenants a page has: at most 500. Default: 50.
	Limit int
}

const (
	maxPage   = 500
	maxSpark  = 4
	sparkSize = 24
)

// TenantsPage is a page of tenants with their usage.
type TenantsPage struct {
	Period Period `json:"period"`
	// Total is how many tenants the filter selects; Facets say of which status, plan and
	// server they are.
	Total   int64         `json:"total"`
	Facets  Facets        `json:"facets"`
	Tenants []TenantEntry `json:"tenants"`
	// Next continues the listing. It is empty on the last page.
	Next tenancy.Cursor `json:"next,omitempty"`
	// SparkStep is the length of each point of a short series.
	SparkStep time.Duration `json:"spark_step_ns,omitempty"`
}

// Facets count tenants by their fields.
type Facets struct {
	Status map[tenancy.Status]int64 `json:"status"`
	Plan   map[string]int64         `json:"plan"`
	Server map[string]int64         `json:"server"`
}

// TenantEntry is a tenant of a page.
type TenantEntry struct {
	TenantUsage
	// Reaches says which of the tenant's limits is reached first, and between which days, as
	// was forecast last. It is nil if nobody looked.
	Reaches *LimitForecast `json:"reaches,omitempty"`
	// Spark has at most 24 points for each column that was asked for, the newest last.
	Spark map[string][]float64 `json:"spark,omitempty"`
}

// Tenants returns a page of the tenants of the scope.
func (r *Reports) Tenants(ctx context.Context, scope tenancy.Scope, req *TenantsRequest) (*TenantsPage, error) {
	page, err := shared(ctx, r, "tenants", scope, req, r.tenants)
	return page, tenancy.Wrap("analytics.Reports.Tenants", "", err)
}

func (r *Reports) tenants(ctx context.Context, scope tenancy.Scope, req *TenantsRequest) (*TenantsPage, error) {
	if req == nil {
		req = &TenantsRequest{}
	}
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	q, err := r.tenantsQuery(scope, req, state)
	if err != nil {
		return nil, err
	}
	ready := state.spanned(SumQuery{Period: q.Period})
	q.Period, q.Span = ready.Period, ready.Span
	fleet, err := r.source.Fleet(ctx, q)
	if err != nil {
		return nil, err
	}
	page, err := r.pageOf(ctx, scope, req, state, q)
	if err != nil {
		return nil, err
	}
	page.Total, page.Facets = fleet.Tenants, Facets{fleet.ByStatus, fleet.ByPlan, fleet.ByServer}
	return page, nil
}

// pageOf returns the page of tenants that the query asks for, without their number.
func (r *Reports) pageOf(ctx context.Context, scope tenancy.Scope, req *TenantsRequest, state *State, query *TenantsQuery) (*TenantsPage, error) {
	q := *query
	q.Limit++ // to know whether there is a next page
	rows, err := r.source.Tenants(ctx, &q)
	if err != nil {
		return nil, err
	}
	page := &TenantsPage{Period: q.Period, Tenants: []TenantEntry{}}
	if len(rows) == q.Limit {
		rows = rows[:q.Limit-1]
		last := &rows[len(rows)-1]
		page.Next = tenancy.NewCursor(cursorOf(scope, req), last.Key, string(last.ID))
	}
	if rows, err = inScope(ctx, r, scope, rows, (*TenantRow).tenant); err != nil {
		return nil, err
	}
	return page, r.fill(ctx, scope, req, state, page, rows, q.Span)
}

// fill adds the usage of the rows to the page, in one query, and the short series in
// another.
func (r *Reports) fill(ctx context.Context, scope tenancy.Scope, req *TenantsRequest, state *State, page *TenantsPage, rows []TenantRow, span time.Duration) error {
	if len(rows) == 0 {
		return nil
	}
	ids := make([]tenancy.ID, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	sums, err := r.source.Sum(ctx, &SumQuery{Scope: scope, Tenants: ids, Period: page.Period, ByTenant: true, Span: span})
	if err != nil {
		return err
	}
	counts := map[tenancy.ID]*Counts{}
	for i := range sums {
		counts[sums[i].Tenant] = &sums[i].Counts
	}
	sparks, err := r.sparks(ctx, scope, req.Spark, ids, page, state.Now)
	if err != nil {
		return err
	}
	f := newFigures(state).over(page.Period)
	for i := range rows {
		c := counts[rows[i].ID]
		if c == nil {
			c = &Counts{}
		}
		usage := f.usage(c)
		if fig := storage(rows[i].Storage, rows[i].SizedAt); fig != nil {
			usage[FigureStorage] = fig
		}
		page.Tenants = append(page.Tenants, TenantEntry{TenantUsage{rows[i].TenantInfo, usage}, rows[i].Reaches, sparks[rows[i].ID]})
	}
	return nil
}

// sparks returns the short series of the tenants.
func (r *Reports) sparks(ctx context.Context, scope tenancy.Scope, columns []Column, ids []tenancy.ID, page *TenantsPage, now time.Time) (map[tenancy.ID]map[string][]float64, error) {
	if len(columns) == 0 {
		return nil, nil
	}
	page.SparkStep = max(stepOf(page.Period, sparkSize), fineOf(now.Sub(page.Period.From)))
	first := ceil(page.Period.From, page.SparkStep)
	if last := page.Period.To.Add(-1).Truncate(page.SparkStep); first.After(last) {
		first = last
	}
	rows, err := r.source.Sum(ctx, &SumQuery{Scope: scope, Tenants: ids, Period: Period{first, page.Period.To}, Step: page.SparkStep, ByTenant: true})
	if err != nil {
		return nil, err
	}
	points := int(ceil(page.Period.To, page.SparkStep).Sub(first) / page.SparkStep)
	out := map[tenancy.ID]map[string][]float64{}
	for _, id := range ids {
		out[id] = map[string][]float64{}
		for _, c := range columns {
			out[id][c.String()] = make([]float64, points)
		}
	}
	for _, row := range rows {
		if i := int(row.Start.Sub(first) / page.SparkStep); i >= 0 && i < points {
			for _, c := range columns {
				out[row.Tenant][c.String()][i] = float64(row.Counts.Get(c))
			}
		}
	}
	return out, nil
}

// stepOf returns the shortest of some handy steps of which the period has at most that
// many, whole ones.
func stepOf(p Period, most int) time.Duration {
	length := p.To.Sub(p.From)
	for _, step := range []time.Duration{
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	} {
		if length/step < time.Duration(most) || length == step*time.Duration(most) {
			return step
		}
	}
	return max(ceilDays(length, most), day)
}

// ceilDays returns the whole days of which that many are at least as long.
func ceilDays(length time.Duration, most int) time.Duration {
	days := length / (day * time.Duration(most))
	if days*day*time.Duration(most) < length {
		days++
	}
	return days * day
}

// tenantsQuery completes and checks a request.
func (r *Reports) tenantsQuery(scope tenancy.Scope, req *TenantsRequest, state *State) (*TenantsQuery, error) {
	if req == nil {
		req = &TenantsRequest{}
	}
	p, err := r.check(req.Period, state)
	if err != nil {
		return nil, err
	}
	filter := req.Filter
	filter.Scope, filter.Sort, filter.After, filter.Limit = nil, "", "", 0
	if err := filter.Validate(); err != nil {
		return nil, err
	}
	limit := cmp.Or(req.Limit, 50)
	if limit < 0 || limit > maxPage || len(req.Spark) > maxSpark {
		return nil, fmt.Errorf("%w: page of %d tenants with %d series, want 1 to %d with %d", tenancy.ErrInvalid, limit, len(req.Spark), maxPage, maxSpark)
	}
	for _, c := range req.Spark {
		if c >= numColumns {
			return nil, fmt.Errorf("%w: series of %v", tenancy.ErrInvalid, c)
		}
	}
	sort, descending := strings.CutPrefix(req.Sort, "-")
	if _, err := parseField(sort); err != nil {
		return nil, err
	}
	q := &TenantsQuery{Scope: scope, Filter: filter, Period: p, Sort: sort, Descending: descending, Limit: limit}
	return q, q.behind(req.After, cursorOf(scope, req))
}

// behind makes the query continue behind the cursor of that listing, unless it is empty.
func (q *TenantsQuery) behind(after tenancy.Cursor, listing string) error {
	if after == "" {
		return nil
	}
	values, err := after.Values(listing, 2)
	if err != nil {
		return err
	}
	q.After = &TenantsPosition{Key: values[0], ID: tenancy.ID(values[1])}
	if err := q.After.ID.Validate(); err != nil {
		return err
	}
	if strings.ContainsRune(q.After.Key, 0) {
		return fmt.Errorf("%w: cursor with a NUL", tenancy.ErrInvalid)
	}
	return nil
}

// cursorOf is what cursors belong to: another filter, order or scope has others.
func cursorOf(scope tenancy.Scope, req *TenantsRequest) string {
	filter := req.Filter
	filter.Scope, filter.Sort, filter.After, filter.Limit = nil, "", "", 0
	return strings.Join([]string{"usage", filter.String(), scope.String(), req.Sort}, "\n")
}

// Within returns a selector of tenants of the scope, whose filters may have terms on the
// fields of [Fields]: those of usage without an end of their own are of the last
// [ReportsOptions.Span].
func (r *Reports) Within(scope tenancy.Scope) tenancy.Selector { return &selector{r, scope} }

type selector struct {
	reports *Reports
	scope   tenancy.Scope
}

// Select implements [tenancy.Selector], in ascending order of ID.
func (s *selector) Select(ctx context.Context, f tenancy.Filter) iter.Seq2[tenancy.ID, error] {
	return func(yield func(tenancy.ID, error) bool) {
		err := s.each(ctx, f, func(id tenancy.ID) bool { return yield(id, nil) })
		if err != nil {
			yield("", tenancy.Wrap("analytics.Reports.Within", "", err))
		}
	}
}

func (s *selector) each(ctx context.Context, f tenancy.Filter, fn func(tenancy.ID) bool) error {
	if field, descending := f.Sort.Field(); field != tenancy.SortID || descending || f.After != "" {
		return fmt.Errorf("%w: tenants are selected by usage in ascending order of ID, from the first on", tenancy.ErrInvalid)
	}
	state, err := s.reports.source.State(ctx)
	if err != nil {
		return err
	}
	own := f.Scope
	left := f.Limit
	q, err := s.reports.tenantsQuery(s.scope, &TenantsRequest{Filter: f, Limit: maxPage}, state)
	if err != nil {
		return err
	}
	for {
		rows, err := s.reports.source.Tenants(ctx, q)
		if err != nil {
			return err
		}
		present, err := inScope(ctx, s.reports, s.scope, rows, (*TenantRow).tenant)
		if err == nil && own != nil {
			present, err = inScope(ctx, s.reports, *own, present, (*TenantRow).tenant)
		}
		if err != nil {
			return err
		}
		for i := range present {
			if own != nil && !own.Includes(&tenancy.Tenant{ID: present[i].ID, Tags: present[i].Tags}) {
				continue
			}
			if !fn(present[i].ID) {
				return nil
			}
			if left--; left == 0 {
				return nil
			}
		}
		if len(rows) < q.Limit {
			return nil
		}
		last := &rows[len(rows)-1]
		q.After = &TenantsPosition{Key: last.Key, ID: last.ID}
	}
}
