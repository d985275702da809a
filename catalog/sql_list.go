package catalog

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// conditions are those of a statement, which all must hold.
type conditions struct {
	where []string
	args  []any
}

func (c *conditions) and(condition string, args ...any) {
	c.where, c.args = append(c.where, condition), append(c.args, args...)
}

// in adds a condition on one of several values, if there are any.
func in[T any](c *conditions, condition string, values []T) error {
	if len(values) == 0 {
		return nil
	}
	query, args, err := sqlx.In(condition, values)
	if err != nil {
		return err
	}
	c.and(query, args...)
	return nil
}

// List selects with one statement.
func (s *sqlStore) List(ctx context.Context, f tenancy.Filter) ([]*tenancy.Tenant, error) {
	c := conditions{where: []string{`1 = 1`}}
	if err := c.filter(&f); err != nil {
		return nil, err
	}
	order, err := s.order(&c, &f)
	if err != nil {
		return nil, err
	}
	return s.query(ctx, order, `SELECT `+columns+` FROM tenancy_tenants WHERE `+strings.Join(c.where, ` AND `)+
		` ORDER BY `+order+` LIMIT ?`, append(c.args, f.Limit)...)
}

// filter adds the conditions of the filter and its scope.
func (c *conditions) filter(f *tenancy.Filter) error {
	if f.Plan != "" {
		c.and(`plan = ?`, f.Plan)
	}
	if f.Server != "" {
		c.and(`server = ?`, f.Server)
	}
	if f.Text != "" {
		c.and(`search_text LIKE ? ESCAPE '!'`, "%"+strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(f.Text)+"%")
	}
	if !f.CreatedFrom.IsZero() {
		c.and(`created_at >= ?`, ceilMicro(f.CreatedFrom))
	}
	if !f.CreatedBefore.IsZero() {
		c.and(`created_at < ?`, ceilMicro(f.CreatedBefore))
	}
	if f.SchemaFrom > 0 {
		c.and(`schema_version >= ?`, f.SchemaFrom)
	}
	if f.SchemaBefore > 0 {
		c.and(`schema_version < ?`, f.SchemaBefore)
	}
	const tagged = `id IN (SELECT tenant_id FROM tenancy_tags WHERE tag IN (?))`
	err := cmp.Or(in(c, `status IN (?)`, f.Status), in(c, `id IN (?)`, f.IDs), in(c, tagged, f.Tags))
	if f.Scope != nil && !f.Scope.IsAll() {
		err = cmp.Or(err, in(c, `id IN (?)`, f.Scope.IDs()), in(c, tagged, f.Scope.Tags()))
	}
	return err
}

// order returns the order of the filter, and adds the condition that begins behind
// its cursor.
func (s *sqlStore) order(c *conditions, f *tenancy.Filter) (string, error) {
	key, id, err := f.Position()
	if err != nil {
		return "", err
	}
	field, descending := f.Sort.Field()
	beyond, direction := `>`, ``
	if descending {
		beyond, direction = `<`, ` DESC`
	}
	if field == tenancy.SortID {
		if id != "" {
			c.and(`id `+beyond+` ?`, id)
		}
		return `id` + direction, nil
	}
	column := string(field)
	var value any = key
	switch field {
	case tenancy.SortCreated, tenancy.SortUpdated:
		column += "_at"
		if value, err = strconv.ParseInt(cmp.Or(key, "0"), 10, 64); err != nil {
			return "", fmt.Errorf("%w: cursor: %w", tenancy.ErrInvalid, err)
		}
	case tenancy.SortName:
		if s.dialect == sqlkit.Postgres { // as the others have it
			column = `name COLLATE "C"`
		}
	default:
	}
	if id != "" {
		c.and(fmt.Sprintf(`%s %s= ? AND (%[1]s %[2]s ? OR id > ?)`, column, beyond), value, value, id)
	}
	return column + direction + `, id`, nil
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
func (s *sqlStore) query(ctx context.Context, order, inner string, args ...any) (found []*tenancy.Tenant, err error) {
	rows, err := s.db.QueryContext(ctx, s.dialect.Rebind(
		`SELECT t.*, d.domain FROM (`+inner+`) t LEFT JOIN tenancy_domains d ON d.tenant_id = t.id ORDER BY `+order+`, d.domain`), args...)
	if err != nil {
		return nil, err
	}
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
