package tenancy

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Field is a field of the text form of filters, beside those of the tenant's
// record: see [ParseFilter].
type Field struct {
	// Name is a word of a-z, 0-9, hyphens, underscores and dots.
	Name string
	Kind FieldKind
}

// FieldKind says which values a field has.
type FieldKind uint8

// The kinds of fields.
const (
	// FieldText has texts, which are equal to one of several or are not.
	FieldText FieldKind = iota
	// FieldNumber has numbers.
	FieldNumber
	// FieldTime has days in UTC, such as 2026-01-31, and times as RFC 3339 has them.
	FieldTime
)

// Op says how a term compares.
type Op string

// The operators of terms. Texts know only OpIs.
const (
	OpIs      Op = "="  // is one of the values
	OpMore    Op = ">"  // is more than the value
	OpAtLeast Op = ">=" // is the value or more
	OpLess    Op = "<"  // is less than the value
	OpAtMost  Op = "<=" // is the value or less
	OpBetween Op = ".." // is one of the two values or between them
)

// Term is a condition on a field that the application or another package added.
type Term struct {
	Field string    `json:"field"`
	Kind  FieldKind `json:"kind"`
	Op    Op        `json:"op"`
	// Values are one or more with OpIs, two with OpBetween, and one otherwise.
	Values []string `json:"values"`
}

// Number returns the i-th value of a term on a number. Others are zero.
func (t *Term) Number(i int) float64 {
	if t.Kind != FieldNumber || i >= len(t.Values) {
		return 0
	}
	n, _ := parseNumber(t.Values[i])
	return n
}

// Times returns the times that a term on a time includes: from ≤ t < before. A
// zero time does not bound. Of several values, it is those of the first.
func (t *Term) Times() (from, before time.Time) {
	if t.Kind != FieldTime || len(t.Values) == 0 {
		return from, before
	}
	start, end, _ := parseTime(t.Values[0])
	switch t.Op {
	case OpMore:
		return end, time.Time{}
	case OpAtLeast:
		return start, time.Time{}
	case OpLess:
		return time.Time{}, start
	case OpAtMost:
		return time.Time{}, end
	case OpBetween:
		if len(t.Values) > 1 {
			_, end, _ = parseTime(t.Values[1])
		}
	case OpIs:
	}
	return start, end
}

// versions returns the whole numbers that a term on versions includes: from ≤ v <
// before, where a zero before does not bound.
func (t *Term) versions() (from, before int64, err error) {
	var values [2]int64
	for i, v := range t.Values {
		if i >= len(values) || i > 0 && t.Op != OpBetween {
			return 0, 0, fmt.Errorf("want one version, or a range such as 3..12")
		}
		if values[i], err = strconv.ParseInt(v, 10, 64); err != nil || values[i] < 0 || v[0] == '+' {
			return 0, 0, fmt.Errorf("%.40q is no version: want a whole number", v)
		}
	}
	first, last := values[0], values[0]
	switch t.Op {
	case OpMore:
		if first == math.MaxInt64 {
			return 0, 0, fmt.Errorf("there is no version behind %d", first)
		}
		first, last = first+1, math.MaxInt64
	case OpAtLeast:
		last = math.MaxInt64
	case OpLess:
		if last == 0 {
			return 0, 0, fmt.Errorf("there is no version before 0")
		}
		first, last = 0, last-1
	case OpAtMost:
		first = 0
	case OpBetween:
		last = values[1]
	case OpIs:
	}
	if last == math.MaxInt64 {
		return first, 0, nil
	}
	return first, last + 1, nil
}

// check reports why the term's operator or values are not the field's.
func (t *Term) check() error {
	if t.Kind == FieldText && t.Op != OpIs {
		return fmt.Errorf("%s is a text: want %s:value", t.Field, t.Field)
	}
	for _, v := range t.Values {
		var err error
		switch t.Kind {
		case FieldNumber:
			_, err = parseNumber(v)
		case FieldTime:
			_, _, err = parseTime(v)
		case FieldText:
		}
		if err != nil {
			return err
		}
	}
	if t.Kind == FieldTime && len(t.Values) > 1 && t.Op == OpIs {
		return fmt.Errorf("%s is a time: want one, or a range such as 2026-01-01..2026-01-31", t.Field)
	}
	if t.Op != OpBetween {
		return nil
	}
	from, before := t.Times()
	if t.Kind == FieldTime && !from.Before(before) || t.Kind == FieldNumber && t.Number(0) > t.Number(1) {
		return fmt.Errorf("the range ends before it begins")
	}
	return nil
}

func parseNumber(s string) (float64, error) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || strings.ContainsAny(s, "xX_pP") {
		return 0, fmt.Errorf("%.40q is no number", s)
	}
	return n, nil
}

// parseTime returns the beginning of a day or microsecond, and the beginning of the next. Neither is after the
// last year of four digits.
func parseTime(s string) (start, end time.Time, err error) {
	last := time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	if start, err = time.Parse(time.DateOnly, s); err == nil {
		end = start.AddDate(0, 0, 1)
	} else {
		start, err = time.Parse(time.RFC3339Nano, strings.ToUpper(s))
		start = start.UTC().Truncate(time.Microsecond)
		end = start.Add(time.Microsecond)
	}
	if err != nil || !start.After(time.Time{}) || start.After(last) { // the zero time bounds nothing
		return time.Time{}, time.Time{}, fmt.Errorf("%.40q is no time: want a day such as 2026-01-31, or 2026-01-31T23:59:59Z", s)
	}
	if end.After(last) {
		end = last
	}
	return start, end, nil
}

// isFieldName reports whether a text may be the name of a field.
func isFieldName(s string) bool {
	return s != "" && len(s) <= maxPairKey && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}

// recordFields are the fields of the tenant's record.
func recordFields() []Field {
	return []Field{
		{"status", FieldText}, {"plan", FieldText}, {"tag", FieldText}, {"id", FieldText}, {"server", FieldText},
		{"created", FieldTime}, {"schema", FieldNumber}, {"sort", FieldText},
	}
}

// allFields returns the fields of the record and those that were added.
func allFields(added []Field) (map[string]Field, error) {
	all := map[string]Field{}
	for _, f := range slices.Concat(recordFields(), added) {
		if _, twice := all[f.Name]; twice || !isFieldName(f.Name) || f.Kind > FieldTime {
			return nil, fmt.Errorf("%w: field %.80q of filters: another one has the name, the name is malformed, or the kind is unknown", ErrInvalid, f.Name)
		}
		all[f.Name] = f
	}
	return all, nil
}
