package analytics

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/failure"
	"github.com/artflow-studio/tenancy/internal/logs"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

//go:embed migrations
var migrations embed.FS

// versionTable records which migrations the package's tables have.
const versionTable = "tenancy_usage_version"

// SQLOptions are the options of [NewSQL].
type SQLOptions struct {
	// Logger records rows that cannot be read. Default: [slog.Default], asked
	// each time.
	Logger *slog.Logger
	// SumsAbove is the number of tenants above which reports of the last 1 h, 24 h, 7, 30 or
	// 90 days read sums that the keeper prepares, up to an hour old, instead of adding up.
	// The report's period says when the sums end. Default: 1,000. Negative: never.
	SumsAbove int
	// Timeout bounds a transaction that writes: once it has begun, the end of the caller's
	// context does not cut it off. Default: 30 seconds.
	Timeout time.Duration
}

// complete fills in defaults.
func (o *SQLOptions) complete() error {
	if o.Timeout < 0 {
		return fmt.Errorf("%w: Timeout %v, want it not negative", tenancy.ErrInvalid, o.Timeout)
	}
	o.SumsAbove, o.Timeout = cmp.Or(o.SumsAbove, 1000), cmp.Or(o.Timeout, 30*time.Second)
	o.Logger = logs.Or(o.Logger)
	return nil
}

// SQL is the store of usage in a SQL database: PostgreSQL, MySQL, MariaDB or SQLite. Its
// methods may be called by many goroutines and many processes at once.
//
// Times are kept as microseconds since 1970.
type SQL struct {
	db      *sqlx.DB
	dialect sqlkit.Dialect
	opts    SQLOptions
	arrays  bool // arguments may be arrays
}

// NewSQL returns the store in the database, whose dialect is that of db.DriverName: pgx,
// postgres, mysql or sqlite. Another driver is an error that wraps
// [tenancy.ErrInvalid]. The caller keeps db, and closes it. Call [SQL.Migrate] before
// anything else.
func NewSQL(db *sqlx.DB, opts *SQLOptions) (*SQL, error) {
	s := &SQL{db: db}
	if opts != nil {
		s.opts = *opts
	}
	err := s.opts.complete()
	if err == nil && db == nil {
		err = fmt.Errorf("%w: no database", tenancy.ErrInvalid)
	}
	if err == nil {
		s.dialect, err = sqlkit.FromDriver(db.DriverName())
	}
	if err != nil {
		return nil, tenancy.Wrap("analytics.NewSQL", "", err)
	}
	s.arrays = strings.HasPrefix(db.DriverName(), "pgx")
	return s, nil
}

// Migrate makes the tables or brings them up to date. Many processes may call it at
// once.
func (s *SQL) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations/"+string(s.dialect))
	if err == nil {
		_, err = sqlkit.Up(ctx, s.db.DB, s.dialect, files, versionTable)
	}
	return wrap("analytics.SQL.Migrate", err)
}

// Check returns an error that wraps [tenancy.ErrUnavailable] if the database does not answer,
// or does not have the tables. Instances count on meanwhile, and write later.
func (s *SQL) Check(ctx context.Context) error { return wrap("analytics.SQL.Check", s.check(ctx)) }

func (s *SQL) check(ctx context.Context) error {
	var n int64
	return s.db.GetContext(ctx, &n, `SELECT value FROM tenancy_usage_state WHERE name = '`+stateMinutes+`'`)
}

// wrap names errors that have no sentinel.
func wrap(op string, err error) error { return failure.Wrap(op, "", err) }

// tx runs fn in a transaction, again when the database ends it because of another.
// Once begun, it is not cut off by the context: a COMMIT that is may have been carried
// out.
func (s *SQL) tx(caller context.Context, fn func(context.Context, *sqlx.Tx) error) (err error) {
	if err := caller.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), s.opts.Timeout)
	defer cancel()
	defer func() {
		if caller.Err() == nil {
			err = failure.Inner(err)
		}
	}()
	var opts *sql.TxOptions
	if s.dialect == sqlkit.MySQL { // or it does not see what others committed while it waited for them
		opts = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	const attempts = 10
	for range attempts {
		err = sqlkit.Tx(ctx, s.db, opts, func(tx *sqlx.Tx) error { return fn(ctx, tx) })
		if !sqlkit.IsDeadlock(err) {
			return err
		}
		time.Sleep(rand.N(10 * time.Millisecond)) // not a secret
	}
	return err
}

