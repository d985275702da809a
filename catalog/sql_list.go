package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// List selects with one statement, after another that counts, at most so far, what the
// conditions select: see [sqlStore.plan].
func (s *sqlStore) List(ctx context.Context, f tenancy.Filter) ([]*tenancy.Tenant, error) {
	all := conditionsOf(&f)
	order, err := s.order(&f)
	if err != nil {
		return nil, err
	}
	from, where, args, err := s.plan(ctx, all, order)
	if err != nil {
		return nil, err
	}
	if order.behind != "" {
		where, args = append(where, order.behind), append(args, order.args...)
	}
	return s.query(ctx, order.by, `SELECT `+columns+` FROM `+from+and(where)+` ORDER BY `+order.by+` LIMIT ?`, append(args, f.Limit)...)
}

// order is the order of a listing and the position at which it goes on.
type order struct {
	by     string // for ORDER BY
	index  string // which has it, as MySQL calls it
	behind string // the condition of what is behind the cursor, if there is one
	args   []any
}

// order returns the order of the filter.
func (s *sqlStore) order(f *tenancy.Filter) (order, error) {
	key, id, err := f.Position()
	if err != nil {
		return order{}, err
	}
	field, descending := f.Sort.Field()
	beyond, direction := `>`, ``
	if descending {
		beyond, direction = `<`, ` DESC`
	}
	if unique := map[tenancy.Sort]string{tenancy.SortID: `PRIMARY`, tenancy.SortSlug: `slug`}; unique[field] != "" {
		o := order{by: string(field) + direction, index: unique[field]}
		if id != "" {
			o.behind, o.args = string(field)+` `+beyond+` ?`, []any{key}
		}
		return o, nil
	}
	column := string(field)
	var value any = key
	switch field {
	case tenancy.SortCreated, tenancy.SortUpdated:
		column += "_at"
		if value, err = strconv.ParseInt(cmp.Or(key, "0"), 10, 64); err != nil {
			return order{}, fmt.Errorf("%w: cursor: %w", tenancy.ErrInvalid, err)
		}
	case tenancy.SortName:
		if s.dialect == sqlkit.Postgres { // as the others have it
			column = `name COLLATE "C"`
		}
	default:
	}
	o := order{by: column + direction + `, id` + direction, index: `tenancy_tenants_` + string(field)}
	switch {
	case id == "":
	case s.dialect == sqlkit.MySQL: // which finds no index for pairs
		o.behind, o.args = fmt.Sprintf(`(%s %s ? OR %[1]s = ? AND id %[2]s ?)`, column, beyond), []any{value, value, id}
	default:
		o.behind, o.args = fmt.Sprintf(`(%s, id) %s (?, ?)`, column, beyond), []any{value, id}
	}
	return o, nil
}

// ceilMicro rounds up, because what is stored has been cut to microseconds.
func ceilMicro(t time.Time) int64 {
	n := t.UnixMicro()
	if time.UnixMicro(n).Before(t) {
		n++
	}
	return n
}

// query returns the tenants that the inner query selects, with their domains, in
// that order, which ends with the ID, in one round trip.
func (s *sqlStore) query(ctx context.Context, order, inner string, args ...any) ([]*tenancy.Tenant, error) {
	rows, err := s.db.QueryContext(ctx, s.dialect.Rebind(withDomains(order, inner)), args...)
	if err != nil {
		return nil, err
	}
	return readTenants(rows)
}

// withDomains returns the inner query's tenants with a row for each domain.
func withDomains(order, inner string) string {
	return `SELECT t.*, d.domain FROM (` + inner + `) t LEFT JOIN tenancy_domains d ON d.tenant_id = t.id ORDER BY ` + order + `, d.domain`
}

// readTenants reads the rows of [withDomains], and closes them.
func readTenants(rows *sql.Rows) (found []*tenancy.Tenant, err error) {
	defer func() { err = cmp.Or(err, rows.Close()) }()
	for rows.Next() {
		t, domain, err := scan(rows)
		if err != nil {
			return nil, err
		}
		if n := len(found); n == 0 || found[n-1].ID != t.ID {
			found = append(found, t)
		}
		if domain.Valid {
			last := found[len(found)-1]
			last.Domains = append(last.Domains, domain.String)
		}
	}
	return found, rows.Err()
}
