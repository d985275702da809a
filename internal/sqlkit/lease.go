package sqlkit

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
)

// leaseCleanup bounds the release of a lease whose holder is ending.
const leaseCleanup = 10 * time.Second

// Leases are named leases in one table of a database. A lease is the right to be
// the only one who does some work. It ends unless its holder renews it, and its
// token, a number that grows each time the lease changes hands, keeps a holder
// that has lost it from writing: see [Lease.Lock].
//
// The clock of the database alone says when a lease has ended, so the clocks of
// processes may differ. A clock of the database that jumps ahead ends leases
// early; then two processes may work at once, and the token decides whose writes
// count.
//
// sqlkit owns no table. A room's migrations make the table with the statement of
// [Dialect.LeaseTable], in the database whose rows the leases protect. Methods
// may be called by many goroutines and many processes at once.
type Leases struct {
	db      *sqlx.DB
	dialect Dialect
	table   string

	mu  sync.Mutex // guards odd
	odd map[string]sighting
}

// A lease that ends much later than its holder can have asked for was written before the
// database's clock was set back, as on a fail-over to a server whose clock is behind. A holder that
// lives renews it, and so corrects it. Where nobody has for a time, by the clock of this process, the
// holder is dead.
const oddTTLs = 10 // TTLs of whoever asks for the lease

// sighting is when a lease was seen first that ends so late.
type sighting struct {
	expires int64
	since   time.Time
}

// abandoned reports whether a lease ends too late, and nobody has renewed it for long enough.
func (l *Leases) abandoned(name string, expires int64, left, ttl time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if left <= oddTTLs*ttl {
		delete(l.odd, name)
		return false
	}
	if seen, ok := l.odd[name]; ok && seen.expires == expires {
		return time.Since(seen.since) > oddTTLs*ttl
	}
	if l.odd == nil {
		l.odd = map[string]sighting{}
	}
	l.odd[name] = sighting{expires, time.Now()}
	return false
}

// LeaseTable returns the statement that makes a table of leases. Copy it into a
// migration.
func (d Dialect) LeaseTable(table string) string {
	name, holder, number, end := "TEXT", "TEXT", "INTEGER", ""
	switch d {
	case Postgres:
		name, holder, number = `VARCHAR(190) COLLATE "C"`, "VARCHAR(255)", "BIGINT"
	case MySQL:
		name = "VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
		holder, number, end = "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "BIGINT", " ENGINE = InnoDB"
	}
	return fmt.Sprintf(`CREATE TABLE %s (
    name       %s NOT NULL PRIMARY KEY,
    token      %s NOT NULL, -- grows each time the lease changes hands
    holder     %s NOT NULL, -- empty: released
    expires_at %s NOT NULL -- microseconds since 1970-01-01 UTC, by the clock of the database
)%s;`, table, name, number, holder, number, end)
}

// Now returns the expression for the time by the clock of the database, in
// microseconds since 1970-01-01 UTC. PostgreSQL's does not stand still in a
// transaction, and MySQL's does not depend on the session's time zone.
func (d Dialect) Now() string {
	return map[Dialect]string{
		Postgres: `CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`,
		MySQL:    `TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))`,
		SQLite:   `CAST(unixepoch('subsec') * 1000000 AS INTEGER)`,
	}[d]
}

// NewLeases returns the leases in that table of db, which must have been made
// already when the first one is acquired.
func NewLeases(db *sqlx.DB, table string) (*Leases, error) {
	if db == nil {
		return nil, fmt.Errorf("%w: no database", tenancy.ErrInvalid)
	}
	d, err := FromDriver(db.DriverName())
	if err != nil {
		return nil, err
	}
	return &Leases{db: db, dialect: d, table: table}, nil
}

// Lease is a lease that was acquired. Its methods may be called by many
// goroutines at once.
type Lease struct {
	leases *Leases
	name   string
	holder string
	token  int64
	ttl    time.Duration

	mu    sync.Mutex // guards until
	until time.Time
}

// HeldError says that somebody else holds a lease. It wraps [tenancy.ErrLimited].
type HeldError struct {
	// Name is the lease's, Holder what [Lease.Holder] returns to who holds it.
	Name, Holder string
	// Left is when the lease ends unless it is renewed.
	Left time.Duration
}