// now returns the time by the database's clock.
func (s *SQL) now(ctx context.Context, q sqlx.QueryerContext) (time.Time, error) {
	var us int64
	err := sqlx.GetContext(ctx, q, &us, `SELECT `+s.dialect.Now())
	return fromMicros(us), err
}

// upsert returns what stands before and after the rows of a statement that inserts
// rows, or replaces those with the same keys. With a guard it replaces those alone
// whose guard is smaller; with two, a smaller first one decides, unless one of them is 0.
func (s *SQL) upsert(table string, keys, others []string, guards ...string) (head, tail string) {
	head = `INSERT INTO ` + table + ` (` + strings.Join(append(append([]string{}, keys...), others...), `, `) + `) VALUES `
	was, is := table+`.%[1]s`, `excluded.%[1]s`
	if s.dialect == sqlkit.MySQL {
		was, is = `%[1]s`, `VALUES(%[1]s)`
	}
	compare := func(op, column string) string { return fmt.Sprintf(is+op+was, column) }
	newer := ``
	if n := len(guards); n > 0 {
		newer = compare(` > `, guards[n-1])
	}
	if len(guards) > 1 {
		first := guards[0]
		newer = fmt.Sprintf(`CASE WHEN `+is+` = `+was+` OR `+is+` = 0 OR `+was+` = 0 THEN %[2]s ELSE %[3]s END`, first, newer, compare(` > `, first))
	}
	sets := make([]string, 0, len(others))
	if s.dialect != sqlkit.MySQL {
		for _, c := range others {
			sets = append(sets, c+` = excluded.`+c)
		}
		tail = ` ON CONFLICT (` + strings.Join(keys, `, `) + `) DO UPDATE SET ` + strings.Join(sets, `, `)
		if newer != "" {
			tail += ` WHERE ` + newer
		}
		return head, tail
	}
	for _, c := range others {
		switch {
		case newer == "":
			sets = append(sets, c+` = VALUES(`+c+`)`)
		case !slices.Contains(guards, c):
			sets = append(sets, c+` = IF(`+newer+`, VALUES(`+c+`), `+c+`)`)
		}
	}
	// Guards are last: what stands before compares with them. The first one grows only.
	for i, c := range slices.Backward(guards) {
		if i > 0 {
			sets = append(sets, c+` = IF(`+newer+`, VALUES(`+c+`), `+c+`)`)
		} else {
			sets = append(sets, c+` = GREATEST(`+c+`, VALUES(`+c+`))`)
		}
	}
	return head, ` ON DUPLICATE KEY UPDATE ` + strings.Join(sets, `, `)
}

// insert runs a statement of upsert for the rows, some at a time.
func (s *SQL) insert(ctx context.Context, tx sqlx.ExecerContext, head, tail string, rows [][]any) error {
	const atOnce = 100
	if s.arrays && len(rows) > atOnce/4 {
		return s.insertArrays(ctx, tx, head, tail, rows)
	}
	for len(rows) > 0 {
		n := min(atOnce, len(rows))
		one := `(` + strings.TrimSuffix(strings.Repeat(`?, `, len(rows[0])), `, `) + `)`
		args := make([]any, 0, n*len(rows[0]))
		for _, row := range rows[:n] {
			args = append(args, row...)
		}
		query := head + strings.TrimSuffix(strings.Repeat(one+`, `, n), `, `) + tail
		if _, err := tx.ExecContext(ctx, s.dialect.Rebind(query), args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// in runs a query with a list for the question mark in its parentheses, some values at
// a time.
func in[T any](ctx context.Context, s *SQL, tx sqlx.ExtContext, query string, values []T, each func(*sql.Rows) error) error {
	const atOnce = 500
	for len(values) > 0 {
		n := min(atOnce, len(values))
		expanded, args, err := sqlx.In(query, values[:n])
		if err != nil {
			return err
		}
		if err := s.each(ctx, tx, expanded, args, each); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

// each runs a query and calls fn for each row.
func (s *SQL) each(ctx context.Context, q sqlx.QueryerContext, query string, args []any, fn func(*sql.Rows) error) error {
	rows, err := q.QueryContext(ctx, s.dialect.Rebind(query), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// fromMicros returns the time of microseconds since 1970, and the zero time for 0.
func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// toMicros is the opposite.
func toMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
