package analytics

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

const (
	statementsTable     = "tenancy_usage_statements"    // of instances and hours
	statementDaysTable  = "tenancy_usage_statements_1d" // of days that were rolled up
	statementTextsTable = "tenancy_usage_texts"
)

// stateStatements is the name of the state's row that says up to which day statements were
// rolled up.
const stateStatements = "statements"

// writeStatements writes those that are newer than what is there, and texts that are not.
func (s *SQL) writeStatements(ctx context.Context, tx *sqlx.Tx, parts []StatementPart, keys map[tenancy.ID]int64, now time.Time) error {
	if len(parts) == 0 {
		return nil
	}
	rows := make([][]any, 0, len(parts))
	texts := map[int64]string{}
	for i := range parts {
		p := &parts[i]
		texts[p.Fingerprint] = p.Text
		rows = append(rows, []any{keys[p.Tenant], p.Start.UnixMicro(), p.Source, p.Fingerprint, p.Revision, p.Calls, p.Errors, p.Time.Microseconds(), p.Longest.Microseconds()})
	}
	slices.SortFunc(rows, func(a, b []any) int {
		return cmp.Or(cmp.Compare(a[0].(int64), b[0].(int64)), cmp.Compare(a[1].(int64), b[1].(int64)), cmp.Compare(a[2].(int64), b[2].(int64)), cmp.Compare(a[3].(int64), b[3].(int64)))
	})
	head, tail := s.upsert(statementsTable, []string{"tenant_key", "bucket", "source", "fingerprint"}, []string{"revision", "calls", "errors", "total_time", "longest"}, "revision")
	if err := s.insert(ctx, tx, head, tail, rows); err != nil {
		return err
	}
	return s.writeTexts(ctx, tx, texts, now)
}

// writeTexts writes the texts that are not there, and once a day that a text was seen.
func (s *SQL) writeTexts(ctx context.Context, tx *sqlx.Tx, texts map[int64]string, now time.Time) error {
	ids := make([]int64, 0, len(texts))
	for id := range texts {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	fresh := map[int64]bool{}
	recent := fmt.Sprintf(`SELECT fingerprint FROM `+statementTextsTable+` WHERE seen_at > %d AND fingerprint IN (?)`, now.Add(-day).UnixMicro())
	err := in(ctx, s, tx, recent, ids, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		fresh[id] = true
		return err
	})
	if err != nil {
		return err
	}
	var rows [][]any
	for _, id := range ids {
		if !fresh[id] {
			rows = append(rows, []any{id, texts[id], now.UnixMicro()})
		}
	}
	head, tail := s.upsert(statementTextsTable, []string{"fingerprint"}, []string{"text", "seen_at"}, "seen_at")
	return s.insert(ctx, tx, head, tail, rows)
}

var _ StatementSource = (*SQL)(nil)

// Statements implements [StatementSource].
func (s *SQL) Statements(ctx context.Context, q *StatementsQuery) ([]StatementRow, error) {
	rows, err := s.slowStatements(ctx, q)
	return rows, wrap("analytics.SQL.Statements", err)
}

func (s *SQL) slowStatements(ctx context.Context, q *StatementsQuery) ([]StatementRow, error) {
	c := scoped(q.Scope, q.Tenants)
	if c.none || c.err != nil {
		return nil, c.err
	}
	var done int64
	if err := sqlx.GetContext(ctx, s.db, &done, s.dialect.Rebind(`SELECT value FROM tenancy_usage_state WHERE name = ?`), stateStatements); err != nil {
		return nil, err
	}
	upTo := time.UnixMicro(done).UTC()
	found := map[statementKey]*StatementRow{}
	for _, piece := range []statementPiece{
		{statementDaysTable, q.Period.From.Truncate(day), earlier(q.Period.To, upTo)},
		{statementsTable, later(q.Period.From, upTo), q.Period.To},
	} {
		if !piece.from.Before(piece.to) {
			continue
		}
		// The longest of both pieces together are among the longest of each.
		longest, err := s.longestStatements(ctx, c, piece, q.Limit)
		if err == nil {
			err = s.addStatements(ctx, c, piece, longest, found)
		}
		if err != nil {
			return nil, err
		}
	}
	rows := make([]StatementRow, 0, len(found))
	for _, row := range found {
		rows = append(rows, *row)
	}
	return slowest(rows, q.Limit), nil
}

// statementPiece is what rows of statements are read from.
type statementPiece struct {
	table    string
	from, to time.Time
}

// sql returns what the piece is read from, with its conditions, and their arguments.
func (p *statementPiece) sql(c *conditions) (from string, args []any) {
	return ` FROM ` + p.table + ` u JOIN tenancy_usage_tenants t ON t.tenant_key = u.tenant_key WHERE ` + c.String() + ` AND u.bucket >= ? AND u.bucket < ?`,
		append(slices.Clone(c.args), p.from.UnixMicro(), p.to.UnixMicro())
}

// longestStatements returns the statements with the longest executions, with the keys of their
// tenants. They are those of the first rows in that order: a few rows are found much faster
// than all are added up, and only if they are of too few statements more are read.
func (s *SQL) longestStatements(ctx context.Context, c *conditions, piece statementPiece, limit int) (map[statementKey]int64, error) {
	from, args := piece.sql(c)
	query := `SELECT t.id, u.fingerprint, u.tenant_key` + from + ` ORDER BY u.longest DESC, t.id, u.fingerprint LIMIT ?`
	for most := 4 * limit; ; most *= 8 {
		longest := map[statementKey]int64{}
		n := 0
		err := s.each(ctx, s.db, query, append(slices.Clone(args), most), func(r *sql.Rows) error {
			var k statementKey
			var tenant int64
			if err := r.Scan(&k.tenant, &k.fingerprint, &tenant); err != nil {
				return err
			}
			if n++; len(longest) < limit {
				longest[k] = tenant
			}
			return nil
		})
		if err != nil || len(longest) == limit || n < most {
			return longest, err
		}
	}
}

