package analytics

import (
	"context"
	"database/sql"
	"net/netip"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

var activityColumns = []string{
	"tenant_key", "created_at", "activity_type", "description", "actor_kind", "actor_id", "address", "user_agent", "request_id",
	"login_subject", "login_method", "login_ok", "login_reason", "times",
}

// writeActivities adds those whose keys are not there.
func (s *SQL) writeActivities(ctx context.Context, tx *sqlx.Tx, all []Activity, keys map[tenancy.ID]int64) error {
	rows := make([][]any, 0, len(all))
	for i := range all {
		a := &all[i]
		row := []any{a.Key, keys[a.Tenant], a.CreatedAt.UnixMicro(), a.Type, a.Description, a.ActorKind, a.ActorID, a.Address, a.UserAgent, a.RequestID, nil, nil, nil, nil, a.Times}
		if l := a.Login; l != nil {
			ok := 0
			if l.OK {
				ok = 1
			}
			row[10], row[11], row[12], row[13] = l.Subject, l.Method, ok, l.Reason
		}
		rows = append(rows, row)
	}
	head, _ := s.upsert("tenancy_activities", []string{"activity_key"}, activityColumns)
	tail := ` ON CONFLICT (activity_key) DO NOTHING`
	if s.dialect == sqlkit.MySQL {
		tail = ` ON DUPLICATE KEY UPDATE activity_key = VALUES(activity_key)`
	}
	return s.insert(ctx, tx, head, tail, rows)
}

// stateAddresses is the name of the state's row that says up to when activities have networks
// instead of addresses.
const stateAddresses = "addresses"

// addressesAtOnce is of how many activities one transaction shortens the addresses.
const addressesAtOnce = 500

// shortenAddresses replaces addresses of activities before that time by their networks, the
// oldest first, in transactions of some rows each: what one has done stays when the next one
// fails. It did so before, for those before done: it looks again at those of a day, which may
// have been written late, and once a day at all of them.
func (u *upkeep) shortenAddresses(ctx context.Context, done, before time.Time) error {
	from := done.Add(-day)
	if !before.Truncate(day).Equal(done.Truncate(day)) {
		from = time.Time{}
	}
	at, id := toMicros(from), int64(-1)
	for {
		var page []struct {
			ID        int64  `db:"id"`
			CreatedAt int64  `db:"created_at"`
			Address   string `db:"address"`
		}
		query := `SELECT id, created_at, address FROM tenancy_activities WHERE created_at >= ? AND created_at < ? AND (created_at > ? OR id > ?)
			AND address <> '' AND address NOT LIKE '%/%' ORDER BY created_at, id LIMIT ?`
		if err := u.s.db.SelectContext(ctx, &page, u.s.dialect.Rebind(query), at, before.UnixMicro(), at, id, addressesAtOnce); err != nil {
			return err
		}
		if len(page) == 0 {
			return u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return u.s.setState(ctx, tx, stateAddresses, before) })
		}
		networks := map[string][]int64{}
		for _, row := range page {
			network := networkOf(row.Address)
			networks[network] = append(networks[network], row.ID)
		}
		at, id = page[len(page)-1].CreatedAt, page[len(page)-1].ID
		err := u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
			for network, ids := range networks {
				query, args, err := sqlx.In(`UPDATE tenancy_activities SET address = ? WHERE id IN (?)`, network, ids)
				if err != nil {
					return err
				}
				if _, err := tx.ExecContext(ctx, u.s.dialect.Rebind(query), args...); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// networkOf returns the network of an address: 24 bits of IPv4, 48 of IPv6; "-/-" for
// what is none.
func networkOf(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return "-/-"
	}
	bits := 48
	if a.Is4() {
		bits = 24
	}
	return netip.PrefixFrom(a, bits).Masked().String()
}

// Activities implements [Source].
func (s *SQL) Activities(ctx context.Context, q *ActivitiesQuery) ([]Activity, error) {
	c := scoped(q.Scope, q.Tenants)
	if !q.Period.From.IsZero() {
		c.and(`a.created_at >= ?`, q.Period.From.UnixMicro())
	}
	if !q.Period.To.IsZero() {
		c.and(`a.created_at < ?`, q.Period.To.UnixMicro())
	}
	if len(q.Types) > 0 {
		c.in(`a.activity_type IN (?)`, q.Types)
	}
	if q.Logins {
		c.and(`a.login_subject IS NOT NULL`)
	}
	if q.Subject != "" {
		c.and(`a.login_subject = ?`, q.Subject)
	}
	if q.After != nil {
		at := q.After.At.UnixMicro()
		c.and(`(a.created_at < ? OR (a.created_at = ? AND a.activity_key < ?))`, at, at, q.After.Key)
	}
	found := []Activity{}
	if c.none || c.err != nil {
		return found, wrap("analytics.SQL.Activities", c.err)
	}
	err := s.each(ctx, s.db, `SELECT a.activity_key, t.id, a.created_at, a.activity_type, a.description, a.actor_kind, a.actor_id, a.address, a.user_agent,
		a.request_id, a.login_subject, a.login_method, a.login_ok, a.login_reason, a.times
		FROM tenancy_activities a JOIN tenancy_usage_tenants t ON t.tenant_key = a.tenant_key
		WHERE `+c.String()+` ORDER BY a.created_at DESC, a.activity_key DESC LIMIT ?`, append(c.args, q.Limit), func(r *sql.Rows) error {
		var (
			a                       Activity
			created                 int64
			subject, method, reason sql.NullString
			ok                      sql.NullInt64
		)
		err := r.Scan(&a.Key, &a.Tenant, &created, &a.Type, &a.Description, &a.ActorKind, &a.ActorID, &a.Address, &a.UserAgent,
			&a.RequestID, &subject, &method, &ok, &reason, &a.Times)
		if err != nil {
			return err
		}
		a.CreatedAt = time.UnixMicro(created).UTC()
		if subject.Valid {
			a.Login = &Login{subject.String, method.String, ok.Int64 != 0, reason.String}
		}
		found = append(found, a)
		return nil
	})
	return found, wrap("analytics.SQL.Activities", err)
}