// Error returns the text for logs.
func (e *HeldError) Error() string {
	return fmt.Sprintf("%v: lease %q is held by %s for another %v", tenancy.ErrLimited, e.Name, e.Holder, e.Left)
}

// Unwrap returns [tenancy.ErrLimited].
func (e *HeldError) Unwrap() error { return tenancy.ErrLimited }

// Held reports whether the error says that somebody else holds a lease. An error that wraps
// [tenancy.ErrLimited] alone may be that of a pool without a free connection.
func Held(err error) bool {
	var held *HeldError
	return errors.As(err, &held)
}

// Acquire takes the lease for the time ttl. While somebody else holds it, the
// error is a [*HeldError]; a lease whose time is over is taken from its holder, and
// so is one that ends more than ten times ttl from now, because the database's clock
// was set back, and that nobody has renewed for as long. When ctx ends in the middle,
// the lease may be held until ttl is over.
func (l *Leases) Acquire(ctx context.Context, name string, ttl time.Duration) (*Lease, error) {
	return l.AcquireFor(ctx, name, "", ttl)
}

// maxPurpose is the longest purpose of a lease, in bytes.
const maxPurpose = 60

// AcquireFor is [Leases.Acquire] for a purpose of up to 60 bytes, which the holder's name
// begins with, before " at ".
func (l *Leases) AcquireFor(ctx context.Context, name, purpose string, ttl time.Duration) (*Lease, error) {
	if name == "" || len(name) > 190 || ttl <= 0 || len(purpose) > maxPurpose {
		return nil, fmt.Errorf("%w: lease %q for %v, for %q", tenancy.ErrInvalid, name, ttl, purpose)
	}
	lease := &Lease{leases: l, name: name, holder: holder(), ttl: ttl}
	if purpose != "" {
		lease.holder = purpose + " at " + lease.holder
	}
	for range 10 {
		err := lease.acquire(ctx)
		if err == nil {
			return lease, nil
		}
		if !errors.Is(err, sql.ErrNoRows) && !IsDeadlock(err) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: lease %q: other processes were faster in each of 10 attempts", tenancy.ErrLimited, name)
}

// holder returns a name that no other acquisition has, by which an operator finds
// the process.
func holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%.100s:%d:%s", host, os.Getpid(), rand.Text())
}

// acquire tries once. sql.ErrNoRows says that somebody else was faster, or that
// the lease has never been held until now: try again.
func (l *Lease) acquire(ctx context.Context) error {
	began := time.Now() // before the database looks at its clock
	var row struct {
		Holder  string
		Expires int64
		Left    int64
	}
	err := l.get(ctx, l.leases.db, &row, `SELECT holder, expires_at AS expires, expires_at - `+l.leases.dialect.Now()+` AS "left" FROM %s WHERE name = ?`, l.name)
	if errors.Is(err, sql.ErrNoRows) {
		_, err := l.exec(ctx, map[Dialect]string{
			MySQL:    `INSERT IGNORE INTO %s (name, token, holder, expires_at) VALUES (?, 0, '', 0)`,
			Postgres: `INSERT INTO %s (name, token, holder, expires_at) VALUES (?, 0, '', 0) ON CONFLICT (name) DO NOTHING`,
			SQLite:   `INSERT INTO %s (name, token, holder, expires_at) VALUES (?, 0, '', 0) ON CONFLICT (name) DO NOTHING`,
		}[l.leases.dialect], l.name)
		if err != nil {
			return err
		}
		return sql.ErrNoRows
	}
	if err != nil {
		return err
	}
	left := time.Duration(row.Left) * time.Microsecond
	abandoned := l.leases.abandoned(l.name, row.Expires, left, l.ttl)
	switch {
	case abandoned:
		_, err = l.exec(ctx, l.leases.takeOver(fmt.Sprintf(`expires_at = %d`, row.Expires)), l.holder, l.ttl.Microseconds(), l.name)
	case left > 0:
		return &HeldError{l.name, row.Holder, left}
	default:
		_, err = l.exec(ctx, l.leases.takeOver(`expires_at <= `+l.leases.dialect.Now()), l.holder, l.ttl.Microseconds(), l.name)
	}
	if err != nil {
		return err
	}
	if err := l.get(ctx, l.leases.db, &l.token, `SELECT token FROM %s WHERE name = ? AND holder = ?`, l.name, l.holder); err != nil {
		return err
	}
	l.extend(began)
	return nil
}

