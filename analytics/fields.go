package analytics

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Fields returns the fields of usage, for [tenancy.ParseFilter]: those of all columns,
// errors and storage, each column also with the end _1h, _24h, _7d, _30d or _90d.
func Fields() []tenancy.Field {
	fields := []tenancy.Field{{Name: FigureStorage, Kind: tenancy.FieldNumber}}
	for _, name := range append(columnNames(), FigureErrors) {
		fields = append(fields, tenancy.Field{Name: name, Kind: tenancy.FieldNumber})
		for span := range spans() {
			fields = append(fields, tenancy.Field{Name: name + "_" + span, Kind: tenancy.FieldNumber})
		}
	}
	slices.SortFunc(fields, func(a, b tenancy.Field) int { return strings.Compare(a.Name, b.Name) })
	return fields
}

func columnNames() []string {
	names := make([]string, 0, numColumns)
	for _, c := range Columns() {
		names = append(names, c.String())
	}
	return names
}

// SortLimitReached is the order of tenants by when the first of their limits is reached, as
// was forecast; those of which that is not known are last.
const SortLimitReached = "limit_reached"

// field is what tenants are sorted and filtered by.
type field struct {
	text    string // the column of the tenants' table, if it is one of texts
	number  string // the same, if it is one of numbers
	column  Column // of usage, if neither is set
	span    time.Duration
	isUsage bool
}

// parseField returns the field of that name. Another name is an error that wraps
// [tenancy.ErrInvalid].
func parseField(name string) (field, error) {
	switch name {
	case "", "id", "slug", "name", "status", "plan", "server":
		if name == "" {
			name = "id"
		}
		return field{text: name}, nil
	case "created":
		return field{number: "created_at"}, nil
	case FigureStorage:
		return field{number: "storage"}, nil
	case SortLimitReached:
		return field{number: "limit_earliest"}, nil
	}
	f := field{isUsage: true}
	base := name
	for end, span := range spans() {
		if rest, ok := strings.CutSuffix(name, "_"+end); ok {
			base, f.span = rest, span
		}
	}
	if base == FigureErrors {
		f.column = Status5xx
		return f, nil
	}
	var err error
	if f.column, err = ParseColumn(base); err != nil {
		return f, fmt.Errorf("%w: no field is called %.60q", tenancy.ErrInvalid, name)
	}
	return f, nil
}

// period returns the period of a field of usage.
func (f field) period(p Period, now time.Time) Period {
	if f.span == 0 {
		return p
	}
	return Period{now.Add(-f.span), now}
}

// condition is a term on a field: whole numbers in one of some ranges. A term may have fractions, which a
// database would round, or numbers beyond those that a column holds, which it would refuse.
type condition struct {
	field  field
	ranges []numberRange
}

// numberRange is the numbers from least to most, both included.
type numberRange struct{ least, most int64 }

// conditionsOf returns the terms of a filter with their fields. A term on a field that is
// none, or of texts, is an error that wraps [tenancy.ErrInvalid].
func conditionsOf(terms []tenancy.Term) ([]condition, error) {
	var out []condition
	for _, t := range terms {
		f, err := parseField(t.Field)
		if err != nil {
			return nil, err
		}
		if f.text != "" || t.Kind != tenancy.FieldNumber || len(t.Values) == 0 || t.Op == tenancy.OpBetween && len(t.Values) != 2 {
			return nil, fmt.Errorf("%w: a condition on %.60q: want a number", tenancy.ErrInvalid, t.Field)
		}
		out = append(out, condition{f, rangesOf(t)})
	}
	return out, nil
}

// rangesOf returns the whole numbers that meet a term, in no range if there are none.
func rangesOf(t tenancy.Term) []numberRange {
	n := t.Number(0)
	switch t.Op {
	case tenancy.OpMore:
		return numbers(math.Floor(n)+1, math.Inf(1))
	case tenancy.OpAtLeast:
		return numbers(math.Ceil(n), math.Inf(1))
	case tenancy.OpLess:
		return numbers(math.Inf(-1), math.Ceil(n)-1)
	case tenancy.OpAtMost:
		return numbers(math.Inf(-1), math.Floor(n))
	case tenancy.OpBetween:
		return numbers(math.Ceil(n), math.Floor(t.Number(1)))
	case tenancy.OpIs:
	}
	var out []numberRange
	for i := range t.Values {
		n := t.Number(i)
		out = append(out, numbers(math.Ceil(n), math.Floor(n))...)
	}
	return out
}

// numbers returns the range between two whole numbers, or none. The ends are cut to those of an int64.
func numbers(least, most float64) []numberRange {
	const end = 1 << 63 // the first one that an int64 does not hold
	if least > most || least >= end || most < -end {
		return nil
	}
	r := numberRange{math.MinInt64, math.MaxInt64}
	if least > -end {
		r.least = int64(least)
	}
	if most < end {
		r.most = int64(most)
	}
	return []numberRange{r}
}

// holds reports whether a value meets the condition.
func (c *condition) holds(value int64) bool {
	return slices.ContainsFunc(c.ranges, func(r numberRange) bool { return r.least <= value && value <= r.most })
}

// sql returns the condition on an expression.
func (c *condition) sql(expression string) (string, []any) {
	each, args := []string{`1 = 0`}, []any(nil)
	for _, r := range c.ranges {
		each, args = append(each, expression+` BETWEEN ? AND ?`), append(args, r.least, r.most)
	}
	return `(` + strings.Join(each, ` OR `) + `)`, args
}
