package dbpool_test

import (
	"bytes"
	"context"
	sqldriver "database/sql/driver"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// pooler stands between clients and a server, and changes what clients send.
type pooler struct {
	net.Listener
	to     string
	change func(sent []byte) (pass, answer []byte)
	all    sync.WaitGroup
}

// newPooler starts one. It ends with the test.
func newPooler(t *testing.T, to string, change func([]byte) (pass, answer []byte)) *pooler {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pooler{Listener: l, to: to, change: change}
	p.all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.all.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); p.all.Wait() })
	return p
}

func (p *pooler) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	p.all.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		pass, answer := p.change(buf[:n])
		if answer != nil {
			_, _ = client.Write(answer)
			return
		}
		if _, err := server.Write(pass); err != nil {
			return
		}
	}
}

// readOnlyRequest is what asks for a session that only reads, and something of the
// same length that does not.
var readOnlyRequest = map[string][2]string{
	"postgres": {"default_transaction_read_only\x00", "tenancy.nothing_of_that_sort_\x00"},
	"mysql":    {"SET SESSION TRANSACTION READ ONLY", "SET @nothing_of_that_sort_____= 1"},
}

// dropping forgets that a session was to be read-only, as PgBouncer does with
// ignore_startup_parameters.
func dropping(engine string) func([]byte) (pass, answer []byte) {
	r := readOnlyRequest[engine]
	return func(sent []byte) ([]byte, []byte) { return bytes.ReplaceAll(sent, []byte(r[0]), []byte(r[1])), nil }
}

// refusing answers such a request with an error, as PgBouncer does.
func refusing(engine string) func([]byte) (pass, answer []byte) {
	r := readOnlyRequest[engine]
	return func(sent []byte) ([]byte, []byte) {
		if !bytes.Contains(sent, []byte(r[0])) {
			return sent, nil
		}
		if engine == "mysql" {
			body := "\xff\xa9\x04#42000no such variable" // 1193
			return nil, append([]byte{byte(len(body)), 0, 0, 1}, body...)
		}
		body := "SFATAL\x00VFATAL\x00C08P01\x00Munsupported startup parameter: " + r[0] + "\x00"
		return nil, append(binary.BigEndian.AppendUint32([]byte{'E'}, uint32(4+len(body))), body...)
	}
}

// behind returns an engine whose connections go through a pooler.
func behind(t *testing.T, s *tenancytest.Server, change func([]byte) (pass, answer []byte)) driver.Engine {
	t.Helper()
	dsn := s.DSN
	if !strings.Contains(dsn, "://") { // the driver's own form
		_, rest, _ := strings.Cut(dsn, "@tcp(")
		address, _, _ := strings.Cut(rest, ")")
		dsn = strings.Replace(dsn, address, newPooler(t, address, change).Addr().String(), 1)
	} else {
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		u.Host = newPooler(t, u.Host, change).Addr().String()
		dsn = u.String()
	}
	var e driver.Engine
	var err error
	if s.Name == "postgres" {
		e, err = postgres.New(dsn, nil)
	} else {
		e, err = mysql.New(dsn, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Behind a pooler that does not make sessions read-only, nothing is written in a
// read-only context, and connections that write are not troubled.
func TestReadOnlyBehindAPooler(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"postgres", "mysql"} {
		for how, change := range map[string]func(string) func([]byte) (pass, answer []byte){"drops it": dropping, "refuses it": refusing} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				s := tenancytest.NewServer(t, name)
				pool, err := dbpool.New(map[string]driver.Engine{name: behind(t, s, change(name))}, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = pool.Close() }()
				for i := range 4 { // more than it takes to open the server's breaker
					ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
					db, err := pool.DB(ctx)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := db.ExecContext(ctx, `CREATE TABLE notes (id INT)`); err != nil {
						t.Errorf("tenant %d, writing: %v", i, err)
					}
					reading := tenancy.WithReadOnly(ctx)
					ro, err := pool.DB(reading)
					if err != nil {
						t.Fatal(err)
					}
					var wrong *driver.SettingError
					if _, err := ro.ExecContext(reading, `INSERT INTO notes (id) VALUES (1)`); !errors.Is(err, tenancy.ErrUnavailable) || how == "drops it" && !errors.As(err, &wrong) {
						t.Errorf("tenant %d, writing in a read-only context: got %v, want ErrUnavailable", i, err)
					}
					var n int
					if err := db.GetContext(ctx, &n, `SELECT COUNT(*) FROM notes`); err != nil || n != 0 {
						t.Errorf("tenant %d: got %d notes, %v, want none", i, n, err)
					}
				}
				if st := pool.Stat(name); st.Breaker != "closed" {
					t.Errorf("got the server's breaker %s, want it closed", st.Breaker)
				}
			})
		}
	}
}

