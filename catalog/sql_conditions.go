package catalog

import (
	"strings"

	"github.com/artflow-studio/tenancy"
)

// condition is one condition of a filter: tests of a column, which all must hold.
type condition struct {
	table  string // of names of tenants; empty: tenancy_tenants
	column string
	tests  []string
	args   []any
	most   int // how many tenants it selects at most; 0: not known
}

// maxRune is behind all characters that a word may have.
const maxRune = "\U0010ffff"

// conditionsOf returns the conditions of the filter and its scope.
func conditionsOf(f *tenancy.Filter) (all []condition) {
	add := func(table, column string, tests []string, args ...any) {
		if len(tests) > 0 {
			all = append(all, condition{table: table, column: column, tests: tests, args: args})
		}
	}
	add("", "status", in(f.Status), anys(f.Status)...)
	add("", "id", in(f.IDs), anys(f.IDs)...)
	add("tenancy_tags", "tag", in(f.Tags), anys(f.Tags)...)
	if f.Scope != nil && !f.Scope.IsAll() {
		add("", "id", in(f.Scope.IDs()), anys(f.Scope.IDs())...)
		add("tenancy_tags", "tag", in(f.Scope.Tags()), anys(f.Scope.Tags())...)
	}
	if f.Plan != "" {
		add("", "plan", []string{`= ?`}, f.Plan)
	}
	if f.Server != "" {
		add("", "server", []string{`= ?`}, f.Server)
	}
	for _, word := range f.Words() {
		add("tenancy_words", "word", []string{`>= ?`, `< ?`}, word, word+maxRune)
	}
	var from, before int64
	if !f.CreatedFrom.IsZero() {
		from = ceilMicro(f.CreatedFrom)
	}
	if !f.CreatedBefore.IsZero() {
		before = ceilMicro(f.CreatedBefore)
	}
	tests, args := between(!f.CreatedFrom.IsZero(), from, !f.CreatedBefore.IsZero(), before)
	add("", "created_at", tests, args...)
	tests, args = between(f.SchemaFrom > 0, f.SchemaFrom, f.SchemaBefore > 0, f.SchemaBefore)
	add("", "schema_version", tests, args...)
	for i := range all {
		if all[i].column == "id" {
			all[i].most = len(all[i].args)
		}
	}
	return all
}

// in returns the test of one of several values; none without values.
func in[T any](values []T) []string {
	if len(values) == 0 {
		return nil
	}
	return []string{`IN (` + strings.TrimSuffix(strings.Repeat(`?, `, len(values)), `, `) + `)`}
}

// between returns the tests of the bounds that there are.
func between(hasFrom bool, from int64, hasBefore bool, before int64) (tests []string, args []any) {
	if hasFrom {
		tests, args = append(tests, `>= ?`), append(args, from)
	}
	if hasBefore {
		tests, args = append(tests, `< ?`), append(args, before)
	}
	return tests, args
}

func anys[T any](values []T) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

// text returns the tests with something in front of the column.
func (c *condition) text(front string) string {
	parts := make([]string, len(c.tests))
	for i, test := range c.tests {
		parts[i] = front + c.column + ` ` + test
	}
	return strings.Join(parts, ` AND `)
}

// ids returns a query of the IDs of the tenants that meet the condition.
func (c *condition) ids() string {
	if c.table == "" {
		return `SELECT id AS hit FROM tenancy_tenants WHERE ` + c.text(``)
	}
	return `SELECT tenant_id AS hit FROM ` + c.table + ` WHERE ` + c.text(``)
}

// plain returns the condition for a WHERE of tenancy_tenants.
func (c *condition) plain() string {
	if c.table == "" {
		return c.text(``)
	}
	return `id IN (` + c.ids() + `)`
}

// and returns the WHERE of all the conditions; nothing without any.
func and(conditions []string) string {
	if len(conditions) == 0 {
		return ``
	}
	return ` WHERE ` + strings.Join(conditions, ` AND `)
}
