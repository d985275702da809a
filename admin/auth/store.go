package auth

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/failure"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

//go:embed migrations
var migrations embed.FS

// versionTable records which migrations this package's tables have.
const versionTable = "tenancy_auth_version"

// writeTimeout bounds the last writing, when the context has ended.
const writeTimeout = 10 * time.Second

// store is the database of operators and sessions.
type store struct {
	db      *sqlx.DB
	dialect sqlkit.Dialect
}

func newStore(db *sqlx.DB) (*store, error) {
	if db == nil {
		return nil, fmt.Errorf("%w: no database", tenancy.ErrInvalid)
	}
	dialect, err := sqlkit.FromDriver(db.DriverName())
	if err != nil {
		return nil, err
	}
	return &store{db, dialect}, nil
}

func (s *store) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations/"+string(s.dialect))
	if err != nil {
		return err
	}
	_, err = sqlkit.Up(ctx, s.db.DB, s.dialect, files, versionTable)
	return unavailable(err)
}

// tx runs fn in a transaction, and again if the server ended it in favor of another. Its first statement must write: SQLite cannot
// make a reader a writer while others write. Once begun, it is not cut off by the caller's context: a COMMIT that is cut off may
// have been carried out.
func (s *store) tx(ctx context.Context, fn func(context.Context, *sqlx.Tx) error) error {
	return unavailable(sqlkit.Write(ctx, s.db, fn))
}

// exec runs one statement and returns how many rows it met. MySQL does not count rows that it left as they were, so each statement
// whose count matters changes a column of the rows it meets.
func (s *store) exec(ctx context.Context, on sqlx.ExecerContext, query string, args ...any) (int64, error) {
	res, err := on.ExecContext(ctx, s.dialect.Rebind(query), args...)
	if err != nil {
		return 0, unavailable(err)
	}
	return res.RowsAffected()
}

// get reads one row into dest. No row is an error that wraps [tenancy.ErrNotFound].
func (s *store) get(ctx context.Context, on sqlx.QueryerContext, dest any, query string, args ...any) error {
	return unavailable(sqlx.GetContext(ctx, on, dest, s.dialect.Rebind(query), args...))
}

// unavailable gives an error of the database the sentinel that says what to do.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	if isNoRows(err) {
		return fmt.Errorf("%w: no such row", tenancy.ErrNotFound)
	}
	if sqlkit.IsUnique(err) {
		return fmt.Errorf("%w: %w", tenancy.ErrExists, err)
	}
	return failure.Named(err)
}

// micro returns the time as it is stored; the zero time is 0.
func micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// fromMicro is the inverse of micro.
func fromMicro(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// now is the time as the database keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
