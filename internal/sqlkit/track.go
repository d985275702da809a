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
)

// MySQL cannot take back a CREATE TABLE: what a migration did before it was cut off stays,
// without a trace in the table of versions. So each statement of a tracked migration is
// noted before it is sent, in a table called tenancy_migrating, on the connection and in
// the transaction of the migration: a statement that MySQL commits by itself commits the note
// with it, and a transaction that is rolled back takes the note back.

// Half is a migration that was cut off.
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

// HalfOf returns the migration that was cut off, or nil. applied are the versions that are
// applied, in ascending order.
func HalfOf(ctx context.Context, db *sqlx.DB, d Dialect, table string, applied []int64) (*Half, error) {
	if !d.Tracked() {
		return nil, nil
	}
	var h Half
	err := db.GetContext(ctx, &h, `SELECT version, up, statement, statement_text, problem FROM tenancy_migrating WHERE lineage = ?`, table)
	if errors.Is(err, sql.ErrNoRows) || IsNoTable(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if _, is := slices.BinarySearch(applied, h.Version); is == h.Up {
		return nil, nil // it was cut off behind its end
	}
	return &h, nil
}

// MarkDone says of a migration that was cut off that somebody brought it to its end.
func MarkDone(ctx context.Context, db *sqlx.DB, d Dialect, table string, h *Half) error {
	store, err := database.NewStore(gooseDialects[d], table)
	if err != nil {
		return err
	}
	return Tx(ctx, db, nil, func(tx *sqlx.Tx) error {
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
	// Resume is a migration that was cut off, and From the number of its statement to go
	// on with: those before are passed over.
	Resume *Half
	From   int

	mu    sync.Mutex // guards what follows
	next  *Half      // the statement that goose announced
	last  Half       // the last that was sent
	given string     // what the server answered to it, if that was an error
}

// UpTo applies migrations of at most that version.
func (t *Track) UpTo(ctx context.Context, version int64) ([]Migration, error) {
	return t.run(ctx, func(p *goose.Provider) ([]*goose.MigrationResult, error) { return p.UpTo(ctx, version) })
}

// Up applies all migrations.
func (t *Track) Up(ctx context.Context) ([]Migration, error) { return t.UpTo(ctx, math.MaxInt64) }

// DownTo takes back migrations that are later than that version, the last that was
// applied first.
func (t *Track) DownTo(ctx context.Context, version int64) ([]Migration, error) {
	applied, err := history(ctx, t.DB, t.Dialect, t.Table)
	if err != nil {
		return nil, err
	}
	return t.run(ctx, func(p *goose.Provider) ([]*goose.MigrationResult, error) {
		if slices.IsSorted(applied) {
			return p.DownTo(ctx, version)
		}
		return oneByOne(ctx, p, applied, version)
	})
}

// oneByOne takes back what was applied out of order. goose's own DownTo begins with the last
// that was applied, and ends at the first that is not later than the version, whatever was
// applied before it.
func oneByOne(ctx context.Context, p *goose.Provider, applied []int64, version int64) (done []*goose.MigrationResult, err error) {
	for _, v := range slices.Backward(applied) {
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
	p, err := provider(ctx, db, t.Dialect, t.Files, t.Table, more...)
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
	if t.Dialect.Tracked() {
		err = errors.Join(err, t.end(ctx, err))
	}
	return done, err
}

// end removes the note, or adds to it why the last statement was not carried out.
func (t *Track) end(ctx context.Context, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	switch {
	case t.last.Version == 0:
		return nil
	case failed == nil || t.given != "" && t.last.Statement == 1: // nothing of it was carried out
		_, err = t.DB.ExecContext(ctx, `DELETE FROM tenancy_migrating WHERE lineage = ?`, t.Table)
	case t.given != "":
		_, err = t.DB.ExecContext(ctx, `UPDATE tenancy_migrating SET problem = ? WHERE lineage = ? AND version = ?`, short(t.given, 500), t.Table, t.last.Version)
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
