package analytics

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// ForecastRequest asks how a figure of a tenant goes on.
type ForecastRequest struct {
	// Tenant is the tenant, or empty for all tenants of the scope together.
	Tenant tenancy.ID
	// Name is a column, errors or storage.
	Name string
	// Days is how far ahead: up to 90. Default: 30.
	Days int
	// Limit, if it is above zero, is a value for each day: the forecast says when it is
	// reached.
	Limit float64
}

// Forecast says how a figure goes on, day by day, or why nobody can tell.
type Forecast struct {
	Unit string `json:"unit"`
	// Refused says why there is no forecast; then all that follows is empty, except
	// Reached if the limit has been reached already.
	Refused string `json:"refused,omitempty"`
	// Model is that which was best at forecasting the days that are known: linear,
	// theil_sen, holt_winters or seasonal.
	Model string `json:"model,omitempty"`
	// Error is the mean by which it missed them, as a share of their mean; Naive is that of
	// "as yesterday".
	Error float64 `json:"error"`
	Naive float64 `json:"naive_error"`
	// Tested is how many days it had to forecast.
	Tested int           `json:"tested_days"`
	Days   []ForecastDay `json:"days"`
	// Reached says when the limit is reached. It is nil without a limit, and if that is not
	// within the days.
	Reached *Reached `json:"reached"`
}

// ForecastDay is a day to come. The truth is between Low and High in four of five cases.
type ForecastDay struct {
	Day   time.Time `json:"day"`
	Value float64   `json:"value"`
	Low   float64   `json:"low"`
	High  float64   `json:"high"`
}

// Reached says that a limit is reached between two days. Latest is zero if it may also not
// be reached within the days of the forecast.
type Reached struct {
	Earliest time.Time `json:"earliest"`
	Latest   time.Time `json:"latest,omitzero"`
}

const (
	maxForecast  = 90 // days
	historyDays  = 90
	leastHistory = 14
)

// Forecast returns how a figure of a tenant, or of all tenants of the scope together, goes
// on.
func (r *Reports) Forecast(ctx context.Context, scope tenancy.Scope, req *ForecastRequest) (*Forecast, error) {
	f, err := shared(ctx, r, "forecast", scope, req, r.forecast)
	return f, tenancy.Wrap("analytics.Reports.Forecast", req.Tenant, err)
}

func (r *Reports) forecast(ctx context.Context, scope tenancy.Scope, req *ForecastRequest) (*Forecast, error) {
	var m measure
	var err error
	if req.Name != FigureStorage {
		m, err = measureOf(req.Name)
	}
	ahead := cmp.Or(req.Days, 30)
	if err == nil && (m.percentile > 0 || columnInfos[m.column].largest) {
		err = fmt.Errorf("%w: no forecast of %.60q: want a figure that adds up", tenancy.ErrInvalid, req.Name)
	}
	if err == nil && (ahead < 1 || ahead > maxForecast || req.Limit < 0 || math.IsNaN(req.Limit)) {
		err = fmt.Errorf("%w: a forecast of %d days with the limit %v, want 1 to %d", tenancy.ErrInvalid, ahead, req.Limit, maxForecast)
	}
	if err != nil {
		return nil, err
	}
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	today := state.Now.Truncate(day)
	p := Period{today.Add(-historyDays * day), today}
	f := &Forecast{Unit: m.unit(), Days: []ForecastDay{}}
	var known []DayValue
	counted := state.Days
	if req.Name == FigureStorage {
		counted = time.Time{}
		f.Unit = UnitBytes
		known, err = r.storageHistory(ctx, scope, req.Tenant, p)
	} else {
		known, err = r.history(ctx, scope, req.Tenant, m, p)
	}
	if err != nil {
		return nil, err
	}
	if req.Name != FigureStorage && newFigures(state).of(m.column, 0) == nil || req.Name == FigureStorage && r.sizes == nil {
		f.Refused = "no instance counts this figure"
		return f, nil
	}
	values, gaps := daily(known, counted, today)
	f.predict(values, gaps, ahead, today)
	f.reach(req.Limit, values, today)
	return f, nil
}

