package sqlkit_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// pooler stands before a PostgreSQL server, as PgBouncer does: in session mode a
// client keeps its session of the server, otherwise it has one for each transaction.
type pooler struct {
	server  string
	session bool
	oldest  bool // gives the session that was idle longest, not the last one
	bouncer bool // is PgBouncer
	beside  bool // the next session that comes back has another that came back after it

	mu   sync.Mutex
	idle map[string][]*serverSession // by database
	all  []*serverSession
	next uint32
}

type serverSession struct {
	net.Conn
	front *pgproto3.Frontend
}

// newPooler returns the DSN of a pooler before the server, for any database.
func newPooler(t *testing.T, dsn string, p *pooler) string {
	t.Helper()
	if p.bouncer {
		return newBouncer(t, dsn, p.session) + simple
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p.server = net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	p.idle = map[string][]*serverSession{}
	p.next = 1 << 30
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	clients.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			clients.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for _, s := range p.all {
			_ = s.Close()
		}
		p.mu.Unlock()
	})
	return strings.Replace(dsn, p.server, l.Addr().String(), 1) + simple
}

// simple has pgx prepare nothing: what is prepared stays in a session of the server.
const simple = "&default_query_exec_mode=simple_protocol"

// newBouncer returns the DSN of a PgBouncer before the server.
func newBouncer(t *testing.T, dsn string, session bool) string {
	t.Helper()
	if _, err := testserver.FindBouncer(); err != nil {
		if os.Getenv(tenancytest.RequireEnv) != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	mode := "pool_mode = transaction"
	if session {
		mode = "pool_mode = session"
	}
	b, err := testserver.StartBouncer(t.Context(), t.TempDir(), dsn, mode, "ignore_startup_parameters = extra_float_digits")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop() })
	return b.URL
}

func (p *pooler) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	back := pgproto3.NewBackend(c, c)
	first, err := back.ReceiveStartupMessage()
	start, ok := first.(*pgproto3.StartupMessage)
	if err != nil || !ok {
		return
	}
	database := start.Parameters["database"]
	p.mu.Lock()
	p.next++
	own := p.next
	p.mu.Unlock()
	back.Send(&pgproto3.AuthenticationOk{})
	for name, value := range map[string]string{"server_version": "15.0", "client_encoding": "UTF8", "standard_conforming_strings": "on"} {
		back.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
	}
	back.Send(&pgproto3.BackendKeyData{ProcessID: own, SecretKey: []byte{0, 0, 0, 1}})
	back.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if back.Flush() != nil {
		return
	}
	var s *serverSession
	defer func() {
		if s != nil {
			_ = s.Close() // its state is unknown
		}
	}()
	for {
		m, err := back.Receive()
		if err != nil {
			return
		}
		if _, ends := m.(*pgproto3.Terminate); ends {
			if s != nil && p.session {
				p.put(database, s)
				s = nil
			}
			return
		}
		if s == nil {
			if s, err = p.get(start, database); err != nil {
				back.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "3D000", Message: err.Error()})
				_ = back.Flush()
				return
			}
		}
		s.front.Send(m)
		if s.front.Flush() != nil {
			return
		}
		switch m.(type) {
		case *pgproto3.Query, *pgproto3.Sync:
		default:
			continue
		}
		status, err := answer(s, back)
		if err != nil {
			return
		}
		if status == 'I' && !p.session {
			p.put(database, s)
			s = nil
		}
	}
}

// answer passes on what the server sends, up to the end of its answer.
func answer(s *serverSession, back *pgproto3.Backend) (status byte, err error) {
	for {
		m, err := s.front.Receive()
		if err != nil {
			return 0, err
		}
		back.Send(m)
		if ready, ok := m.(*pgproto3.ReadyForQuery); ok {
			return ready.TxStatus, back.Flush()
		}
	}
}

func (p *pooler) put(database string, s *serverSession) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle[database] = append(p.idle[database], s)
	if idle := p.idle[database]; p.beside && len(idle) > 1 {
		slices.Reverse(idle[len(idle)-2:])
		p.beside = false
	}
}

func (p *pooler) get(start *pgproto3.StartupMessage, database string) (*serverSession, error) {
	p.mu.Lock()
	if idle := p.idle[database]; len(idle) > 0 {
		i := len(idle) - 1
		if p.oldest {
			i = 0
		}
		s := idle[i]
		p.idle[database] = append(idle[:i:i], idle[i+1:]...)
		p.mu.Unlock()
		return s, nil
	}
	p.mu.Unlock()
	c, err := net.Dial("tcp", p.server)
	if err != nil {
		return nil, err
	}
	s := &serverSession{c, pgproto3.NewFrontend(c, c)}
	s.front.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{
		"user": start.Parameters["user"], "database": database}})
	err = s.front.Flush()
	for err == nil {
		var m pgproto3.BackendMessage
		if m, err = s.front.Receive(); err != nil {
			break
		}
		switch m := m.(type) {
		case *pgproto3.ReadyForQuery:
			p.mu.Lock()
			p.all = append(p.all, s)
			p.mu.Unlock()
			return s, nil
		case *pgproto3.ErrorResponse:
			err = errors.New(m.Message)
		}
	}
	return nil, errors.Join(err, c.Close())
}

