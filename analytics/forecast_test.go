package analytics_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// history is a store with a row a day for one tenant, the last yesterday. A negative
// value is a day without a row.
func history(t *testing.T, values []float64) (*analytics.Reports, time.Time) {
	t.Helper()
	store, err := analytics.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	acme := tenancytest.NewTenant("acme")
	acme.ID = "acme"
	if _, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme}}); err != nil {
		t.Fatal(err)
	}
	today := time.Now().UTC().Truncate(day)
	for i, v := range values {
		if v >= 0 {
			write(t, store, usageOf("acme", today.Add(time.Duration(i-len(values))*day), 0, int64(v), 0))
		}
	}
	return newReports(t, store), today
}

func forecast(t *testing.T, values []float64, req analytics.ForecastRequest) (*analytics.Forecast, time.Time) {
	t.Helper()
	reports, today := history(t, values)
	req.Tenant, req.Name = "acme", "errors"
	f, err := reports.Forecast(t.Context(), tenancy.AllTenants(), &req)
	if err != nil {
		t.Fatal(err)
	}
	return f, today
}

// series returns n values of a function of the day, with noise.
func series(n int, noise float64, seed uint64, fn func(i int) float64) []float64 {
	r := rand.New(rand.NewPCG(seed, 7)) // a test
	out := make([]float64, n)
	for i := range out {
		out[i] = max(0, math.Round(fn(i)+noise*r.NormFloat64()))
	}
	return out
}

func TestForecast(t *testing.T) {
	t.Parallel()
	weekly := func(i int) float64 { return 10_000 + 4000*math.Sin(2*math.Pi*float64(i)/7) }
	for name, tt := range map[string]struct {
		fn     func(i int) float64
		days   int
		models string
	}{
		"a line":            {func(i int) float64 { return 1000 + 100*float64(i) }, 60, "linear theil_sen holt_winters"},
		"a week":            {weekly, 60, "seasonal holt_winters"},
		"a week that rises": {func(i int) float64 { return weekly(i) + 200*float64(i) }, 80, "holt_winters"},
		"a short line":      {func(i int) float64 { return 1000 + 100*float64(i) }, 20, "linear theil_sen"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, today := forecast(t, series(tt.days, 50, 1, tt.fn), analytics.ForecastRequest{Days: 14})
				if f.Refused != "" || !strings.Contains(tt.models, f.Model) || len(f.Days) != 14 || !f.Days[0].Day.Equal(today) || f.Error >= f.Naive {
					t.Fatalf("got %+v, want 14 days by %s", f, tt.models)
				}
				for i, d := range f.Days {
					if want := tt.fn(tt.days + i); math.Abs(d.Value-want) > 0.15*want || d.Low > d.Value || d.High < d.Value {
						t.Errorf("day %d: got %+v, want %v", i, d, want)
					}
				}
			})
		})
	}
}

func TestForecastRefuses(t *testing.T) {
	t.Parallel()
	gaps := series(40, 10, 1, func(i int) float64 { return 100 * float64(i) })
	for i := range gaps {
		if i%3 == 1 {
			gaps[i] = -1
		}
	}
	walk := make([]float64, 60)
	walk[0] = 100_000
	r := rand.New(rand.NewPCG(3, 7)) // a test
	for i := range walk[1:] {
		walk[i+1] = walk[i] + math.Round(1000*r.NormFloat64())
	}
	for name, tt := range map[string]struct {
		values []float64
		want   string
	}{
		"nothing": {nil, "no instance counts"}, "13 days": {series(13, 0, 1, func(i int) float64 { return float64(i) }), "only 13 days"},
		"gaps": {gaps, "are missing"}, "a constant": {series(60, 0, 1, func(int) float64 { return 100 }), "as yesterday"}, "a random walk": {walk, "as yesterday"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, _ := forecast(t, tt.values, analytics.ForecastRequest{Limit: 1e9})
				if !strings.Contains(f.Refused, tt.want) || len(f.Days) != 0 || f.Reached != nil {
					t.Errorf("got %+v, want it refused: %s", f, tt.want)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		reports, _ := history(t, nil)
		for _, bad := range []analytics.ForecastRequest{{Name: "x"}, {Name: "in_flight"}, {Name: "latency_p95"}, {Name: "requests", Days: 91}, {Name: "requests", Days: -1}, {Name: "requests", Limit: math.NaN()}} {
			if _, err := reports.Forecast(t.Context(), tenancy.AllTenants(), &bad); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%+v: got %v, want %v", bad, err, tenancy.ErrInvalid)
			}
		}
		if _, err := reports.Forecast(t.Context(), tenancy.ByTags("eu"), &analytics.ForecastRequest{Tenant: "acme", Name: "requests"}); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("out of scope: got %v", err)
		}
	})
}

// A limit is reached between two days, or not within the days of the forecast.
func TestForecastReached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		values := series(60, 30, 2, func(i int) float64 { return 1000 + 100*float64(i) }) // 7,000 today
		f, today := forecast(t, values, analytics.ForecastRequest{Limit: 8000})
		if f.Reached == nil || f.Reached.Earliest.After(today.Add(10*day)) || f.Reached.Latest.Before(today.Add(10*day)) || f.Reached.Latest.After(today.Add(14*day)) {
			t.Errorf("got %+v, want it reached in ten days", f.Reached)
		}
		if f, _ = forecast(t, values, analytics.ForecastRequest{Limit: 100_000}); f.Reached != nil || f.Refused != "" {
			t.Errorf("got %+v, want it not within 30 days", f.Reached)
		}
	})
}

