package dbpool_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	driverMySQL "github.com/go-sql-driver/mysql"
	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

// soon is how long a replica may take. It is less than the 15 seconds after which
// PostgreSQL writes to its log unasked.
const soon = 8 * time.Second

// manyLooks at a replica come before its time is up: a machine that is slow makes
// few of them in that time.
const manyLooks = 1000

// side is a server, and one connection to it.
type side struct {
	url    string
	engine driver.Engine
	db     *sqlx.DB // to no tenant's database
	conn   sqldriver.Conn
}

func newSide(t *testing.T, url string) *side {
	t.Helper()
	s := &side{url: url}
	var err error
	if strings.HasPrefix(url, "postgres") {
		s.engine, err = postgres.New(url, nil)
	} else {
		s.engine, err = mysql.New(url, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.engine.(driver.Replication).Server()
	if err != nil {
		t.Fatal(err)
	}
	s.db = open(t, c, s.engine.DriverName())
	if s.conn, err = c.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close() })
	return s
}

// open returns a handle that is closed when the test ends.
func open(t *testing.T, c sqldriver.Connector, driverName string) *sqlx.DB {
	t.Helper()
	db := sqlx.NewDb(sql.OpenDB(c), driverName)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

var positionText = regexp.MustCompile(`^[A-Za-z0-9.,:/-]{1,60}$`)

func (s *side) position(t *testing.T) driver.Position {
	t.Helper()
	p, err := s.engine.(driver.Replication).Position(t.Context(), s.conn)
	if err != nil {
		t.Fatal(err)
	}
	if !positionText.MatchString(string(p)) {
		t.Fatalf("got position %q, want a short one of %v", p, positionText)
	}
	return p
}

// reached asks the side once whether it has what another had.
func (s *side) reached(t *testing.T, want driver.Position) bool {
	t.Helper()
	return s.engine.(driver.Replication).Reached(s.position(t), want)
}

// awaits returns when the side has what another had.
func (s *side) awaits(t *testing.T, want driver.Position) {
	t.Helper()
	for looks, began := 0, time.Now(); !s.reached(t, want); {
		if looks++; looks > manyLooks && time.Since(began) > soon {
			t.Fatalf("after %v the position is %q, want %q", soon, s.position(t), want)
		}
	}
}

// neverReached asks for a while whether the side has what another had.
func (s *side) neverReached(t *testing.T, want driver.Position) {
	t.Helper()
	for began := time.Now(); time.Since(began) < 500*time.Millisecond; {
		if s.reached(t, want) {
			t.Fatalf("a server at %q has reached %q", s.position(t), want)
		}
	}
}

// must runs statements in a database, "" for none.
func (s *side) must(t *testing.T, database string, statements ...string) {
	t.Helper()
	db := s.db
	if database != "" {
		c, err := s.engine.Connector(database)
		if err != nil {
			t.Fatal(err)
		}
		db = open(t, c, s.engine.DriverName())
	}
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// family is a primary, its replica, and that one's.
type family struct {
	engine                 testserver.Engine
	primary, replica, last *side
	notes                  *sqlx.DB // a table on the primary
	there, thereLast       *sqlx.DB // and on the others
}

func newFamily(t *testing.T, e testserver.Engine) *family {
	t.Helper()
	opts := &testserver.Options{Primary: true}
	first := testserver.ForTest(t, e, opts)
	f := &family{engine: e, primary: newSide(t, first.URL)}
	if err := f.primary.engine.(driver.Databases).Create(t.Context(), "acme", "acme"); err != nil {
		t.Fatal(err)
	}
	f.primary.must(t, "acme", `CREATE TABLE notes (id BIGINT PRIMARY KEY)`)
	f.notes = f.database(t, f.primary)
	dir := testserver.Dir(t)
	second, err := testserver.StartReplica(t.Context(), first, dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Kill)
	f.replica = newSide(t, second.URL)
	f.there = f.database(t, f.replica)
	third, err := testserver.StartReplica(t.Context(), second, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(third.Kill)
	f.last = newSide(t, third.URL)
	f.thereLast = f.database(t, f.last)
	return f
}

func (f *family) database(t *testing.T, s *side) *sqlx.DB {
	t.Helper()
	c, err := s.engine.Connector("acme")
	if err != nil {
		t.Fatal(err)
	}
	return open(t, c, s.engine.DriverName())
}

func write(t *testing.T, db *sqlx.DB, id int) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), fmt.Sprintf(`INSERT INTO notes (id) VALUES (%d)`, id)); err != nil {
		t.Fatal(err)
	}
}