// takeOver returns the statement that takes a lease if it is over, as the condition says. It
// waits for transactions that have locked the lease: see [Lease.Lock].
func (l *Leases) takeOver(over string) string {
	update := `UPDATE %[1]s SET token = token + 1, holder = ?, expires_at = ` + l.dialect.Now() + ` + ? WHERE `
	if l.dialect == Postgres {
		return update + `name = (SELECT name FROM %[1]s WHERE name = ? AND ` + over + ` FOR UPDATE) AND ` + over
	}
	return update + `name = ? AND ` + over
}

// extend notes that the lease was written in a statement that began at that time.
func (l *Lease) extend(began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = began.Add(l.ttl)
}

// Name returns the lease's name.
func (l *Lease) Name() string { return l.name }

// Token returns the fencing token: larger than that of every earlier holder.
func (l *Lease) Token() int64 { return l.token }

// Holder returns what the table says of who holds the lease.
func (l *Lease) Holder() string { return l.holder }

// Until returns when the lease ends unless it is renewed: by the clock of this
// process, and never later than the database ends it.
func (l *Lease) Until() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

// Renew extends the lease: it ends ttl from now. A late Renew is fine as long as nobody
// else took the lease; if somebody did, or it was released, the error wraps
// [tenancy.ErrConflict].
func (l *Lease) Renew(ctx context.Context) error {
	began := time.Now()
	_, err := l.exec(ctx, `UPDATE %s SET expires_at = `+l.leases.dialect.Now()+` + ? WHERE name = ? AND token = ? AND holder = ?`,
		l.ttl.Microseconds(), l.name, l.token, l.holder)
	if err != nil {
		return err
	}
	// The number of rows that were changed does not tell: MySQL does not count a
	// row whose values were the same before.
	if err := l.check(ctx, l.leases.db, ""); err != nil {
		return err
	}
	l.extend(began)
	return nil
}

// Release gives the lease up, so that the next one need not wait until its time is
// over. A lease that was lost meanwhile stays with its new holder, without an
// error.
func (l *Lease) Release(ctx context.Context) error {
	_, err := l.exec(ctx, `UPDATE %s SET expires_at = 0, holder = '' WHERE name = ? AND token = ? AND holder = ?`, l.name, l.token, l.holder)
	return err
}

// Lock makes the transaction one of the lease's holder: until it ends, nobody
// else can take the lease, even when its time is over or it was released. A lease that was
// lost is an error that wraps [tenancy.ErrConflict], and the caller rolls back. Many
// transactions of the holder may have locked the lease at once. Call it before the
// transaction reads anything else: SQLite cannot make a transaction that has read
// an older state of the database one that writes.
func (l *Lease) Lock(ctx context.Context, tx *sqlx.Tx) error {
	if l.leases.dialect == SQLite { // whose only lock is that of all writers
		_, err := tx.ExecContext(ctx, fmt.Sprintf(`UPDATE %s SET token = token WHERE name = ?`, l.leases.table), l.name)
		if err != nil {
			return err
		}
	}
	// In PostgreSQL a transaction may join those that have locked the row already, also while
	// somebody waits who wants to change it: one who renews would wait without end. KEY SHARE
	// keeps nobody from renewing; who takes the lease over locks the row FOR UPDATE.
	return l.check(ctx, tx, map[Dialect]string{Postgres: ` FOR KEY SHARE`, MySQL: ` LOCK IN SHARE MODE`}[l.leases.dialect])
}

// Check reads the table, and returns an error if the database does not answer.
func (l *Leases) Check(ctx context.Context) error {
	var n int
	return l.db.GetContext(ctx, &n, l.query(`SELECT COUNT(*) FROM %s WHERE name = ''`))
}

// Expired is a lease that was released, or whose time is over and nobody took it since.
type Expired struct {
	// Name is the lease's. Holder is what [Lease.Holder] returned to its last holder, or
	// empty if that released it.
	Name, Holder string
}

// Expired returns up to 100 of the leases whose names have that prefix.
func (l *Leases) Expired(ctx context.Context, prefix string) (expired []Expired, err error) {
	err = l.db.SelectContext(ctx, &expired, l.query(`SELECT name, holder FROM %s WHERE name >= ? AND name < ? AND expires_at <= `+l.dialect.Now()+` LIMIT 100`),
		prefix, prefix+"\U0010ffff")
	return expired, err
}

