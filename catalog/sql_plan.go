package catalog

import (
	"context"
	"fmt"
	"strings"

	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// few is how many tenants are read and sorted for a page without looking for a better
// way. Of 100,000 tenants, a page of 100 of those that more than so many meet is full
// after less than 7,000 rows in the order of the listing, if they are spread evenly.
const few = 1500

// plan returns what a page is selected from and under which conditions. Engines guess
// badly how many tenants a condition selects, and those that keep no statistics guess
// always, so the rarest condition is counted up to few and the way is ours: with few
// tenants theirs are read and sorted, otherwise tenants are read in the listing's order
// until the page is full.
func (s *sqlStore) plan(ctx context.Context, all []condition, o order) (from string, where []string, args []any, err error) {
	rarest, err := s.rarest(ctx, all)
	if err != nil {
		return "", nil, nil, err
	}
	from = `tenancy_tenants`
	if rarest >= 0 {
		hits := `(SELECT DISTINCT ` + strings.TrimPrefix(all[rarest].ids(), `SELECT `) + `) hits `
		from = hits + map[sqlkit.Dialect]string{
			sqlkit.Postgres: `CROSS JOIN LATERAL (SELECT * FROM tenancy_tenants WHERE id = hit OFFSET 0) tenancy_tenants`, // not the whole table, hashed
			sqlkit.MySQL:    `STRAIGHT_JOIN tenancy_tenants ON id = hit`,
			sqlkit.SQLite:   `CROSS JOIN tenancy_tenants ON id = hit`,
		}[s.dialect]
		args = append(args, all[rarest].args...)
	} else if s.dialect == sqlkit.MySQL {
		from += ` FORCE INDEX (` + o.index + `)`
	}
	for i := range all {
		if i != rarest {
			where, args = append(where, s.check(&all[i])), append(args, all[i].args...)
		}
	}
	return from, where, args, nil
}

// check returns a condition that is asked of one tenant after the other, and by which the
// engine does not look for tenants.
func (s *sqlStore) check(c *condition) string {
	switch {
	case c.table != "":
		return `(SELECT EXISTS (SELECT 1 FROM ` + c.table + ` WHERE tenant_id = tenancy_tenants.id AND ` + c.text(``) + `))`
	case s.dialect == sqlkit.SQLite:
		return c.text(`+`)
	}
	return c.text(``)
}

// rarest returns the index of the condition that the fewest tenants meet, if they are
// few, and otherwise -1.
func (s *sqlStore) rarest(ctx context.Context, all []condition) (int, error) {
	best, least := -1, s.few+1
	var counts []string
	var args []any
	for i, c := range all {
		if c.most > 0 && c.most < least {
			best, least = i, c.most
		}
		counts = append(counts, fmt.Sprintf(`SELECT %d AS place, COUNT(*) AS n FROM (%s LIMIT %d) few%[1]d`, i, c.ids(), s.few+1))
		args = append(args, c.args...)
	}
	if len(all) == 0 || best >= 0 {
		return best, nil
	}
	var rows []struct {
		Place int `db:"place"`
		N     int `db:"n"`
	}
	if err := s.db.SelectContext(ctx, &rows, s.dialect.Rebind(strings.Join(counts, ` UNION ALL `)), args...); err != nil {
		return 0, err
	}
	for _, row := range rows {
		if row.N < least || row.N == least && row.Place < best {
			best, least = row.Place, row.N
		}
	}
	return best, nil
}
