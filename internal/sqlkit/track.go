package sqlkit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/probe"
)

// MySQL cannot take back a CREATE TABLE: what a migration did before it was cut off stays,
// without a trace in the table of versions. So each statement of a tracked migration is
// noted before it is sent, in a table called tenancy_migrating, on the connection and in
// the transaction of the migration: a statement that MySQL commits by itself commits the note
// with it, and a transaction that is rolled back takes the note back.
//
// A note is of a migration that runs, or of one that was cut off. Only who holds the lock of
// migrations can tell: so the note is judged, and removed, under the lock, on its session.

// Half is a migration that was cut off. It is the error of those who would work on its database.
type Half struct {
	Version int64 `db:"version"`
	// Up is false for one that was being taken back.
	Up bool `db:"up"`
	// Statement is the number, from 1, of the statement that it reached, and Text its
	// beginning. Those before were carried out.
	Statement int    `db:"statement"`
	Text      string `db:"statement_text"`
	// Problem is what the server answered to it, which then was not carried out. Without
	// an answer nobody knows whether it was.
	Problem string `db:"problem"`
}

const makeTracks = `CREATE TABLE IF NOT EXISTS tenancy_migrating (
	lineage        VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, -- the table of versions
	version        BIGINT NOT NULL,
	up             BOOLEAN NOT NULL,
	statement      INT NOT NULL,
	statement_text VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	problem        VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
) ENGINE = InnoDB`

// mysqlNotLocked is what MySQL says of other tables while some are locked.
const mysqlNotLocked = 1100 // ER_TABLE_NOT_LOCKED

// Tracked reports whether migrations of the dialect are tracked.
func (d Dialect) Tracked() bool { return d == MySQL }

// Error returns the text for logs.
func (h *Half) Error() string {
	return fmt.Sprintf("%v: migration %d was cut off at statement %d", tenancy.ErrConflict, h.Version, h.Statement)
}

// Unwrap returns [tenancy.ErrConflict].
func (h *Half) Unwrap() error { return tenancy.ErrConflict }

// ErrChanged says that somebody else has migrated the database since the caller looked. Nothing was done.
var ErrChanged = fmt.Errorf("%w: somebody else has migrated the database meanwhile; look at it again", tenancy.ErrConflict)

// HalfOf returns the migration that was cut off, or that runs now, or nil: see [AtRest]. applied are
// the versions that are applied, in any order.
func HalfOf(ctx context.Context, q sqlx.QueryerContext, d Dialect, table string, applied []int64) (*Half, error) {
	h, err := note(ctx, q, d, table)
	if h == nil || slices.Contains(applied, h.Version) == h.Up { // it was cut off behind its end
		return nil, err
	}
	return h, nil
}