// Behind PgBouncer, in both modes, nothing is written in a read-only context, whether
// it drops the startup parameter that asks for one or refuses it.
func TestReadOnlyBehindPgBouncer(t *testing.T) {
	t.Parallel()
	if _, err := testserver.FindBouncer(); err != nil {
		if os.Getenv(tenancytest.RequireEnv) != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	for _, mode := range []string{"session", "transaction"} {
		for _, ignored := range []string{"extra_float_digits", "extra_float_digits, default_transaction_read_only"} {
			t.Run(mode+" ignoring "+ignored, func(t *testing.T) {
				t.Parallel()
				s := tenancytest.NewServer(t, "postgres")
				b, err := testserver.StartBouncer(t.Context(), testserver.Dir(t), s.DSN, "pool_mode = "+mode, "ignore_startup_parameters = "+ignored)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = b.Stop() }()
				e, err := postgres.New(b.URL+"&default_query_exec_mode=simple_protocol", nil)
				if err != nil {
					t.Fatal(err)
				}
				pool, err := dbpool.New(map[string]driver.Engine{s.Name: e}, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = pool.Close() }()
				for range 4 { // more than it takes to open the server's breaker
					neverWritesInReadOnly(t, pool, s.Tenant(t, "acme"))
				}
				if st := pool.Stat(s.Name); st.Breaker != "closed" {
					t.Errorf("got the server's breaker %s, want it closed", st.Breaker)
				}
			})
		}
	}
}

// neverWritesInReadOnly writes to a tenant's database, and fails to in a read-only context.
func neverWritesInReadOnly(t *testing.T, pool *dbpool.Pool, tenant *tenancy.Tenant) {
	t.Helper()
	ctx := tenancy.NewContext(t.Context(), tenant)
	db, err := pool.DB(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, `CREATE TABLE notes (id INT)`); err != nil {
		t.Errorf("writing: %v", err)
	}
	reading := tenancy.WithReadOnly(ctx)
	ro, err := pool.DB(reading)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ro.ExecContext(reading, `INSERT INTO notes (id) VALUES (1)`); !errors.Is(err, tenancy.ErrUnavailable) {
		t.Errorf("writing in a read-only context: got %v, want ErrUnavailable", err)
	}
	var n int
	if err := db.GetContext(ctx, &n, `SELECT COUNT(*) FROM notes`); err != nil || n != 0 {
		t.Errorf("got %d notes, %v, want none", n, err)
	}
}

// spoilers are statements that take from a connection a setting on which a promise
// rests, by engine; whether only for connections that must not write.
var spoilers = map[string]map[string]bool{
	"postgres": {`SET default_transaction_read_only = off`: true, `SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE`: true},
	"mysql":    {`SET SESSION TRANSACTION READ WRITE`: true, `SET tx_read_only = 0`: true, `SET autocommit = 0`: false},
	"sqlite":   {`PRAGMA query_only = 0`: true, `PRAGMA foreign_keys = 0`: false, `PRAGMA journal_mode = DELETE`: false},
}

