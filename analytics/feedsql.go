package analytics

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// SQLFeed is a [Feed] in the database of a [SQL] store, for services without Redis: a row
// for each instance, which is written twice a second while somebody watches.
type SQLFeed struct{ s *SQL }

// NewSQLFeed returns the feed in the tables that [SQL.Migrate] makes. The caller keeps db.
func NewSQLFeed(db *sqlx.DB, opts *SQLOptions) (*SQLFeed, error) {
	s, err := NewSQL(db, opts)
	if err != nil {
		return nil, err
	}
	return &SQLFeed{s}, nil
}

// Check returns an error that wraps [tenancy.ErrUnavailable] if the database does not answer.
func (f *SQLFeed) Check(ctx context.Context) error {
	return wrap("analytics.SQLFeed.Check", f.s.check(ctx))
}

// stateWatched is until when somebody watches.
const stateWatched = "watched"

// Watched implements [Feed].
func (f *SQLFeed) Watched(ctx context.Context) (bool, error) {
	var n int
	err := f.s.db.GetContext(ctx, &n, f.s.dialect.Rebind(`SELECT COUNT(*) FROM tenancy_usage_state WHERE name = ? AND value > `+f.s.dialect.Now()), stateWatched)
	return n > 0, wrap("analytics.SQLFeed.Watched", err)
}

// Put implements [Feed].
func (f *SQLFeed) Put(ctx context.Context, p *Pulse) error {
	payload, err := json.Marshal(p)
	if err == nil {
		err = f.s.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
			now, err := f.s.now(ctx, tx)
			if err != nil {
				return err
			}
			head, tail := f.s.upsert("tenancy_usage_pulses", []string{"instance"}, []string{"sent_at", "payload"})
			return f.s.insert(ctx, tx, head, tail, [][]any{{p.Instance, now.UnixMicro(), string(payload)}})
		})
	}
	return wrap("analytics.SQLFeed.Put", err)
}

// Pulses implements [Feed].
func (f *SQLFeed) Pulses(ctx context.Context) ([]Pulse, error) {
	all, err := f.pulses(ctx)
	return all, wrap("analytics.SQLFeed.Pulses", err)
}

func (f *SQLFeed) pulses(ctx context.Context) ([]Pulse, error) {
	// Many who watch write the mark once a second at most.
	now := f.s.dialect.Now()
	_, err := f.s.db.ExecContext(ctx, f.s.dialect.Rebind(`UPDATE tenancy_usage_state SET value = `+now+` + ? WHERE name = ? AND value < `+now+` + ?`),
		watchTime.Microseconds(), stateWatched, (watchTime * 4 / 5).Microseconds())
	if err != nil {
		return nil, err
	}
	var all []Pulse
	err = f.s.each(ctx, f.s.db, `SELECT payload FROM tenancy_usage_pulses WHERE sent_at > `+now+` - ?`, []any{2 * silentTime.Microseconds()}, func(r *sql.Rows) error {
		var payload []byte
		if err := r.Scan(&payload); err != nil {
			return err
		}
		p, err := parsePulse(payload)
		all = append(all, p)
		return err
	})
	slices.SortFunc(all, func(a, b Pulse) int { return comparePulses(&a, &b) })
	return all, err
}

func parsePulse(payload []byte) (p Pulse, err error) {
	if err = json.Unmarshal(payload, &p); err != nil {
		err = fmt.Errorf("%w: reading a pulse: %w", tenancy.ErrUnavailable, err)
	}
	return p, err
}
