package analytics

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// insertArrays is insert with an argument for each column instead of one for each value,
// which PostgreSQL takes in a fraction of the time.
func (s *SQL) insertArrays(ctx context.Context, tx sqlx.ExecerContext, head, tail string, rows [][]any) error {
	const atOnce = 5000
	for len(rows) > 0 {
		n := min(atOnce, len(rows))
		var selected, names, types []string
		var args []any
		for column := range rows[0] {
			kind, values, err := array(rows[:n], column)
			if err != nil {
				return err
			}
			if values == nil {
				selected = append(selected, `NULL`)
				continue
			}
			name := fmt.Sprintf(`c%d`, column)
			args = append(args, values)
			selected, names, types = append(selected, name), append(names, name), append(types, fmt.Sprintf(`$%d::%s[]`, len(args), kind))
		}
		query := fmt.Sprintf(`%s SELECT %s FROM unnest(%s) AS u(%s)%s`, strings.TrimSuffix(head, `VALUES `), strings.Join(selected, `, `),
			strings.Join(types, `, `), strings.Join(names, `, `), tail)
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// array returns the values of a column, and the type of PostgreSQL that they have. Nil is
// NULL; if all are, there is no array.
func array(rows [][]any, column int) (kind string, values any, err error) {
	for _, row := range rows {
		switch row[column].(type) {
		case nil:
			continue
		case []byte:
			return "bytea", arrayOf(rows, column, func(v any) []byte { return v.([]byte) }), nil
		case int64, int:
			return "bigint", pointers(rows, column, func(v any) int64 {
				if n, ok := v.(int); ok {
					return int64(n)
				}
				return v.(int64)
			}), nil
		case float64:
			return "double precision", pointers(rows, column, func(v any) float64 { return v.(float64) }), nil
		case string:
			return "text", pointers(rows, column, func(v any) string { return v.(string) }), nil
		case tenancy.ID:
			return "text", pointers(rows, column, func(v any) string { return string(v.(tenancy.ID)) }), nil
		case tenancy.Status:
			return "text", pointers(rows, column, func(v any) string { return string(v.(tenancy.Status)) }), nil
		default:
			return "", nil, fmt.Errorf("a column of type %T, which no array is made of", row[column])
		}
	}
	return "", nil, nil
}

func arrayOf[T any](rows [][]any, column int, of func(any) T) []T {
	all := make([]T, len(rows))
	for i, row := range rows {
		if row[column] != nil {
			all[i] = of(row[column])
		}
	}
	return all
}

func pointers[T any](rows [][]any, column int, of func(any) T) []*T {
	values, all := arrayOf(rows, column, of), make([]*T, len(rows))
	for i, row := range rows {
		if row[column] != nil {
			all[i] = &values[i]
		}
	}
	return all
}
