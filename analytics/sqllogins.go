package analytics

import (
	"context"
	"database/sql"
	"slices"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

var _ LoginSource = (*SQL)(nil)

// Logins implements [LoginSource].
func (s *SQL) Logins(ctx context.Context, q *LoginsQuery) ([]LoginSummary, error) {
	found, err := s.logins(ctx, q)
	return found, wrap("analytics.SQL.Logins", err)
}

// loginConditions are those on logins of the query's tenants and period.
func loginConditions(q *LoginsQuery) *conditions {
	c := scoped(q.Scope, q.Tenants)
	c.and(`a.login_subject IS NOT NULL`)
	c.and(`a.created_at >= ?`, q.Period.From.UnixMicro())
	c.and(`a.created_at < ?`, q.Period.To.UnixMicro())
	if q.Subject != "" {
		c.and(`a.login_subject = ?`, q.Subject)
	}
	return c
}

const loginsFrom = ` FROM tenancy_activities a JOIN tenancy_usage_tenants t ON t.tenant_key = a.tenant_key WHERE `

func (s *SQL) logins(ctx context.Context, q *LoginsQuery) ([]LoginSummary, error) {
	c := loginConditions(q)
	found := []LoginSummary{}
	if c.none || c.err != nil {
		return found, c.err
	}
	subject := `a.login_subject`
	if s.dialect == sqlkit.Postgres { // or the order is that of the database's language
		subject += ` COLLATE "C"`
	}
	query := `SELECT id, subject, logins, failures, last_login, last_failure FROM (SELECT t.id AS id, ` + subject + ` AS subject,
		SUM(CASE WHEN a.login_ok <> 0 THEN a.times ELSE 0 END) AS logins, SUM(CASE WHEN a.login_ok = 0 THEN a.times ELSE 0 END) AS failures,
		MAX(CASE WHEN a.login_ok <> 0 THEN a.created_at END) AS last_login, MAX(CASE WHEN a.login_ok = 0 THEN a.created_at END) AS last_failure` +
		loginsFrom + c.String() + ` GROUP BY t.id, ` + subject + `) s`
	args, order := c.args, `id, subject`
	after := `(id > ? OR (id = ? AND subject > ?))`
	if q.ByFailures {
		order = `failures DESC, ` + order
		after = `(failures < ? OR (failures = ? AND ` + after + `))`
	}
	if p := q.After; p != nil {
		query += ` WHERE ` + after
		if q.ByFailures {
			args = append(args, p.Failures, p.Failures)
		}
		args = append(args, p.Tenant, p.Tenant, p.Subject)
	}
	err := s.each(ctx, s.db, query+` ORDER BY `+order+` LIMIT ?`, append(args, q.Limit), func(r *sql.Rows) error {
		var sum LoginSummary
		var login, failure orZero
		err := r.Scan(&sum.Tenant, &sum.Subject, (*orZero)(&sum.Logins), (*orZero)(&sum.Failures), &login, &failure)
		sum.LastLogin, sum.LastFailure = fromMicros(int64(login)), fromMicros(int64(failure))
		found = append(found, sum)
		return err
	})
	if err != nil || len(found) == 0 {
		return found, err
	}
	return found, s.loginAddresses(ctx, q, found)
}

// loginAddresses adds the addresses to the summaries. An attack has more of them than are
// read; then those that were used long ago are missing.
func (s *SQL) loginAddresses(ctx context.Context, q *LoginsQuery, found []LoginSummary) error {
	const most = 20_000
	all := newSummaries()
	var ids []tenancy.ID
	var subjects []string
	for i := range found {
		key := LoginPosition{Tenant: found[i].Tenant, Subject: found[i].Subject}
		all.see(key)
		ids, subjects = append(ids, found[i].Tenant), append(subjects, found[i].Subject)
	}
	slices.Sort(ids)
	c := loginConditions(&LoginsQuery{Scope: q.Scope, Tenants: slices.Compact(ids), Period: q.Period})
	c.in(`a.login_subject IN (?)`, subjects)
	c.and(`a.address <> ''`)
	if c.err != nil {
		return c.err
	}
	err := s.each(ctx, s.db, `SELECT t.id, a.login_subject, a.address, MAX(a.created_at) AS newest`+loginsFrom+c.String()+
		` GROUP BY t.id, a.login_subject, a.address ORDER BY newest DESC LIMIT ?`, append(c.args, most), func(r *sql.Rows) error {
		var key LoginPosition
		var address string
		var newest int64
		err := r.Scan(&key.Tenant, &key.Subject, &address, &newest)
		all.address(key, address, fromMicros(newest))
		return err
	})
	for i := range found {
		found[i].Addresses = all.addresses(LoginPosition{Tenant: found[i].Tenant, Subject: found[i].Subject})
	}
	return err
}