// Behind a pooler in transaction mode nothing is applied, made or marked, and no lock
// stays. In session mode everything works.
func TestMigrateBehindAPooler(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]*pooler{
		"transaction":         {},
		"transaction, oldest": {oldest: true},
		"session":             {session: true},
		// PgBouncer itself.
		"PgBouncer, transaction": {bouncer: true},
		"PgBouncer, session":     {bouncer: true, session: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tenancytest.NewServer(t, "postgres")
			dsn := newPooler(t, s.DSN, p)
			engine, err := postgres.New(dsn, nil)
			if err != nil {
				t.Fatal(err)
			}
			acme := s.Tenant(t, "acme")
			pool, err := dbpool.New(map[string]driver.Engine{s.Name: engine}, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = pool.Close() })
			handle, err := pool.For(t.Context(), acme)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := sql.Open("pgx", strings.Replace(dsn, "/postgres?", "/"+acme.Placement.Database+"?", 1))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = plain.Close() })
			busy(t, plain) // others use the pooler, so it has several sessions
			if _, err := handle.Exec(`SELECT 1`); err != nil {
				t.Errorf("a query: %v", err)
			}
			made := tenancytest.NewTenant("made")
			made.Placement.Server = s.Name
			t.Cleanup(func() {
				_ = s.Engine.(driver.Databases).Drop(context.WithoutCancel(t.Context()), made.Placement.Database, made.ID)
			})
			for what, do := range map[string]func() error{
				"migrating a tenant": func() error {
					_, err := sqlkit.Up(t.Context(), handle.DB, sqlkit.Postgres, fstest.MapFS{"00001_a.sql": {Data: []byte("-- +goose Up\nCREATE TABLE a (id INT);\n")}}, "a_versions")
					return err
				},
				"migrating the catalog's database": func() error {
					_, err := sqlkit.Up(t.Context(), plain, sqlkit.Postgres, fstest.MapFS{"00001_b.sql": {Data: []byte("-- +goose Up\nCREATE TABLE b (id INT);\n")}}, "b_versions")
					return err
				},
				"Create":    func() error { return pool.Create(t.Context(), made) },
				"Exclusive": func() error { return pool.Exclusive(t.Context(), acme, func(context.Context) error { return nil }) },
			} {
				err := do()
				if p.session && err != nil {
					t.Errorf("%s: %v", what, err)
				}
				if !p.session && (!errors.Is(err, tenancy.ErrInvalid) || !strings.Contains(err.Error(), "pool_mode")) {
					t.Errorf("%s: got %v, want ErrInvalid that says what to do", what, err)
				}
			}
			direct, err := pgx.Connect(t.Context(), strings.Replace(s.DSN, "/postgres?", "/"+acme.Placement.Database+"?", 1))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = direct.Close(context.WithoutCancel(t.Context())) }()
			var tables, locks int
			if err := direct.QueryRow(t.Context(), `SELECT
				(SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename IN ('a', 'b')),
				(SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND datname = current_database())`).
				Scan(&tables, &locks); err != nil {
				t.Fatal(err)
			}
			want := 0
			if p.session {
				want = 2
			}
			if tables != want || locks != 0 {
				t.Errorf("got %d tables and %d locks that stay, want %d and none", tables, locks, want)
			}
		})
	}
}

// busy makes the pooler have several sessions.
func busy(t *testing.T, db *sql.DB) {
	t.Helper()
	var txs []*sql.Tx
	for range 3 {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		txs = append(txs, tx)
	}
	for _, tx := range txs {
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
}

// A pooler is found out although somebody else's session comes back between two questions:
// each of the two connections that ask would then have a session of its own for good.
func TestCheckSessionBesideOthers(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "postgres")
	p := &pooler{}
	dsn := newPooler(t, s.DSN, p)
	plain, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Close() })
	busy(t, plain)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	p.mu.Lock()
	p.beside = true
	p.mu.Unlock()
	if err := sqlkit.CheckSession(t.Context(), conn); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("got %v, want %v", err, tenancy.ErrInvalid)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.beside {
		t.Error("no session came back")
	}
}
