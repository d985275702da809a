package analytics

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// SpreadSource is the optional ability of a [Source] to tell how figures were spread over
// all tenants, hour by hour.
type SpreadSource interface {
	// Spread returns the hours of the period that were rolled up, in ascending order for each
	// name. An hour in which a figure was zero for all has no row.
	Spread(ctx context.Context, names []string, p Period) ([]SpreadRow, error)
}

// SpreadRow is how a figure was spread in one hour.
type SpreadRow struct {
	Hour time.Time
	Name string
	Spread
}

// SpreadReport says how figures were spread over the tenants of a scope, hour by hour.
type SpreadReport struct {
	Period Period                   `json:"period"`
	Series map[string][]SpreadPoint `json:"series"`
}

// SpreadPoint is an hour, over the tenants that did something in it.
type SpreadPoint struct {
	At time.Time `json:"at"`
	Spread
}

// maxSpread is the longest period of a spread over some tenants, which is worked out when
// it is asked for.
const maxSpread = 8 * day

// Spread returns how figures were spread over the tenants of the scope in each hour of the
// period: up to 90 days for the scope of all tenants, which includes tenants that have left
// the catalog since, and up to 8 days for other scopes. It begins within the last 100 days, for which hours are
// kept. Names are those of
// [SeriesRequest]. The zero period is the last [ReportsOptions.Span].
func (r *Reports) Spread(ctx context.Context, scope tenancy.Scope, names []string, p Period) (*SpreadReport, error) {
	report, err := shared(ctx, r, "spread", scope, spreadRequest{names, p}, r.spread)
	return report, tenancy.Wrap("analytics.Reports.Spread", "", err)
}

type spreadRequest struct {
	Names  []string
	Period Period
}

func (r *Reports) spread(ctx context.Context, scope tenancy.Scope, req spreadRequest) (*SpreadReport, error) {
	names, p := req.Names, req.Period
	if len(names) == 0 || len(names) > 8 {
		return nil, fmt.Errorf("%w: spread of %d figures, want 1 to 8", tenancy.ErrInvalid, len(names))
	}
	measures, err := measuresOf(names)
	if err != nil {
		return nil, err
	}
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	if p, err = r.check(p, state); err != nil {
		return nil, err
	}
	p = Period{p.From.Truncate(time.Hour), ceil(p.To, time.Hour)}
	report := &SpreadReport{Period: p, Series: map[string][]SpreadPoint{}}
	for name := range measures {
		report.Series[name] = []SpreadPoint{}
	}
	kept, most := r.spreads != nil && scope.IsAll(), maxSpread
	if kept {
		most = 91 * day
	}
	if p.To.Sub(p.From) > most {
		return nil, fmt.Errorf("%w: spread over %v, want at most %v", tenancy.ErrInvalid, p.To.Sub(p.From), most)
	}
	if fineOf(state.Now.Sub(p.From)) > time.Hour {
		return nil, fmt.Errorf("%w: spread from %v on, want a time of the last %d days", tenancy.ErrInvalid, p.From.Format(time.RFC3339), keepHours/day)
	}
	if kept {
		rows, err := r.spreads.Spread(ctx, slices.Sorted(maps.Keys(measures)), p)
		for _, row := range rows {
			report.Series[row.Name] = append(report.Series[row.Name], SpreadPoint{row.Hour, row.Spread})
		}
		return report, err
	}
	for from := p.From; from.Before(p.To); from = from.Add(spreadAtOnce) {
		if err := r.spreadOver(ctx, scope, measures, Period{from, earlier(from.Add(spreadAtOnce), p.To)}, report); err != nil {
			return nil, err
		}
	}
	return report, nil
}

// spreadAtOnce is of how much time the rows of all tenants are in memory: an hour of 10,000
// tenants has 10 MB, and twice as much with latencies.
const spreadAtOnce = 3 * time.Hour

// spreadOver adds the hours of a period to the report.
func (r *Reports) spreadOver(ctx context.Context, scope tenancy.Scope, measures map[string]measure, p Period, report *SpreadReport) error {
	q := &SumQuery{Scope: scope, Period: p, Step: time.Hour, ByTenant: true}
	q.take(maps.Values(measures))
	rows, err := r.source.Sum(ctx, q)
	if err != nil {
		return err
	}
	hours := map[time.Time]map[tenancy.ID]*Counts{}
	for i := range rows {
		if hours[rows[i].Start] == nil {
			hours[rows[i].Start] = map[tenancy.ID]*Counts{}
		}
		hours[rows[i].Start][rows[i].Tenant] = &rows[i].Counts
	}
	for at := p.From; at.Before(p.To); at = at.Add(time.Hour) {
		for name, m := range measures {
			if s := spreadOf(m.sorted(hours[at])); s.any() {
				report.Series[name] = append(report.Series[name], SpreadPoint{at, s})
			}
		}
	}
	return nil
}
