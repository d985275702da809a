package analytics

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// Unforecast implements [ForecastStore].
func (u *upkeep) Unforecast(ctx context.Context, limits map[string]string, limit int) ([]TenantHistory, error) {
	state, _, err := u.s.marks(ctx)
	if err != nil || state.Days.IsZero() || state.Now.Sub(state.Days) > 2*day { // or it would be the forecast of a day long ago
		return nil, err
	}
	var all []TenantHistory
	at, keys := map[int64]int{}, []int64{}
	err = u.s.each(ctx, u.s.db, `SELECT tenant_key, id, limits FROM tenancy_usage_tenants
		WHERE forecast_at < ? AND gone = 0 AND tenant_key > ? AND (limits <> '' OR limit_earliest IS NOT NULL)
		ORDER BY tenant_key LIMIT ?`, []any{state.Days.UnixMicro(), lastOwnKey, limit}, func(r *sql.Rows) error {
		var key int64
		var packed string
		h := TenantHistory{Today: state.Days, Days: map[string][]DayValue{}}
		if err := r.Scan(&key, &h.Tenant, &packed); err != nil {
			return err
		}
		if packed == "" { // it had limits
			packed = `{}`
		}
		if err := json.Unmarshal([]byte(packed), &h.Limits); err != nil {
			return fmt.Errorf("%w: limits of tenant %s: %w", tenancy.ErrInvalid, h.Tenant, err)
		}
		at[key], keys = len(all), append(keys, key)
		all = append(all, h)
		return nil
	})
	if err != nil || len(all) == 0 {
		return nil, err
	}
	from := state.Days.Add(-historyDays * day)
	for name := range limits {
		err := u.history(ctx, name, keys[0], keys[len(keys)-1], from, state.Days, func(key int64, d DayValue) {
			if i, ok := at[key]; ok {
				all[i].Days[name] = append(all[i].Days[name], d)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// history calls fn with the days of a figure, in ascending order for each tenant, of all
// tenants between two keys, also those without limits: PostgreSQL read a prepared list of 200
// keys in 14 s, and one of literals in 0.1 s. A range needs no list.
func (u *upkeep) history(ctx context.Context, name string, low, high int64, from, to time.Time, fn func(int64, DayValue)) error {
	table, column := storageTable, `bytes`
	if name != FigureStorage {
		f, err := parseField(name)
		if err != nil {
			return err
		}
		if !f.isUsage || f.span != 0 || columnInfos[f.column].largest {
			return fmt.Errorf("%w: no forecast of %.60q: want a figure that adds up", tenancy.ErrInvalid, name)
		}
		table, column = daysTable.name, `COALESCE(`+f.column.String()+`, 0)`
	}
	query := `SELECT tenant_key, bucket, ` + column + ` FROM ` + table + ` WHERE tenant_key >= ? AND tenant_key <= ? AND bucket >= ? AND bucket < ? ORDER BY tenant_key, bucket`
	return u.s.each(ctx, u.s.db, query, []any{low, high, from.UnixMicro(), to.UnixMicro()}, func(r *sql.Rows) error {
		var key, bucket, value int64
		err := r.Scan(&key, &bucket, &value)
		fn(key, DayValue{fromMicros(bucket), float64(value)})
		return err
	})
}

// Forecasted implements [ForecastStore].
func (u *upkeep) Forecasted(ctx context.Context, all []LimitForecast) error {
	return u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var none []any
		for _, f := range all {
			if f.Reached == nil {
				none = append(none, f.Tenant)
				continue
			}
			_, err := tx.ExecContext(ctx, u.s.dialect.Rebind(`UPDATE tenancy_usage_tenants SET forecast_at = ?, limit_figure = ?, limit_value = ?, limit_earliest = ?, limit_latest = ? WHERE id = ?`),
				f.Made.UnixMicro(), f.Figure, f.Limit, f.Earliest.UnixMicro(), toMicros(f.Latest), f.Tenant)
			if err != nil {
				return err
			}
		}
		if len(none) == 0 {
			return nil
		}
		query := `UPDATE tenancy_usage_tenants SET forecast_at = ?, limit_figure = NULL, limit_value = NULL, limit_earliest = NULL, limit_latest = NULL WHERE id IN (` +
			strings.TrimSuffix(strings.Repeat(`?, `, len(none)), `, `) + `)`
		_, err := tx.ExecContext(ctx, u.s.dialect.Rebind(query), append([]any{all[0].Made.UnixMicro()}, none...)...)
		return err
	})
}
