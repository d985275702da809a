package analytics

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// maxPoints is how many points a series has at most.
const maxPoints = 600

// SeriesRequest asks for series of figures.
type SeriesRequest struct {
	// Tenant is the tenant, or empty for all tenants of the scope together.
	Tenant tenancy.ID
	// Names are columns, errors, latency_p50, latency_p95 or latency_p99; at most 8.
	Names []string
	// Period is that of the series. Default: the last [ReportsOptions.Span].
	Period Period
	// Points is how many points there are at most: up to 600. Default: 120.
	Points int
}

// SeriesReport are series of one period.
type SeriesReport struct {
	Period Period `json:"period"`
	// Step is the length of each point. It is at least Fine, so that a short old period may
	// have few points.
	Step time.Duration `json:"step_ns"`
	// Fine is the length of the pieces within a point of which the minimum, mean and
	// maximum are: that of the shortest rows that are kept for so long.
	Fine   time.Duration     `json:"fine_ns"`
	Series map[string]Series `json:"series"`
}

// Series is one figure over time. It is absent from a report if nobody counts it.
type Series struct {
	Unit   string  `json:"unit"`
	Method Method  `json:"method"`
	Error  float64 `json:"error"`
	// Partial is set when an instance is missing.
	Partial bool    `json:"partial,omitempty"`
	Points  []Point `json:"points"`
}

// Point is a figure in one step. A percentile of no request is nil.
type Point struct {
	At time.Time `json:"at"`
	// Value is that of the whole step; the others are those of pieces within it, so that
	// no peak is lost.
	Value *float64 `json:"value"`
	Min   *float64 `json:"min"`
	Mean  *float64 `json:"mean"`
	Max   *float64 `json:"max"`
}

// Series returns series of a tenant, or of all tenants of the scope together.
func (r *Reports) Series(ctx context.Context, scope tenancy.Scope, req *SeriesRequest) (*SeriesReport, error) {
	report, err := shared(ctx, r, "series", scope, req, r.series)
	return report, tenancy.Wrap("analytics.Reports.Series", req.Tenant, err)
}

func (r *Reports) series(ctx context.Context, scope tenancy.Scope, req *SeriesRequest) (*SeriesReport, error) {
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	p, err := r.check(req.Period, state)
	if err != nil {
		return nil, err
	}
	points := cmp.Or(req.Points, 120)
	if points < 1 || points > maxPoints || len(req.Names) == 0 || len(req.Names) > 8 {
		return nil, fmt.Errorf("%w: %d series of %d points, want 1 to 8 of 1 to %d", tenancy.ErrInvalid, len(req.Names), points, maxPoints)
	}
	q := &SumQuery{Scope: scope, Fleet: req.Tenant == ""}
	if q.Fleet && scope.IsAll() && len(state.Sums) > 0 && state.Minutes.After(p.From) && p.To.After(state.Minutes) {
		p.To = state.Minutes // what many tenants did since is not added up
	}
	f := newFigures(state)
	if req.Tenant != "" {
		if _, f, err = r.tenantOf(ctx, scope, req.Tenant, f); err != nil {
			return nil, err
		}
		q.Tenants = []tenancy.ID{req.Tenant}
	}
	names, err := measuresOf(req.Names)
	if err != nil {
		return nil, err
	}
	report := &SeriesReport{Step: stepOf(p, points), Series: map[string]Series{}}
	report.Fine = fineOf(state.Now.Sub(p.From.Truncate(report.Step)))
	for report.Step < report.Fine {
		report.Step = report.Fine
		report.Fine = fineOf(state.Now.Sub(p.From.Truncate(report.Step))) // the first step may begin much earlier
	}
	report.Period = Period{p.From.Truncate(report.Step), state.read(p).To}
	q.Period, q.Step = report.Period, report.Fine
	q.take(maps.Values(names))
	rows, err := r.source.Sum(ctx, q)
	if err != nil {
		return nil, err
	}
	f = f.over(report.Period)
	for name, m := range names {
		if fig := f.of(m.column, 0); fig != nil {
			report.Series[name] = Series{m.unit(), fig.Method, m.error(), fig.Partial, m.points(rows, report, state.Now)}
		}
	}
	return report, nil
}

// fineOf returns the length of the shortest rows that are kept for so long.
func fineOf(age time.Duration) time.Duration {
	switch {
	case age < keepMinutes:
		return time.Minute
	case age < keepHours:
		return time.Hour
	}
	return day
}

// measure is what a series shows: a column or a percentile.
type measure struct {
	column     Column
	percentile float64
}

// measureOf returns the measure of that name. Another name is an error that wraps
// [tenancy.ErrInvalid].
func measureOf(name string) (measure, error) {
	switch name {
	case FigureErrors:
		return measure{column: Status5xx}, nil
	case FigureP50:
		return measure{LatencyTime, 0.5}, nil
	case FigureP95:
		return measure{LatencyTime, 0.95}, nil
	case FigureP99:
		return measure{LatencyTime, 0.99}, nil
	}
	c, err := ParseColumn(name)
	return measure{column: c}, err
}

// take lets a query have what measures need, and nothing else.
func (q *SumQuery) take(measures iter.Seq[measure]) {
	for m := range measures {
		q.Latency = q.Latency || m.percentile > 0
		q.Columns = append(q.Columns, m.column)
	}
	slices.Sort(q.Columns) // one text for each set, which servers have prepared
	q.Columns = slices.Compact(q.Columns)
}