// Bands of 80 % hold 70 to 90 % of futures.
func TestForecastBands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inside, all := 0, 0
		for seed := range uint64(60) {
			fn := func(i int) float64 { return 5000 + 40*float64(i) + 1500*math.Sin(2*math.Pi*float64(i)/7) }
			values := series(84, 200, seed+10, fn)
			f, _ := forecast(t, values[:70], analytics.ForecastRequest{Days: 14})
			for i, d := range f.Days {
				all++
				if v := values[70+i]; v >= d.Low && v <= d.High {
					inside++
				}
			}
		}
		t.Logf("%d of %d futures are inside", inside, all)
		if share := float64(inside) / float64(all); all < 500 || share < 0.7 || share > 0.9 {
			t.Errorf("got %.2f of %d futures inside, want 0.7 to 0.9", share, all)
		}
	})
}

// rolledUp is a store whose keeper has rolled up all days that are over.
type rolledUp struct{ *analytics.Memory }

func (r rolledUp) State(ctx context.Context) (*analytics.State, error) {
	state, err := r.Memory.State(ctx)
	if err == nil {
		state.Days = state.Now.Truncate(day)
	}
	return state, err
}

// What is missing at the end does not put a season out of phase: days without requests were rolled up as zero, and a
// database that was not measured is as large as it was.
func TestForecastPhase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := analytics.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		acme := tenancytest.NewTenant("acme")
		acme.ID = "acme"
		if _, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme}}); err != nil {
			t.Fatal(err)
		}
		today := time.Now().UTC().Truncate(day) // requests on five days of each week, which are not the last two
		value := func(at time.Time) int64 {
			if n := int64(at.Sub(today)/day) + 700; n%7 < 5 {
				return 1000 + 500*(n%7)
			}
			return 0
		}
		history := &analytics.TenantHistory{Tenant: "acme", Today: today, Limits: map[string]int64{"requests.day": 2500}, Days: map[string][]analytics.DayValue{}}
		var sizes []analytics.Size
		for ago := 60; ago > 0; ago-- {
			at := today.Add(-time.Duration(ago) * day)
			if v := value(at); v > 0 {
				write(t, store, usageOf("acme", at, v, 0, 0))
				history.Days["requests"] = append(history.Days["requests"], analytics.DayValue{Day: at, Value: float64(v)})
			}
			if ago > 3 {
				sizes = append(sizes, analytics.Size{Tenant: "acme", Bytes: 5000 + value(at), At: at})
			}
		}
		if err := hold(t, store, func(up analytics.SizeStore) error { return up.Sized(t.Context(), sizes) }); err != nil {
			t.Fatal(err)
		}
		reports := newReports(t, rolledUp{store})
		for name, least := range map[string]int64{"requests": 0, "storage": 5000} {
			f, err := reports.Forecast(t.Context(), tenancy.AllTenants(), &analytics.ForecastRequest{Tenant: "acme", Name: name, Days: 4})
			if err != nil || f.Refused != "" {
				t.Errorf("%s: got %+v, %v", name, f, err)
				continue
			}
			for _, got := range f.Days {
				if want := float64(least + value(got.Day)); math.Abs(got.Value-want) > 0.2*want {
					t.Errorf("%s: got %+v, want %v", name, got, want)
				}
			}
		}
		if got := history.First(analytics.DefaultLimits()); got.Reached == nil || got.Earliest.Before(today.Add(2*day)) || got.Earliest.After(today.Add(4*day)) {
			t.Errorf("the limit: got %+v, want it reached in three days", got)
		}
	})
}

// A limit that has been reached already is reached, also where nobody can say how the figure goes on.
func TestLimitThatIsExceeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			days    int
			value   float64
			reached bool
		}{"flat": {30, 12, true}, "young": {5, 12, true}, "just": {30, 10, true}, "below": {30, 9, false}, "young and below": {5, 9, false}} {
			values := series(tt.days, 0, 1, func(int) float64 { return tt.value })
			f, today := forecast(t, values, analytics.ForecastRequest{Limit: 10})
			if f.Refused == "" || (f.Reached != nil) != tt.reached || tt.reached && *f.Reached != (analytics.Reached{Earliest: today, Latest: today}) {
				t.Errorf("%s: got %q and %+v, want it reached today: %v", name, f.Refused, f.Reached, tt.reached)
			}
			h := analytics.TenantHistory{Tenant: "acme", Limits: map[string]int64{"storage.bytes": 10}, Today: today, Days: map[string][]analytics.DayValue{}}
			for i, v := range values {
				h.Days[analytics.FigureStorage] = append(h.Days[analytics.FigureStorage], analytics.DayValue{Day: today.Add(time.Duration(i-len(values)) * day), Value: v})
			}
			if first := h.First(analytics.DefaultLimits()); (first.Reached != nil) != tt.reached || tt.reached && !first.Earliest.Equal(today) {
				t.Errorf("%s: first: got %+v, want it reached today: %v", name, first, tt.reached)
			}
		}
	})
}
