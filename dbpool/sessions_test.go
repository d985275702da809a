package dbpool_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// leftovers are statements that leave state in a session, and a query whose
// answer shows it.
var leftovers = map[string][]struct{ leave, show, clean string }{
	"postgres": {
		{`SET application_name = 'left'`, `SHOW application_name`, ""},
		{`SELECT set_config('my.tenant', 'left', false)`, `SELECT coalesce(current_setting('my.tenant', true), '')`, ""},
		{`CREATE TEMP TABLE left_over (id INT)`, `SELECT coalesce(to_regclass('left_over')::text, '')`, ""},
		{`SELECT pg_advisory_lock(7)`, `SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()`, "0"},
		{`BEGIN ISOLATION LEVEL SERIALIZABLE`, `SHOW transaction_isolation`, "read committed"},
		{`PREPARE left_over AS SELECT 1`, `SELECT count(*)::text FROM pg_prepared_statements WHERE name = 'left_over'`, "0"},
		{`LISTEN left_over`, `SELECT count(*)::text FROM pg_listening_channels()`, "0"},
	},
	"mysql": {
		{`SET @left = 'left'`, `SELECT COALESCE(@left, '')`, ""},
		{`SET NAMES latin1`, `SELECT @@character_set_client`, "utf8mb4"},
		{`SET profiling = 1`, `SELECT @@profiling`, "0"},
		{`SET SESSION time_zone = '+05:00'`, `SELECT @@session.time_zone`, "+00:00"},
		{`CREATE TEMPORARY TABLE left_over (id INT)`, `SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'left_over'`, "0"},
		{`SELECT GET_LOCK('left_over', 0)`, `SELECT COALESCE(IS_USED_LOCK('left_over') = CONNECTION_ID(), 0)`, "0"},
		{`START TRANSACTION`, `SELECT @@in_transaction`, "0"},
		{`USE information_schema`, `SELECT DATABASE() = 'information_schema'`, "0"},
	},
	"sqlite": {
		{`PRAGMA cache_size = 77`, `SELECT cache_size = 77 FROM pragma_cache_size`, "0"},
		{`CREATE TEMP TABLE left_over (id INT)`, `SELECT count(*) FROM temp.sqlite_master WHERE name = 'left_over'`, "0"},
		{`CREATE TABLE 'temp'.left_over (id INT)`, `SELECT count(*) FROM temp.sqlite_master WHERE name = 'left_over'`, "0"},
		{`CREATE TEMP VIEW left_over AS SELECT 1; SELECT * FROM 'pragma_cache_size'`, `SELECT count(*) FROM temp.sqlite_master WHERE name = 'left_over'`, "0"},
		{`ATTACH ':memory:' AS left_over`, `SELECT count(*) FROM pragma_database_list WHERE name = 'left_over'`, "0"},
		{`BEGIN`, `SELECT 0`, "0"},
	},
}

// What one request leaves in its session does not reach the next.
func TestSessionsAreClean(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		tenant := s.Tenant(t, "acme")
		db, err := s.Pool(t, &dbpool.Options{MaxConns: 1}).For(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := s.Pool(t, &dbpool.Options{MaxConns: 1, KeepSessions: true}).For(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range leftovers[s.Name] {
			for _, use := range []func(*sqlx.DB, string) error{
				func(db *sqlx.DB, q string) error { _, err := db.Exec(q); return err },
				func(db *sqlx.DB, q string) error { // prepared
					p, err := db.Preparex(q)
					if err != nil {
						return err
					}
					defer func() { _ = p.Close() }()
					_, err = p.Exec()
					return err
				},
			} {
				if err := use(db, each.leave); err != nil {
					t.Errorf("%s: %v", each.leave, err)
					continue
				}
				var got string
				if err := db.Get(&got, each.show); err != nil || got != each.clean {
					t.Errorf("after %s: got %q, %v, want %q", each.leave, got, err, each.clean)
				}
			}
		}
		for i, each := range leftovers[s.Name] {
			if i > 0 && !strings.HasPrefix(each.leave, "SET ") {
				continue
			}
			kept.MustExec(each.leave)
			var got string
			if err := kept.Get(&got, each.show); err != nil || got == each.clean {
				t.Errorf("KeepSessions, after %s: got %q, %v, want it kept", each.leave, got, err)
			}
		}
	})
}

// A transaction that a handler left open does not reach the next one, and a
// cancelled query leaves a connection that works or is replaced.
func TestBrokenOffWork(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, &dbpool.Options{MaxConns: 1})
		ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
		db, err := pool.DB(ctx)
		if err != nil {
			t.Fatal(err)
		}
		db.MustExec(`CREATE TABLE notes (id INT)`)
		for range 20 {
			short, cancel := context.WithCancel(ctx)
			tx, err := db.BeginTxx(short, nil)
			if err != nil {
				t.Fatal(err)
			}
			tx.MustExec(`INSERT INTO notes VALUES (1)`)
			cancel() // rolls back, in a goroutine of database/sql
			var n int
			if err := db.GetContext(ctx, &n, `SELECT COUNT(*) FROM notes`); err != nil || n != 0 {
				t.Errorf("got %d notes, %v, want none", n, err)
			}
		}
		if st := pool.Stat(s.Name); st.InUse != 0 || st.Conns > 1 || st.Waiting != 0 {
			t.Errorf("got %+v, want one connection at most and none in use", st)
		}
	})
}

// A function of the application that another engine has, and one that is called as if
// it were a column, may leave anything in the session.
func TestSessionsAreCleanAfterFunctions(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "postgres")
	pool := s.Pool(t, &dbpool.Options{MaxConns: 1})
	db, err := pool.For(t.Context(), s.Tenant(t, "acme"))
	if err != nil {
		t.Fatal(err)
	}
	const body = ` LANGUAGE sql AS $$ SELECT set_config('application_name', 'left', false) $$`
	db.MustExec(`CREATE TABLE notes (id INT)`)
	db.MustExec(`INSERT INTO notes (id) VALUES (1)`)
	for create, use := range map[string]string{
		`CREATE FUNCTION total(int) RETURNS text` + body:   `SELECT total(1)`,
		`CREATE FUNCTION week(int) RETURNS text` + body:    `SELECT week(1)`,
		`CREATE FUNCTION typeof(int) RETURNS text` + body:  `SELECT typeof(1)`,
		`CREATE FUNCTION title(notes) RETURNS text` + body: `SELECT (n).title FROM notes n`,
	} {
		db.MustExec(create)
		db.MustExec(use)
		var got string
		if err := db.Get(&got, `SELECT current_setting('application_name')`); err != nil || got == "left" {
			t.Errorf("after %s: got %q, %v, want nothing left", use, got, err)
		}
	}
}