func (m measure) unit() string { return m.column.Unit() }

func (m measure) error() float64 {
	if m.percentile > 0 {
		return bucketError
	}
	return m.column.relativeError()
}

// value returns the measure of counts, or nil if there is none.
func (m measure) value(c *Counts) *float64 {
	v := float64(c.Get(m.column))
	if m.percentile > 0 {
		d, _, ok := c.Latency.Percentile(m.percentile)
		if !ok {
			return nil
		}
		v = float64(d.Microseconds())
	}
	return &v
}

// points returns the points of a report, of rows of its fine steps. What has no row is
// zero, up to the present.
func (m measure) points(rows []SumRow, report *SeriesReport, now time.Time) []Point {
	fine := make(map[time.Time]*Counts, len(rows))
	for i := range rows {
		fine[rows[i].Start] = &rows[i].Counts
	}
	end := report.Period.To
	if now.Before(end) {
		end = now
	}
	points := []Point{}
	for at := report.Period.From; at.Before(end); at = at.Add(report.Step) {
		var whole Counts
		var values []float64
		for piece := at; piece.Before(at.Add(report.Step)) && piece.Before(end); piece = piece.Add(report.Fine) {
			c := fine[piece]
			if c == nil {
				c = &Counts{}
			}
			whole.Add(c)
			if v := m.value(c); v != nil {
				values = append(values, *v)
			}
		}
		p := Point{At: at, Value: m.value(&whole)}
		if len(values) > 0 {
			low, high, sum := slices.Min(values), slices.Max(values), 0.0
			for _, v := range values {
				sum += v
			}
			mean := sum / float64(len(values))
			p.Min, p.Mean, p.Max = &low, &mean, &high
		}
		points = append(points, p)
	}
	return points
}

// Trend says how a figure changes over time.
type Trend struct {
	Period Period        `json:"period"`
	Step   time.Duration `json:"step_ns"`
	Unit   string        `json:"unit"`
	// PerDay is the median of the slopes between any two points (Theil–Sen), for each
	// day; the truth is between Low and High with 95 %.
	PerDay float64 `json:"per_day"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	// Direction is "rising" or "falling" if zero is not between Low and High, or
	// "steady".
	Direction string  `json:"direction"`
	Points    []Point `json:"points"`
}

// minTrend is how many points a trend needs.
const minTrend = 8

// Trend returns how one figure of a tenant, or of all tenants of the scope together,
// changes. The last point is left out if its step is not over, or longer than what is left of the period. Fewer than eight points
// are an error that wraps [tenancy.ErrInvalid].
func (r *Reports) Trend(ctx context.Context, scope tenancy.Scope, req *SeriesRequest) (*Trend, error) {
	t, err := shared(ctx, r, "trend", scope, req, r.trend)
	return t, tenancy.Wrap("analytics.Reports.Trend", req.Tenant, err)
}

func (r *Reports) trend(ctx context.Context, scope tenancy.Scope, req *SeriesRequest) (*Trend, error) {
	if len(req.Names) != 1 {
		return nil, fmt.Errorf("%w: trend of %d figures, want one", tenancy.ErrInvalid, len(req.Names))
	}
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	report, err := r.series(ctx, scope, req)
	if err != nil {
		return nil, err
	}
	s, ok := report.Series[req.Names[0]]
	if !ok {
		return nil, fmt.Errorf("%w: no instance counts %.60q", tenancy.ErrNotFound, req.Names[0])
	}
	over := earlier(report.Period.To, state.Now.Add(-settling))
	var x, y []float64
	for _, p := range s.Points {
		if p.Value != nil && !p.At.Add(report.Step).After(over) {
			x, y = append(x, p.At.Sub(report.Period.From).Hours()/24), append(y, *p.Value)
		}
	}
	if len(x) < minTrend {
		return nil, fmt.Errorf("%w: trend of %d points, want at least %d", tenancy.ErrInvalid, len(x), minTrend)
	}
	t := &Trend{Period: report.Period, Step: report.Step, Unit: s.Unit, Points: s.Points, Direction: "steady"}
	t.PerDay, t.Low, t.High = theilSen(x, y)
	switch {
	case t.Low > 0:
		t.Direction = "rising"
	case t.High < 0:
		t.Direction = "falling"
	}
	return t, nil
}

// theilSen returns the median of the slopes between any two points, and the bounds of
// its interval of 95 %. X must not repeat.
// Source: Sen 1968, Estimates of the regression coefficient based on Kendall's tau.
func theilSen(x, y []float64) (slope, low, high float64) {
	var slopes []float64
	for i := range x {
		for j := range i {
			slopes = append(slopes, (y[i]-y[j])/(x[i]-x[j]))
		}
	}
	slices.Sort(slopes)
	n := float64(len(x))
	c := 1.96 * math.Sqrt(n*(n-1)*(2*n+5)/18)
	at := func(rank float64) float64 { return slopes[int(min(max(rank, 0), float64(len(slopes)-1)))] }
	m := float64(len(slopes))
	return median(slopes), at(math.Floor((m-c)/2) - 1), at(math.Ceil((m + c) / 2)) // ranks from 0 on
}

// median returns the median of sorted values.
func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}
