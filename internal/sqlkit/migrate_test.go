package sqlkit_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func files(contents ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i, c := range contents {
		fsys["0000"+string(rune('1'+i))+"_step.sql"] = &fstest.MapFile{Data: []byte(c)}
	}
	return fsys
}

const (
	makeNotes = "-- +goose Up\nCREATE TABLE notes (id INTEGER NOT NULL PRIMARY KEY);\n"
	seedNote  = "-- +goose Up\nINSERT INTO notes (id) SELECT COUNT(*) FROM notes;\n"
)

func dialect(t *testing.T, db *sqlx.DB) sqlkit.Dialect {
	t.Helper()
	d, err := sqlkit.FromDriver(db.DriverName())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func count(t *testing.T, db *sqlx.DB, table string) (n int) {
	t.Helper()
	if err := db.Get(&n, `SELECT COUNT(*) FROM `+table); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestUp(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		d := dialect(t, db)
		applied, err := sqlkit.Up(t.Context(), db.DB, d, files(makeNotes), "v")
		if err != nil || len(applied) != 1 || applied[0].Version != 1 {
			t.Fatalf("got %v, %v, want version 1 applied", applied, err)
		}
		applied, err = sqlkit.Up(t.Context(), db.DB, d, files(makeNotes, seedNote), "v")
		if err != nil || len(applied) != 1 || applied[0].Version != 2 {
			t.Fatalf("got %v, %v, want version 2 applied", applied, err)
		}
		if n := count(t, db, "notes"); n != 1 {
			t.Errorf("got %d notes, want 1", n)
		}
		if err := db.Ping(); err != nil {
			t.Errorf("the caller's handle: %v, want it open", err)
		}
	})
}

func TestUpReportsWhatFailed(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		applied, err := sqlkit.Up(t.Context(), db.DB, dialect(t, db), files(makeNotes, "-- +goose Up\nSELEKT 1;\n"), "v")
		if err == nil || !strings.Contains(err.Error(), "00002_step.sql") || len(applied) != 1 {
			t.Errorf("got %v, %v, want one applied and the second file's name in the error", applied, err)
		}
		for name, fsys := range map[string]fstest.MapFS{
			"none": {}, "no annotation": files("CREATE TABLE x (id INT);"),
			"bad name": {"x.sql": {Data: []byte(makeNotes)}},
		} {
			if _, err := sqlkit.Up(t.Context(), db.DB, dialect(t, db), fsys, "w"); err == nil {
				t.Errorf("%s: got no error", name)
			}
		}
	})
}

// Many processes start at once and each migrates. Each has its own handle.
func TestUpAtOnce(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		tenant := s.Tenant(t, "acme")
		var wg sync.WaitGroup
		for range 30 {
			db, err := s.Pool(t, &dbpool.Options{MaxConns: 1}).For(t.Context(), tenant)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				if _, err := sqlkit.Up(t.Context(), db.DB, dialect(t, db), files(makeNotes, seedNote, seedNote), "v"); err != nil {
					t.Errorf("Up: %v", err)
				}
			})
		}
		wg.Wait()
		db, err := s.Pool(t, nil).For(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, "notes"); n != 2 {
			t.Errorf("got %d notes, want 2: each migration once", n)
		}
	})
}

// A waiter ends with its context, and the lock of one who died is free.
func TestUpWaitsWithinItsContext(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		d := dialect(t, db)
		slow := map[sqlkit.Dialect]string{
			sqlkit.Postgres: "SELECT pg_sleep(600);", sqlkit.MySQL: "SELECT SLEEP(600);",
			sqlkit.SQLite: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n;",
		}[d]
		ctx, cancel := context.WithCancel(t.Context())
		holder := make(chan error, 1)
		go func() {
			_, err := sqlkit.Up(ctx, db.DB, d, files(makeNotes, "-- +goose Up\n"+slow), "v")
			holder <- err
		}()
		for n := 0; n == 0; { // until the holder is in its second migration
			_ = db.GetContext(t.Context(), &n, `SELECT COUNT(*) FROM v WHERE version_id = 1`)
		}
		short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer stop()
		if _, err := sqlkit.Up(short, db.DB, d, files(makeNotes, seedNote), "v"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while another migrates: got %v, want the deadline", err)
		}
		cancel()
		if err := <-holder; err == nil {
			t.Error("the holder that was cancelled: got no error")
		}
		if _, err := sqlkit.Up(t.Context(), db.DB, d, files(makeNotes, seedNote), "v"); err != nil {
			t.Errorf("after the holder was cancelled: %v", err)
		}
	})
}

// The application's own goose migrations and its version table have nothing to do with
// the library's.
func TestUpLeavesTheHostAlone(t *testing.T) {
	ran := false
	goose.ResetGlobalMigrations()
	t.Cleanup(goose.ResetGlobalMigrations)
	err := goose.SetGlobalMigrations(goose.NewGoMigration(99, &goose.GoFunc{
		RunTx: func(context.Context, *sql.Tx) error { ran = true; return nil },
	}, nil))
	if err != nil {
		t.Fatal(err)
	}
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		host := map[sqlkit.Dialect]goose.Dialect{
			sqlkit.Postgres: goose.DialectPostgres, sqlkit.MySQL: goose.DialectMySQL, sqlkit.SQLite: goose.DialectSQLite3,
		}[dialect(t, db)]
		p, err := goose.NewProvider(host, db.DB, files("-- +goose Up\nCREATE TABLE host (id INT);\n", "-- +goose Up\nSELECT 1;\n"),
			goose.WithDisableGlobalRegistry(true))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		applied, err := sqlkit.Up(t.Context(), db.DB, dialect(t, db), files(makeNotes), "v")
		if err != nil || len(applied) != 1 || ran {
			t.Errorf("got %v, %v, host's migration ran: %v; want ours alone", applied, err, ran)
		}
		if n := count(t, db, "notes"); n != 0 {
			t.Errorf("got %d notes, want an empty table", n)
		}
		if v, err := p.GetDBVersion(t.Context()); err != nil || v != 2 {
			t.Errorf("the host's version: got %d, %v, want 2", v, err)
		}
	})
}

func TestFromDriver(t *testing.T) {
	t.Parallel()
	if _, err := sqlkit.FromDriver("oracle"); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}
