package analytics

import (
	"context"
	"log/slog"
	"time"

	"github.com/artflow-studio/tenancy"
)

// DefaultLimits says which figures have a limit for each day, and under which key of a
// tenant's limits: the size of the database, and the requests of a day.
func DefaultLimits() map[string]string {
	return map[string]string{FigureStorage: "storage.bytes", Requests.String(): "requests.day"}
}

// ForecastStore is the optional ability of an [Upkeep] to keep forecasts.
type ForecastStore interface {
	// Unforecast returns tenants whose forecast is older than the last day that was rolled up,
	// with their days: those with a limit under one of the keys, and those whose limits were
	// removed since one was forecast to be reached.
	Unforecast(ctx context.Context, limits map[string]string, limit int) ([]TenantHistory, error)
	// Forecasted keeps when limits are reached. A tenant without a limit in the list has
	// none that is.
	Forecasted(ctx context.Context, all []LimitForecast) error
}

// TenantHistory is what a tenant used day by day.
type TenantHistory struct {
	Tenant tenancy.ID
	Limits map[string]int64
	// Today is the day after the last that is known.
	Today time.Time
	// Days are the values of each figure that has a limit, up to 90, in ascending order of
	// days. Those without a row are missing: of figures that add up they are zero.
	Days map[string][]DayValue
}

// DayValue is a figure of one day.
type DayValue struct {
	Day   time.Time
	Value float64
}

// LimitForecast says which limit of a tenant is reached first.
type LimitForecast struct {
	Tenant tenancy.ID `json:"-"`
	// Made is the day that the forecast begins with.
	Made time.Time `json:"made"`
	// Figure is the name of the figure whose limit it is, or empty if none is reached within
	// 90 days, or nobody can tell.
	Figure string `json:"figure,omitempty"`
	Limit  int64  `json:"limit,omitempty"`
	*Reached
}

// forecastTime is the share of the keeper's interval that it spends with forecasts.
const forecastTime = 4

// forecastsAtOnce is how many tenants are looked for at a time.
const forecastsAtOnce = 200

// forecast makes, once a day, the forecasts of all tenants that have limits, some at a
// time so that counts are rolled up in between.
func (k *Keeper) forecast(ctx context.Context, up Upkeep) error {
	store, ok := up.(ForecastStore)
	if !ok || len(k.opts.Limits) == 0 {
		return nil
	}
	began := time.Now()
	for time.Since(began) < k.opts.Interval/forecastTime {
		tenants, err := store.Unforecast(ctx, k.opts.Limits, forecastsAtOnce)
		if err != nil || len(tenants) == 0 {
			return err
		}
		all := make([]LimitForecast, 0, len(tenants))
		for i := range tenants {
			if err := ctx.Err(); err != nil {
				return err
			}
			all = append(all, tenants[i].First(k.opts.Limits))
		}
		if err := store.Forecasted(ctx, all); err != nil {
			return err
		}
		k.opts.Logger.LogAttrs(ctx, slog.LevelDebug, "analytics: forecasts were made", slog.Int("tenants", len(all)), slog.Duration("took", time.Since(began)))
	}
	return nil
}

// First returns the limit that is reached first.
func (h *TenantHistory) First(limits map[string]string) LimitForecast {
	out := LimitForecast{Tenant: h.Tenant, Made: h.Today}
	for name, key := range limits {
		limit := h.Limits[key]
		if limit <= 0 || len(h.Days[name]) == 0 {
			continue
		}
		counted := h.Today
		if name == FigureStorage { // a size that was not measured is not zero
			counted = time.Time{}
		}
		values, gaps := daily(h.Days[name], counted, h.Today)
		f := &Forecast{}
		f.predict(values, gaps, maxForecast, h.Today)
		f.reach(float64(limit), values, h.Today)
		if r := f.Reached; r != nil && (out.Reached == nil || r.Earliest.Before(out.Earliest) || r.Earliest.Equal(out.Earliest) && name < out.Figure) {
			out.Figure, out.Limit, out.Reached = name, limit, r
		}
	}
	return out
}