// Forget deletes the row of a lease that nobody holds. When the name is used again, its
// tokens begin with 1 again: use Forget for names that are never used again.
func (l *Leases) Forget(ctx context.Context, name string) error {
	_, err := l.db.ExecContext(ctx, l.query(`DELETE FROM %s WHERE name = ? AND expires_at <= `+l.dialect.Now()), name)
	return err
}

// Remove takes a lease from a holder whose time is over, in a transaction, and
// forgets its name. It waits for transactions that have locked the lease, and those
// that come later find it lost. It reports false if the lease is held, or gone. A
// name that was removed must not be used again: its tokens would begin anew.
func (l *Leases) Remove(ctx context.Context, tx *sqlx.Tx, name string) (bool, error) {
	res, err := tx.ExecContext(ctx, l.query(`DELETE FROM %s WHERE name = ? AND expires_at <= `+l.dialect.Now()), name)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

func (l *Lease) check(ctx context.Context, db sqlx.QueryerContext, lock string) error {
	var token int64
	err := l.get(ctx, db, &token, `SELECT token FROM %s WHERE name = ? AND token = ? AND holder = ?`+lock, l.name, l.token, l.holder)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: lease %q with token %d was lost", tenancy.ErrConflict, l.name, l.token)
	}
	return err
}

func (l *Lease) get(ctx context.Context, db sqlx.QueryerContext, dest any, query string, args ...any) error {
	return sqlx.GetContext(ctx, db, dest, l.leases.query(query), args...)
}

func (l *Lease) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return l.leases.db.ExecContext(ctx, l.leases.query(query), args...)
}

func (l *Leases) query(format string) string {
	return l.dialect.Rebind(fmt.Sprintf(format, l.table))
}

// Do acquires the lease, runs fn while renewing it, and releases it. The context
// of fn ends when the lease is lost or could not be renewed in time; then fn must
// return, and the error wraps [tenancy.ErrConflict] whatever fn returned, also if ctx has
// ended since. It does so, too, if fn returns after [Lease.Until]: nobody renews the lease once
// ctx has ended, or while the process is suspended. A lease
// that somebody else holds is an error that wraps [tenancy.ErrLimited], and fn does
// not run. A panic of fn goes on after the release.
func (l *Leases) Do(ctx context.Context, name string, ttl time.Duration, fn func(context.Context, *Lease) error) error {
	lease, err := l.Acquire(ctx, name, ttl)
	if err != nil {
		return err
	}
	return lease.Hold(ctx, func(ctx context.Context) error { return fn(ctx, lease) })
}

// Hold runs fn while renewing the lease, which was acquired just now, and releases it.
// See [Leases.Do].
func (l *Lease) Hold(ctx context.Context, fn func(context.Context) error) error {
	held, cancel := context.WithCancelCause(ctx)
	var keeper sync.WaitGroup
	var lost error // the keeper's, until that has ended
	keeper.Go(func() {
		if lost = l.keep(held); lost != nil {
			cancel(lost)
		}
	})
	defer func() {
		cancel(nil)
		keeper.Wait()
		ending, done := context.WithTimeout(context.WithoutCancel(ctx), leaseCleanup)
		defer done()
		_ = l.Release(ending) // or it ends by itself
	}()
	err := fn(held)
	late := !time.Now().Before(l.Until())
	cancel(nil)
	keeper.Wait()
	switch {
	case lost != nil:
		return errors.Join(lost, err)
	case late:
		return errors.Join(fmt.Errorf("%w: lease %q with token %d ended before the work did", tenancy.ErrConflict, l.name, l.token), err)
	}
	return err
}

// keep renews the lease until ctx ends, and returns an error when the lease is lost.
func (l *Lease) keep(ctx context.Context) error {
	for pause := l.ttl / 3; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		until := l.Until()
		renewing, cancel := context.WithDeadline(ctx, until)
		err := l.Renew(renewing)
		cancel()
		switch {
		case err == nil:
			pause = l.ttl / 3
		case errors.Is(err, tenancy.ErrConflict):
			return err
		case ctx.Err() != nil:
			return nil
		case !time.Now().Before(until):
			return fmt.Errorf("%w: lease %q with token %d could not be renewed in time: %w", tenancy.ErrConflict, l.name, l.token, err)
		default:
			pause = min(l.ttl/10, time.Until(until))
		}
	}
}