func sees(t *testing.T, db *sqlx.DB, id int) bool {
	t.Helper()
	var n int
	if err := db.GetContext(t.Context(), &n, fmt.Sprintf(`SELECT COUNT(*) FROM notes WHERE id = %d`, id)); err != nil {
		t.Fatal(err)
	}
	return n == 1
}

// TestReplication is about three real servers of each engine that replicate
// each other.
func TestReplication(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts servers")
	}
	for _, e := range []testserver.Engine{testserver.Postgres, testserver.MariaDB} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			f := newFamily(t, e)
			t.Run("server", f.testServer)
			t.Run("idle", f.testIdle)
			t.Run("paused", f.testPaused)
			t.Run("account", f.testAccount)
			t.Run("always", f.testAlways)
			t.Run("reader", f.testReader)
			t.Run("failover", f.testFailover)
		})
	}
}

// Server leads to no tenant's database.
func (f *family) testServer(t *testing.T) {
	query, want := `SELECT current_database()`, "postgres"
	if f.engine == testserver.MariaDB {
		query, want = `SELECT COALESCE(DATABASE(), '')`, ""
	}
	var got string
	if err := f.primary.db.GetContext(t.Context(), &got, query); err != nil || got != want {
		t.Errorf("got database %q, %v, want %q", got, err, want)
	}
}

// A primary on which nothing happens is reached: after a commit, and on
// PostgreSQL when the log has just gone on to another file, and when its last
// record ends with a page.
func (f *family) testIdle(t *testing.T) {
	f.replica.awaits(t, f.primary.position(t))
	write(t, f.notes, 1)
	began := time.Now()
	f.replica.awaits(t, f.primary.position(t))
	t.Logf("reached after %v", time.Since(began))
	if f.engine != testserver.Postgres {
		return
	}
	f.primary.must(t, "", `SELECT pg_switch_wal()`)
	f.replica.awaits(t, f.primary.position(t))
	for range 20 {
		f.fillPage(t)
		var filled bool // the next record is to be behind the header of a page
		if err := f.primary.db.Get(&filled, `SELECT (pg_current_wal_insert_lsn() - '0/0') % 8192 = 24`); err != nil {
			t.Fatal(err)
		}
		f.replica.awaits(t, f.primary.position(t))
		if filled {
			return
		}
	}
	t.Error("no page of the log was filled")
}

// fillPage writes a record that ends with a page of PostgreSQL's log, unless
// something else is written meanwhile.
func (f *family) fillPage(t *testing.T) {
	t.Helper()
	const overhead = 56 // of a record with a message, rounded up to 8 bytes
	var left int
	err := f.primary.db.GetContext(t.Context(), &left, `SELECT 8192 - (pg_current_wal_insert_lsn() - '0/0') % 8192`)
	if err != nil {
		t.Fatal(err)
	}
	if left < 1000 { // too little for a message of that form
		left += 8192 - 24
	}
	f.primary.must(t, "", fmt.Sprintf(`SELECT pg_logical_emit_message(false, '', repeat('x', %d))`, left-overhead))
}

