package analytics

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
)

// PatternSource is the optional ability of a [Source] to tell what was counted for the
// patterns of routes.
type PatternSource interface {
	// Patterns returns the sums of each pattern, of all tenants that the query selects
	// together.
	Patterns(ctx context.Context, q *PatternsQuery) ([]PatternRow, error)
}

// PatternsQuery selects patterns.
type PatternsQuery struct {
	Scope tenancy.Scope
	// Tenants, if there are any, are the tenants to choose from.
	Tenants []tenancy.ID
	Period  Period
}

// PatternRow is what was counted for a pattern.
type PatternRow struct {
	Pattern  string
	Requests int64
	Errors   int64
	Latency  Latency
}

// PatternsReport says how the requests of a tenant, or of all tenants of a scope, are
// spread over the patterns of routes.
type PatternsReport struct {
	Period   Period          `json:"period"`
	Patterns []PatternReport `json:"patterns"`
	// Total is how many patterns there are.
	Total int `json:"total"`
}

// PatternReport is one pattern, such as "GET /notes/{id}".
type PatternReport struct {
	Pattern string `json:"pattern"`
	// Usage has requests, errors and percentiles of the latency.
	Usage map[string]*Figure `json:"usage"`
}

// PatternsRequest asks for patterns.
type PatternsRequest struct {
	// Tenant is the tenant, or empty for all tenants of the scope together.
	Tenant tenancy.ID
	// Period is that of the requests: their hours count whole. Default: the last
	// [ReportsOptions.Span].
	Period Period
	// Sort is requests, errors or latency_p95, with the largest first. Default: requests.
	Sort string
	// Limit is how many at most: up to 500. Default: 50.
	Limit int
}

// keepPatterns is how long patterns are kept.
const keepPatterns = 30 * day

// Patterns returns the patterns of routes that were asked for most. Those of a request are
// what [http.ServeMux] put into [http.Request.Pattern]. Of a tenant an instance counts 50
// at a time, and the rest as [OtherPattern]. They are kept for 30 days.
func (r *Reports) Patterns(ctx context.Context, scope tenancy.Scope, req *PatternsRequest) (*PatternsReport, error) {
	report, err := shared(ctx, r, "patterns", scope, req, r.patterns)
	return report, tenancy.Wrap("analytics.Reports.Patterns", req.Tenant, err)
}

func (r *Reports) patterns(ctx context.Context, scope tenancy.Scope, req *PatternsRequest) (*PatternsReport, error) {
	limit := cmp.Or(req.Limit, 50)
	if limit < 0 || limit > maxPage {
		return nil, fmt.Errorf("%w: %d patterns, want at most %d", tenancy.ErrInvalid, limit, maxPage)
	}
	scores := map[string]func(*PatternRow) float64{
		Requests.String(): func(p *PatternRow) float64 { return float64(p.Requests) },
		FigureErrors:      func(p *PatternRow) float64 { return float64(p.Errors) },
		FigureP95: func(p *PatternRow) float64 {
			d, _, _ := p.Latency.Percentile(0.95)
			return float64(d)
		},
	}
	score := scores[cmp.Or(req.Sort, Requests.String())]
	if score == nil {
		return nil, fmt.Errorf("%w: sort %.40q, want requests, errors or latency_p95", tenancy.ErrInvalid, req.Sort)
	}
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	p, err := r.check(req.Period, state)
	if err != nil {
		return nil, err
	}
	p.From, p.To = p.From.Truncate(time.Hour), ceil(p.To, time.Hour)
	q := &PatternsQuery{Scope: scope, Period: p}
	if req.Tenant != "" {
		if _, _, err := r.tenantOf(ctx, scope, req.Tenant, figures{}); err != nil {
			return nil, err
		}
		q.Tenants = []tenancy.ID{req.Tenant}
	}
	report := &PatternsReport{Period: p, Patterns: []PatternReport{}}
	if r.routes == nil {
		return report, nil
	}
	rows, err := r.routes.Patterns(ctx, q)
	if err != nil {
		return nil, err
	}
	report.Total = len(rows)
	slices.SortFunc(rows, func(a, b PatternRow) int {
		return cmp.Or(cmp.Compare(score(&b), score(&a)), strings.Compare(a.Pattern, b.Pattern))
	})
	f := newFigures(state)
	for _, row := range rows[:min(len(rows), limit)] {
		c := &Counts{Latency: row.Latency}
		usage := f.percentiles(c)
		usage[Requests.String()], usage[FigureErrors] = f.count(row.Requests), f.count(row.Errors)
		report.Patterns = append(report.Patterns, PatternReport{row.Pattern, usage})
	}
	return report, nil
}