// addStatements adds the sums of those statements to what was found.
func (s *SQL) addStatements(ctx context.Context, c *conditions, piece statementPiece, longest map[statementKey]int64, found map[statementKey]*StatementRow) error {
	if len(longest) == 0 {
		return nil
	}
	var tenants, texts []int64
	for k, tenant := range longest {
		tenants, texts = append(tenants, tenant), append(texts, k.fingerprint)
	}
	these := &conditions{all: slices.Clone(c.all), args: slices.Clone(c.args)}
	these.in(`u.tenant_key IN (?)`, tenants)
	these.in(`u.fingerprint IN (?)`, texts)
	if these.err != nil {
		return these.err
	}
	from, args := piece.sql(these)
	query := `SELECT g.id, g.fingerprint, x.text, g.calls, g.errors, g.total_time, g.longest FROM (
			SELECT t.id AS id, u.fingerprint AS fingerprint, SUM(u.calls) AS calls, SUM(u.errors) AS errors, SUM(u.total_time) AS total_time, MAX(u.longest) AS longest` +
		from + ` GROUP BY t.id, u.fingerprint
		) g JOIN ` + statementTextsTable + ` x ON x.fingerprint = g.fingerprint`
	return s.each(ctx, s.db, query, args, func(r *sql.Rows) error {
		var row StatementRow
		var time, longestOf int64
		if err := r.Scan(&row.Tenant, &row.Fingerprint, &row.Text, &row.Calls, &row.Errors, &time, &longestOf); err != nil {
			return err
		}
		row.Time, row.Longest = micro(time), micro(longestOf)
		k := statementKey{tenant: row.Tenant, fingerprint: row.Fingerprint}
		if _, ok := longest[k]; !ok { // another pair of one's tenant and one's text
			return nil
		}
		if found[k] == nil {
			found[k] = &StatementRow{}
		}
		found[k].add(&row)
		return nil
	})
}

// rollUpStatements makes a row for each tenant, day and statement of those of instances and
// hours, once hours are kept no longer.
func (u *upkeep) rollUpStatements(ctx context.Context) error {
	for {
		more, err := u.rollUpStatementDay(ctx)
		if err != nil || !more {
			return err
		}
	}
}

func (u *upkeep) rollUpStatementDay(ctx context.Context) (more bool, err error) {
	state, values, err := u.s.marks(ctx)
	if err != nil {
		return false, err
	}
	var first sql.NullInt64
	done := values[stateStatements]
	if err := sqlx.GetContext(ctx, u.s.db, &first, u.s.dialect.Rebind(`SELECT MIN(bucket) FROM `+statementsTable+` WHERE bucket >= ?`), done); err != nil || !first.Valid {
		return false, err
	}
	from := time.UnixMicro(first.Int64).UTC().Truncate(day)
	to := from.Add(day)
	if to.After(state.Now.Add(-keepMinutes)) {
		return false, nil
	}
	ranges, err := u.ranges(ctx)
	if err != nil {
		return false, err
	}
	for _, r := range ranges {
		if err := u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return u.rollUpSomeStatements(ctx, tx, from, to, r) }); err != nil {
			return false, err
		}
	}
	return true, u.tx(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return u.s.setState(ctx, tx, stateStatements, to) })
}

// rollUpSomeStatements makes the rows of a day of some tenants. Nobody reads them yet.
func (u *upkeep) rollUpSomeStatements(ctx context.Context, tx *sqlx.Tx, from, to time.Time, r keyRange) error {
	_, err := tx.ExecContext(ctx, u.s.dialect.Rebind(`DELETE FROM `+statementDaysTable+` WHERE tenant_key > ? AND tenant_key <= ? AND bucket = ?`), r.after, r.last, from.UnixMicro())
	if err != nil {
		return err
	}
	integer := `BIGINT`
	if u.s.dialect == sqlkit.MySQL {
		integer = `SIGNED`
	}
	query := fmt.Sprintf(`INSERT INTO %s (tenant_key, bucket, fingerprint, calls, errors, total_time, longest)
		SELECT tenant_key, %d, fingerprint, CAST(calls AS %[3]s), CAST(errors AS %[3]s), CAST(total_time AS %[3]s), longest FROM (
			SELECT s.*, ROW_NUMBER() OVER (PARTITION BY tenant_key ORDER BY longest DESC, fingerprint) AS place FROM (
				SELECT tenant_key, fingerprint, SUM(calls) AS calls, SUM(errors) AS errors, SUM(total_time) AS total_time, MAX(longest) AS longest FROM %[4]s
				WHERE tenant_key > ? AND tenant_key <= ? AND bucket >= ? AND bucket < ? GROUP BY tenant_key, fingerprint
			) s
		) p WHERE place <= ?`, statementDaysTable, from.UnixMicro(), integer, statementsTable)
	_, err = tx.ExecContext(ctx, u.s.dialect.Rebind(query), r.after, r.last, from.UnixMicro(), to.UnixMicro(), maxStatements)
	return err
}

// add merges the counts of another row of the same statement.
func (r *StatementRow) add(o *StatementRow) {
	r.Tenant, r.Fingerprint, r.Text = o.Tenant, o.Fingerprint, o.Text
	r.Calls, r.Errors = add(r.Calls, o.Calls), add(r.Errors, o.Errors)
	r.Time, r.Longest = r.Time+o.Time, max(r.Longest, o.Longest)
}

// micro returns the duration of microseconds.
func micro(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