// A replica that does not apply what it gets reaches nothing that comes later,
// even if somebody writes on it, and soon does when it goes on.
func (f *family) testPaused(t *testing.T) {
	write(t, f.notes, 10)
	before := f.primary.position(t)
	f.replica.awaits(t, before)
	pause, resume := `SELECT pg_wal_replay_pause()`, `SELECT pg_wal_replay_resume()`
	if f.engine == testserver.MariaDB {
		pause, resume = `STOP SLAVE SQL_THREAD`, `START SLAVE SQL_THREAD`
	}
	f.replica.must(t, "", pause)
	write(t, f.notes, 11)
	want := f.primary.position(t)
	f.replica.neverReached(t, want)
	if f.engine == testserver.MariaDB {
		for range 3 {
			f.replica.must(t, "", `CREATE DATABASE own`, `DROP DATABASE own`)
		}
		f.replica.neverReached(t, want)
	}
	if sees(t, f.there, 11) {
		t.Fatal("the replica is not paused")
	}
	if !f.replica.reached(t, before) {
		t.Errorf("the replica is at %q, want %q still", f.replica.position(t), before)
	}
	if !f.primary.reached(t, want) {
		t.Errorf("the primary is at %q, want %q as it was", f.primary.position(t), want)
	}
	f.replica.must(t, "", resume)
	f.replica.awaits(t, want)
	if !sees(t, f.there, 11) {
		t.Error("a row of before the position is not visible")
	}
}

// An account without any privilege may ask both servers.
func (f *family) testAccount(t *testing.T) {
	if f.engine == testserver.Postgres {
		f.primary.must(t, "", `CREATE ROLE plain LOGIN`)
	} else {
		f.primary.must(t, "", `CREATE USER plain@'127.0.0.1'`)
	}
	f.replica.awaits(t, f.primary.position(t))
	primary, replica := f.plain(t, f.primary), f.plain(t, f.replica)
	write(t, f.notes, 20)
	replica.awaits(t, primary.position(t))
	if !sees(t, f.there, 20) {
		t.Error("a row of before the position is not visible")
	}
}

// plain is the same server, with an account without privileges.
func (f *family) plain(t *testing.T, s *side) *side {
	t.Helper()
	return newSide(t, strings.NewReplacer("postgres@", "plain@", "root@", "plain@").Replace(s.url))
}

