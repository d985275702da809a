package sqlkit

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// Strings runs a query without arguments on a driver's connection, below
// database/sql, and returns its only row as texts, with "" for NULL.
func Strings(ctx context.Context, conn driver.Conn, query string) (row []string, err error) {
	q, ok := conn.(driver.QueryerContext)
	if !ok {
		return nil, fmt.Errorf("%T cannot query", conn)
	}
	rows, err := q.QueryContext(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(values); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("no row")
		}
		return nil, err
	}
	row = make([]string, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case nil:
		case []byte:
			row[i] = string(v)
		case string:
			row[i] = v
		default:
			return nil, fmt.Errorf("column %d is a %T, want a text", i, v)
		}
	}
	return row, nil
}