// note returns the note of the last migration that is not known to have ended, or nil.
func note(ctx context.Context, q sqlx.QueryerContext, d Dialect, table string) (*Half, error) {
	if !d.Tracked() {
		return nil, nil
	}
	var h Half
	err := sqlx.GetContext(probe.Context(ctx), q, &h, `SELECT version, up, statement, statement_text, problem FROM tenancy_migrating WHERE lineage = ?`, table)
	if errors.Is(err, sql.ErrNoRows) || IsNoTable(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &h, nil
}

// looks is how often AtRest looks for a moment in which nobody holds the lock: who is refused
// because of what was cut off holds it, too, for a moment.
const looks = 5

// AtRest returns the migration that was cut off, or nil. It does not wait: while somebody works
// on the database there is none.
func AtRest(ctx context.Context, db *sqlx.DB, d Dialect, table string) (*Half, error) {
	n, idle := 0, (*Half)(nil)
	err := Poll(ctx, func() (bool, error) {
		n++
		before, err := note(ctx, db, d, table)
		if before == nil || err != nil {
			return true, err
		}
		free, err := newLocker(db.Driver(), d, table).(mysqlLocker).free(ctx, db)
		if err != nil || !free {
			return n == looks, err
		}
		applied, err := history(ctx, db, d, table)
		if err != nil {
			return true, err
		}
		after, err := HalfOf(ctx, db, d, table, applied)
		if after != nil && *after == *before { // it was there while nobody held the lock
			idle = after
		}
		return after == nil || idle != nil || n == looks, err
	})
	return idle, err
}

// MarkDone says of a migration that was cut off that somebody brought it to its end. If it is not
// as it was given, the error is [ErrChanged].
func MarkDone(ctx context.Context, db *sqlx.DB, d Dialect, table string, h *Half) (err error) {
	store, err := database.NewStore(gooseDialects[d], table)
	if err != nil {
		return err
	}
	conn, err := db.Connx(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	l := trackLocker{newLocker(db.Driver(), d, table), &Track{DB: db, Dialect: d, Table: table, Resume: h}}
	if err := l.SessionLock(ctx, conn.Conn); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.SessionUnlock(context.WithoutCancel(ctx), conn.Conn)) }()
	return Tx(ctx, conn, nil, func(tx *sqlx.Tx) error {
		if h.Up {
			err = store.Insert(ctx, tx.Tx, database.InsertRequest{Version: h.Version})
		} else {
			err = store.Delete(ctx, tx.Tx, h.Version)
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM tenancy_migrating WHERE lineage = ?`, table)
		}
		return err
	})
}

// GoMigration is a migration in Go. Up and Down may be nil.
type GoMigration struct {
	Version  int64
	Name     string
	Up, Down func(ctx context.Context, tx *sql.Tx) error
}

// Track applies and takes back migrations like [UpTo] and [DownTo], and tracks them.
type Track struct {
	DB      *sqlx.DB
	Dialect Dialect
	Files   fs.FS
	Table   string
	Go      []GoMigration
	// OutOfOrder applies migrations that are older than the latest that is applied.
	// Without it they are an error.
	OutOfOrder bool
	// Seen are the versions that were applied when the caller looked, in ascending order: see DownTo.
	Seen []int64
	// Resume is a migration that was cut off, and From the number of its statement to go
	// on with: those before are passed over. See GoOn.
	Resume *Half
	From   int

	mu      sync.Mutex // guards what follows
	applied []int64    // what must be applied once the lock is held, in the order of the table
	expects bool       // applied is set
	resumed bool       // Resume was found as it was given
	next    *Half      // the statement that goose announced
	last    Half       // the last that was sent
	given   string     // what the server answered to it, if that was an error
	failed  error      // noting the end
}

// UpTo applies migrations of at most that version. While one is cut off, the error is a [*Half].
func (t *Track) UpTo(ctx context.Context, version int64) ([]Migration, error) {
	return t.run(ctx, func(p *goose.Provider) ([]*goose.MigrationResult, error) { return p.UpTo(ctx, version) })
}

// Up applies all migrations.
func (t *Track) Up(ctx context.Context) ([]Migration, error) { return t.UpTo(ctx, math.MaxInt64) }

// DownTo takes back migrations that are later than that version, the last that was
// applied first. While one is cut off, the error is a [*Half]; if others are applied than those that
// were seen, it is [ErrChanged].
func (t *Track) DownTo(ctx context.Context, version int64) ([]Migration, error) {
	applied, err := history(ctx, t.DB, t.Dialect, t.Table)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(slices.Sorted(slices.Values(applied)), t.Seen) {
		return nil, ErrChanged
	}
	t.expect(applied)
	return t.run(ctx, func(p *goose.Provider) ([]*goose.MigrationResult, error) {
		if slices.IsSorted(applied) {
			return p.DownTo(ctx, version)
		}
		return t.oneByOne(ctx, p, applied, version)
	})
}

// GoOn brings the migration Resume to its end. If it is not as it was given, the error is [ErrChanged].
func (t *Track) GoOn(ctx context.Context) ([]Migration, error) {
	return t.run(ctx, func(p *goose.Provider) ([]*goose.MigrationResult, error) {
		result, err := p.ApplyVersion(ctx, t.Resume.Version, t.Resume.Up)
		if err != nil {
			return nil, err
		}
		return []*goose.MigrationResult{result}, nil
	})
}

// expect says what must be applied once the lock is held.
func (t *Track) expect(applied []int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.applied, t.expects = applied, true
}

// oneByOne takes back what was applied out of order. goose's own DownTo begins with the last
// that was applied, and ends at the first that is not later than the version, whatever was
// applied before it.
func (t *Track) oneByOne(ctx context.Context, p *goose.Provider, applied []int64, version int64) (done []*goose.MigrationResult, err error) {
	left := applied
	for i, v := range slices.Backward(applied) {
		if v <= version {
			continue
		}
		result, err := p.ApplyVersion(ctx, v, false)
		if partial := (*goose.PartialError)(nil); errors.As(err, &partial) {
			err = &goose.PartialError{Applied: done, Failed: partial.Failed, Err: partial.Err}
		}
		if err != nil {
			return done, err
		}
		done = append(done, result)
		left = slices.Delete(slices.Clone(left), i, i+1)
		t.expect(left)
	}
	return done, nil
}

func (t *Track) run(ctx context.Context, do func(*goose.Provider) ([]*goose.MigrationResult, error)) ([]Migration, error) {
	db := t.DB.DB
	more := []goose.ProviderOption{goose.WithAllowOutofOrder(t.OutOfOrder)}
	for _, g := range t.Go { // made anew: goose keeps notes in them
		more = append(more, goose.WithGoMigrations(goose.NewGoMigration(g.Version, &goose.GoFunc{RunTx: g.Up}, &goose.GoFunc{RunTx: g.Down})))
	}
	if t.Dialect.Tracked() {
		if _, err := db.ExecContext(ctx, makeTracks); err != nil {
			return nil, err
		}
		db = sql.OpenDB(&trackConnector{t})
		db.SetMaxOpenConns(1)
		defer func() { _ = db.Close() }()
		more = append(more, goose.WithVerbose(true), goose.WithSlog(slog.New(trackHandler{t})))
	}
	p, err := provider(ctx, db, t.Dialect, t.Files, t.Table, trackLocker{newLocker(db.Driver(), t.Dialect, t.Table), t}, more...)
	if err != nil {
		return nil, err
	}
	done, err := migrations(do(p))
	for i := range done {
		for _, g := range t.Go {
			if g.Version == done[i].Version {
				done[i].File = g.Name
			}
		}
	}
	if t.failed != nil { // goose forgets it beside an error of a migration
		err = errors.Join(err, t.failed)
	}
	return done, err
}

// trackLocker is the lock of migrations, which a [Track] begins and ends its work under.
type trackLocker struct {
	lock.SessionLocker
	t *Track
}

func (l trackLocker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	if err := l.SessionLocker.SessionLock(ctx, conn); err != nil {
		return err
	}
	err := l.t.begin(ctx, &sqlx.Conn{Conn: conn, Mapper: l.t.DB.Mapper})
	if err != nil {
		_ = l.SessionLocker.SessionUnlock(context.WithoutCancel(ctx), conn) // or it ends with the session
	}
	return err
}

func (l trackLocker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	l.t.end(ctx, &sqlx.Conn{Conn: conn, Mapper: l.t.DB.Mapper})
	return l.SessionLocker.SessionUnlock(ctx, conn)
}

// begin checks that the database is as the caller believes.
func (t *Track) begin(ctx context.Context, conn *sqlx.Conn) error {
	t.mu.Lock()
	resume, expects, want := t.Resume, t.expects, t.applied
	if t.resumed {
		resume = nil
	}
	t.mu.Unlock()
	applied, err := history(ctx, conn, t.Dialect, t.Table)
	if err != nil {
		return err
	}
	half, err := HalfOf(ctx, conn, t.Dialect, t.Table, applied)
	switch {
	case err != nil:
		return err
	case resume == nil && half != nil:
		return half
	case resume != nil && (half == nil || *half != *resume), expects && !slices.Equal(applied, want):
		return ErrChanged
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.resumed = resume != nil
	return nil
}

// end removes the note, or adds to it why the last statement was not carried out. A session
// that has ended leaves the note as it is.
func (t *Track) end(ctx context.Context, conn *sqlx.Conn) {
	t.mu.Lock()
	last, given := t.last, t.given
	t.last, t.given = Half{}, ""
	t.mu.Unlock()
	if last.Version == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := t.settle(ctx, conn, last, given)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = errors.Join(t.failed, err)
}

func (t *Track) settle(ctx context.Context, conn *sqlx.Conn, last Half, given string) error {
	for _, left := range []string{`ROLLBACK`, `UNLOCK TABLES`} { // by a file without a transaction
		if _, err := conn.ExecContext(ctx, left); err != nil {
			return err
		}
	}
	h, err := note(ctx, conn, t.Dialect, t.Table)
	if h == nil || err != nil {
		return err
	}
	applied, err := history(ctx, conn, t.Dialect, t.Table)
	if err != nil {
		return err
	}
	const which = ` WHERE lineage = ? AND version = ? AND up = ? AND statement = ?`
	switch {
	case slices.Contains(applied, h.Version) == h.Up, // it is at its end
		given != "" && last.Statement == 1: // nothing of it was carried out
		_, err = conn.ExecContext(ctx, `DELETE FROM tenancy_migrating`+which, t.Table, h.Version, h.Up, h.Statement)
	case given != "":
		_, err = conn.ExecContext(ctx, `UPDATE tenancy_migrating SET problem = ?`+which, short(given, 500), t.Table, h.Version, h.Up, h.Statement)
	}
	return err
}

// announce takes what goose says before it sends a statement of a migration.
func (t *Track) announce(version int64, up bool, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 1
	if t.last.Version == version && t.last.Up == up {
		n = t.last.Statement + 1
	}
	t.next = &Half{Version: version, Up: up, Statement: n, Text: short(text, 200)}
}

// send sends a statement, and notes before which one it is if it is a migration's.
func (t *Track) send(ctx context.Context, exec func(ctx context.Context, query string, args ...any) (sql.Result, error), query string, args []any) (sql.Result, error) {
	t.mu.Lock()
	h := t.next
	t.next = nil
	if h == nil {
		t.mu.Unlock()
		return exec(ctx, query, args...)
	}
	t.last, t.given = *h, ""
	passed := t.Resume != nil && t.Resume.Version == h.Version && t.Resume.Up == h.Up && h.Statement < t.From
	t.mu.Unlock()
	if passed {
		return nil, nil
	}
	_, err := exec(ctx, `REPLACE INTO tenancy_migrating (lineage, version, up, statement, statement_text, problem) VALUES (?, ?, ?, ?, ?, '')`,
		t.Table, h.Version, h.Up, h.Statement, h.Text)
	if err != nil && mysqlNumber(err) != mysqlNotLocked {
		return nil, fmt.Errorf("noting which statement is next: %w", err)
	}
	res, err := exec(ctx, query, args...)
	if mysqlNumber(err) != 0 {
		t.mu.Lock()
		t.given = err.Error()
		t.mu.Unlock()
	}
	return res, err
}

// short returns the first characters of a text.
func short(s string, n int) string {
	r := []rune(s)
	return string(r[:min(n, len(r))])
}

// trackHandler hears from goose which statement is next.
type trackHandler struct{ t *Track }

func (h trackHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h trackHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h trackHandler) WithGroup(string) slog.Handler            { return h }

func (h trackHandler) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "executing statement" {
		return nil
	}
	version, up, text := int64(0), false, ""
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "version":
			version = a.Value.Int64()
		case "direction":
			up = a.Value.String() == "up"
		case "statement":
			text = a.Value.String()
		}
		return true
	})
	h.t.announce(version, up, text)
	return nil
}