// What one user of a connection takes back, the next one does not miss, even where
// sessions are kept.
func TestSettingsOfKeptSessions(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "acme"))
		for statement, reads := range spoilers[s.Name] {
			pool := s.Pool(t, &dbpool.Options{MaxConns: 1, KeepSessions: true})
			ctx := ctx
			if reads {
				ctx = tenancy.WithReadOnly(ctx)
			}
			db, err := pool.DB(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.ExecContext(ctx, statement); err != nil {
				t.Errorf("%s: %v", statement, err)
			}
			if err := db.PingContext(ctx); err != nil {
				t.Errorf("after %s: %v", statement, err)
			}
			if st := pool.Stat(s.Name); st.Dials != 2 {
				t.Errorf("after %s: got %d dials, want another for the next user", statement, st.Dials)
			}
			_ = pool.Close()
		}
	})
}

// The database that a request of a kept session chooses is not the next one's.
func TestDatabaseOfKeptSessions(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "mysql")
	pool := s.Pool(t, &dbpool.Options{MaxConns: 1, KeepSessions: true})
	acme, globex := s.Tenant(t, "acme"), s.Tenant(t, "globex")
	for name, choose := range map[string]func(ctx context.Context, db *sqlx.DB) error{
		"Exec": func(ctx context.Context, db *sqlx.DB) error {
			_, err := db.ExecContext(ctx, "USE `"+globex.Placement.Database+"`")
			return err
		},
		"Raw": func(ctx context.Context, db *sqlx.DB) error {
			c, err := db.Conn(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			return c.Raw(func(raw any) error {
				_, err := dbpool.Unwrap(raw).(sqldriver.ExecerContext).ExecContext(ctx, "USE `"+globex.Placement.Database+"`", nil)
				return err
			})
		},
	} {
		ctx := tenancy.NewContext(t.Context(), acme)
		db, err := pool.DB(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := choose(ctx, db); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := db.GetContext(ctx, &got, `SELECT DATABASE()`); err != nil || got != acme.Placement.Database {
			t.Errorf("after %s: got database %q, %v, want %q", name, got, err, acme.Placement.Database)
		}
	}
}

// What stands in between keeps the sessions' time zone to itself, and the server is not in UTC:
// its times would be read as what they are not. With a time zone of the DSN's own they are.
func TestTimeZoneIsDropped(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "mysql")
	tenant := s.Tenant(t, "acme")
	dropped := func(sent []byte) ([]byte, []byte) {
		return bytes.ReplaceAll(sent, []byte("time_zone = '+00:00'"), []byte(" sql_mode=@@sql_mode")), nil
	}
	pool, err := dbpool.New(map[string]driver.Engine{s.Name: behind(t, s, dropped)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	db, err := pool.For(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	var wrong *driver.SettingError
	if err := db.Ping(); !errors.As(err, &wrong) || wrong.Name != "time_zone" || !errors.Is(err, tenancy.ErrUnavailable) {
		t.Errorf("got %v, want a SettingError of time_zone", err)
	}
	for _, own := range []string{"?time_zone=%27%2B05%3A00%27", "?loc=Local"} {
		e, err := mysql.New(s.DSN+own, nil)
		if err != nil {
			t.Fatal(err)
		}
		pool, err := dbpool.New(map[string]driver.Engine{s.Name: e}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = pool.Close() }()
		db, err := pool.For(t.Context(), tenant)
		if err == nil {
			err = db.Ping()
		}
		if err != nil {
			t.Errorf("%s: %v", own, err)
		}
	}
}

// A server whose sessions do not commit by themselves is not used: what a statement
// writes would be lost, or be in the transaction of the next user.
func TestAutocommitIsOff(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "mysql")
	tenant := s.Tenant(t, "acme")
	e, err := mysql.New(s.DSN+"?autocommit=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := dbpool.New(map[string]driver.Engine{s.Name: e}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	db, err := pool.For(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	var wrong *driver.SettingError
	if err := db.Ping(); !errors.As(err, &wrong) || wrong.Name != "autocommit" {
		t.Errorf("got %v, want a SettingError of autocommit", err)
	}
}
