package migrate

import (
	"context"
	"fmt"
	"path"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// HalfError says that a migration was cut off between two of its statements: by the death
// of the process, or by a statement that failed. Only those of MySQL and MariaDB, which cannot take
// back a CREATE TABLE, are tracked: on other engines files with "-- +goose NO TRANSACTION" can be cut off, too, and
// nothing says so. It wraps [tenancy.ErrConflict]. Nothing is applied to the database, nor taken back, until
// somebody has looked at it and has called [Migrator.Resume] or [Migrator.Mark].
type HalfError struct {
	Version int64  `json:"version"`
	File    string `json:"file"`
	// Down is set for one that was being taken back.
	Down bool `json:"down,omitempty"`
	// Statement is the number of the statement that it reached, from 1, and Text its
	// beginning. Those before were carried out.
	Statement int    `json:"statement"`
	Text      string `json:"text"`
	// Problem is what the server answered to that statement, which then was not carried
	// out. If it is empty, nobody knows whether it was.
	Problem string `json:"problem,omitempty"`
}

// Error returns the text for logs.
func (e *HalfError) Error() string {
	what, was := "applied", "nobody knows whether it was carried out"
	if e.Down {
		what = "taken back"
	}
	if e.Problem != "" {
		was = "it failed: " + e.Problem
	}
	return fmt.Sprintf("%v: migration %s is half %s: it reached statement %d (%.60q), and %s; look at the database, then resume or mark it",
		tenancy.ErrConflict, e.File, what, e.Statement, e.Text, was)
}

// Unwrap returns [tenancy.ErrConflict].
func (e *HalfError) Unwrap() error { return tenancy.ErrConflict }

func halfError(s *schema, h *sqlkit.Half) *HalfError {
	file := fmt.Sprint(h.Version)
	for _, f := range s.sources {
		if f.Version == h.Version {
			file = path.Base(f.File)
		}
	}
	return &HalfError{h.Version, file, !h.Up, h.Statement, h.Text, h.Problem}
}

// Resume goes on with a migration that was cut off, with its statement of that number: the
// one that it reached, if that was not carried out, the one behind it, if it was, or an earlier
// one, if somebody has taken back what came before. Then the migration counts as applied, or as taken
// back. A database without such a migration is left as it is. A number that is none of
// these is an error that wraps [tenancy.ErrInvalid]. If somebody else works on the database at the
// same time, the error wraps [tenancy.ErrConflict], and nothing was done.
func (m *Migrator) Resume(ctx context.Context, t *tenancy.Tenant, statement int) (*Result, error) {
	return m.change(ctx, "migrate.Migrator.Resume", t, work{"a migration resumed", true, m.never,
		func(ctx context.Context, s *schema) (up, down []sqlkit.Migration, err error) {
			h := s.half
			if h == nil {
				return nil, nil, nil
			}
			if statement < 1 || statement > h.Statement+1 {
				return nil, nil, fmt.Errorf("%w: statement %d, want one of 1 to %d", tenancy.ErrInvalid, statement, h.Statement+1)
			}
			track := m.track(s)
			track.Resume, track.From = h, statement
			var done []sqlkit.Migration
			err = m.audited(ctx, t, "schema.resume", reached(s), func() (err error) {
				done, err = track.GoOn(ctx)
				return err
			})
			if h.Up {
				return done, nil, err
			}
			return nil, done, err
		}})
}

// Mark says that somebody has brought a migration that was cut off to its end by hand: it
// counts as applied, or as taken back. A database without one is left as it is. If somebody else
// works on the database at the same time, the error wraps [tenancy.ErrConflict], and nothing was done.
func (m *Migrator) Mark(ctx context.Context, t *tenancy.Tenant) (*Result, error) {
	return m.change(ctx, "migrate.Migrator.Mark", t, work{"a migration marked", true, m.never,
		func(ctx context.Context, s *schema) (up, down []sqlkit.Migration, err error) {
			if s.half == nil {
				return nil, nil, nil
			}
			done := []sqlkit.Migration{{Version: s.half.Version, File: halfError(s, s.half).File}}
			err = m.audited(ctx, t, "schema.mark", reached(s), func() error { return sqlkit.MarkDone(ctx, s.db, s.dialect, m.opts.Table, s.half) })
			if err != nil {
				return nil, nil, err
			}
			if s.half.Up {
				return done, nil, nil
			}
			return nil, done, nil
		}})
}

// reached names the half migration and its statement, for the audit.
func reached(s *schema) string {
	return fmt.Sprintf("%s, statement %d", halfError(s, s.half).File, s.half.Statement)
}

// never says that there may be something to do.
func (m *Migrator) never(s *schema) bool { return !s.dialect.Tracked() }