// What was committed on the primary before its position was taken is visible on
// the replica when that has reached it, each time, whoever else writes.
func (f *family) testAlways(t *testing.T) {
	const rounds = 500
	if f.engine == testserver.Postgres {
		// Transactions are committed before they are on disk; half of them here.
		f.primary.must(t, "", `ALTER SYSTEM SET wal_writer_delay = '10ms'`, `SELECT pg_reload_conf()`)
	} else {
		f.replica.must(t, "", `STOP SLAVE`, `SET GLOBAL slave_parallel_threads = 4`, `START SLAVE`)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, name := range []string{"globex", "initech"} {
		if err := f.primary.engine.(driver.Databases).Create(t.Context(), name, tenancy.ID(name)); err != nil {
			t.Fatal(err)
		}
		f.primary.must(t, name, `CREATE TABLE notes (id BIGINT PRIMARY KEY)`)
		c, err := f.primary.engine.Connector(name)
		if err != nil {
			t.Fatal(err)
		}
		db := open(t, c, f.primary.engine.DriverName())
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				_, err := db.ExecContext(ctx, fmt.Sprintf(`INSERT INTO notes (id) VALUES (%d)`, i))
				if err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	missing := 0
	for i := range rounds {
		f.commit(t, 1000+i, i%2 == 0)
		f.replica.awaits(t, f.primary.position(t))
		if !sees(t, f.there, 1000+i) {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d rows are not visible on a replica that has reached the position after them", missing, rounds)
	}
}

// commit writes a row, on PostgreSQL with or without waiting for the disk.
func (f *family) commit(t *testing.T, id int, disk bool) {
	t.Helper()
	tx, err := f.notes.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if f.engine == testserver.Postgres && disk {
		tx.MustExec(`SET LOCAL synchronous_commit = on`)
	}
	tx.MustExec(fmt.Sprintf(`INSERT INTO notes (id) VALUES (%d)`, id))
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// A replica of a replica reaches the primary's positions. When the replica is
// promoted, it and the old primary, which somebody still writes to, reach
// nothing that the other writes, and the last one follows the new primary.
func (f *family) testFailover(t *testing.T) {
	write(t, f.notes, 30)
	f.last.awaits(t, f.primary.position(t))
	if !sees(t, f.thereLast, 30) {
		t.Error("a row of before the position is not visible")
	}
	promote := []string{`SELECT pg_promote()`}
	if f.engine == testserver.MariaDB {
		promote = []string{`STOP SLAVE`, `RESET SLAVE ALL`}
	}
	f.replica.must(t, "", promote...)
	f.last.awaits(t, f.replica.position(t)) // nothing was written on it yet

	write(t, f.notes, 31)
	lost := f.primary.position(t)
	for i := range 20 { // its log is the longer one
		write(t, f.there, 32+i)
	}
	want := f.replica.position(t)
	f.last.awaits(t, want)
	if !sees(t, f.thereLast, 51) {
		t.Error("a row of before the position is not visible")
	}
	f.replica.neverReached(t, lost)
	f.last.neverReached(t, lost)
	for i := range 40 { // now the other one
		write(t, f.notes, 100+i)
	}
	f.primary.neverReached(t, want)

	// Without pg_monitor, PostgreSQL tells after a restart point.
	if f.engine == testserver.Postgres {
		f.replica.must(t, "", `CHECKPOINT`)
		f.last.awaits(t, f.replica.position(t))
		f.last.must(t, "", `CHECKPOINT`)
	}
	f.plain(t, f.last).awaits(t, f.replica.position(t))
}

// A server that keeps no log, and has applied none, cannot tell its position.
func TestPositionNeedsLog(t *testing.T) {
	t.Parallel()
	s := newSide(t, testserver.ForTest(t, testserver.MariaDB, nil).URL)
	p, err := s.engine.(driver.Replication).Position(t.Context(), s.conn)
	if !errors.Is(err, tenancy.ErrInvalid) || p != "" || !strings.Contains(fmt.Sprint(err), "log_bin") {
		t.Errorf("got %q, %v, want ErrInvalid that says what to set", p, err)
	}
}

// The engines tell MySQL, and connections that are not theirs, from what they
// can ask.
func TestPositionOfOthers(t *testing.T) {
	t.Parallel()
	pg, err := postgres.New("postgres://x@127.0.0.1:1/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := pg.Position(t.Context(), noConn{}); !errors.Is(err, tenancy.ErrInvalid) || p != "" {
		t.Errorf("postgres: got %q, %v, want ErrInvalid", p, err)
	}
	my, err := mysql.New("x@tcp(127.0.0.1:1)/", nil)
	if err != nil {
		t.Fatal(err)
	}
	// What MySQL 8 answers to a question for a variable that only MariaDB has.
	refused := &driverMySQL.MySQLError{Number: 1193, Message: "Unknown system variable 'gtid_binlog_pos'"}
	if p, err := my.Position(t.Context(), noConn{err: refused}); !errors.Is(err, tenancy.ErrInvalid) || p != "" {
		t.Errorf("mysql: got %q, %v, want ErrInvalid", p, err)
	}
	down := errors.New("down")
	if p, err := my.Position(t.Context(), noConn{err: down}); !errors.Is(err, down) || errors.Is(err, tenancy.ErrInvalid) || p != "" {
		t.Errorf("mysql: got %q, %v, want the connection's own error", p, err)
	}
	if at := driver.Position("mariadb:0-1-1"); pg.Reached(at, at) {
		t.Error("postgres: compared positions of MariaDB")
	}
	if at := driver.Position("pg:1:1:0/1"); my.Reached(at, at) {
		t.Error("mysql: compared positions of PostgreSQL")
	}
}

// noConn is a connection whose queries fail.
type noConn struct {
	sqldriver.Conn
	err error
}

func (c noConn) QueryContext(context.Context, string, []sqldriver.NamedValue) (sqldriver.Rows, error) {
	return nil, c.err
}