// storageHistory returns the sizes of the databases, of days that are over.
func (r *Reports) storageHistory(ctx context.Context, scope tenancy.Scope, id tenancy.ID, p Period) (known []DayValue, err error) {
	rows, err := r.storageDays(ctx, scope, id, p)
	for _, row := range rows {
		known = append(known, DayValue{row.Day, float64(row.Bytes)})
	}
	return known, err
}

// history returns the measure of days that are over.
func (r *Reports) history(ctx context.Context, scope tenancy.Scope, id tenancy.ID, m measure, p Period) (known []DayValue, err error) {
	q := &SumQuery{Scope: scope, Step: day, Period: p, Fleet: id == ""}
	q.take(slices.Values([]measure{m}))
	if id != "" {
		if _, _, err := r.tenantOf(ctx, scope, id, figures{}); err != nil {
			return nil, err
		}
		q.Tenants = []tenancy.ID{id}
	}
	rows, err := r.source.Sum(ctx, q)
	for i := range rows {
		known = append(known, DayValue{rows[i].Start, *m.value(&rows[i].Counts)})
	}
	return known, err
}

// daily returns a value for each day from the first that is known to the one before end. What is
// missing of days before counted is zero. What else is missing is on the line between its
// neighbours, or as the last value at the end; gaps counts that.
func daily(known []DayValue, counted, end time.Time) (values []float64, gaps int) {
	for i, d := range known {
		next := DayValue{end, d.Value}
		if i+1 < len(known) {
			next = known[i+1]
		}
		values = append(values, d.Value)
		days := int(next.Day.Sub(d.Day) / day)
		for k := 1; k < days; k++ {
			if d.Day.Add(time.Duration(k) * day).Before(counted) {
				values = append(values, 0)
				continue
			}
			values = append(values, d.Value+(next.Value-d.Value)*float64(k)/float64(days))
			gaps++
		}
	}
	return values, gaps
}

// predict fills in the forecast of the days from today on.
func (f *Forecast) predict(values []float64, gaps, ahead int, today time.Time) {
	n := len(values)
	switch {
	case n < leastHistory:
		f.Refused = fmt.Sprintf("only %d days are known, %d are needed", n, leastHistory)
		return
	case gaps*5 > n:
		f.Refused = fmt.Sprintf("%d of %d days are missing", gaps, n)
		return
	}
	f.Tested = 14
	candidates := models()
	if n < 28 {
		f.Tested = n / 3
		candidates = candidates[:2] // without seasons
	}
	naive, _ := backTest(model{"naive", asYesterday}, values, f.Tested)
	best, missed, next := "", misses(nil), forecaster(nil)
	for _, m := range candidates {
		if others, after := backTest(m, values, f.Tested); missed == nil || others.mean() < missed.mean() {
			best, missed, next = m.name, others, after
		}
	}
	if missed.mean() >= naive.mean() {
		f.Refused = `no model is better than "as yesterday"`
		return
	}
	scale := 0.0
	for _, v := range values[n-f.Tested:] {
		scale += math.Abs(v) / float64(f.Tested)
	}
	if scale > 0 {
		f.Error, f.Naive = missed.mean()/scale, naive.mean()/scale
	}
	f.Model = best
	bands := missed.bands()
	for i := range ahead {
		wide := bands[min(i, f.Tested-1)] * max(1, math.Sqrt(float64(i+1)/float64(f.Tested))) // farther than was tested, with the root of the time
		v := next(i)
		f.Days = append(f.Days, ForecastDay{today.Add(time.Duration(i) * day), max(0, v), max(0, v-wide), max(0, v+wide)})
	}
}

// reach finds out when the limit is reached, after those values of days before today. Without a
// forecast it is reached today if the last of them has reached it.
func (f *Forecast) reach(limit float64, values []float64, today time.Time) {
	if limit <= 0 {
		return
	}
	if n := len(values); f.Refused != "" && n > 0 && values[n-1] >= limit {
		f.Reached = &Reached{today, today}
	}
	for _, d := range f.Days {
		if f.Reached == nil && d.High >= limit {
			f.Reached = &Reached{Earliest: d.Day}
		}
		if d.Low >= limit {
			f.Reached.Latest = d.Day
			return
		}
	}
}
