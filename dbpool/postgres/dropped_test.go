package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A server that ends a session says the same when it shuts down, when an operator ends the
// session, and when somebody drops the database. Only the last is a database that is gone.
func TestTerminatedSession(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "postgres")
	e := s.Engine.(*postgres.Engine)
	for name, call := range map[string]func(ctx context.Context, database string, tenant tenancy.ID) error{
		"Drop":  e.Drop,
		"Claim": e.Claim,
		"Adopt": func(ctx context.Context, db string, id tenancy.ID) error { return e.Adopt(ctx, db, id, true) },
		"Owner": func(ctx context.Context, db string, _ tenancy.ID) error { _, err := e.Owner(ctx, db); return err },
		"Exclusive": func(ctx context.Context, db string, _ tenancy.ID) error {
			return e.Exclusive(ctx, db, func(context.Context) error { return errors.New("it ran") })
		},
	} {
		for _, gone := range []bool{false, true} {
			t.Run(name+map[bool]string{false: ", ended", true: ", dropped"}[gone], func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				tenant := s.Tenant(t, "acme")
				db := tenant.Placement.Database
				connect := func(database string) *pgx.Conn {
					t.Helper()
					config, err := pgx.ParseConfig(s.DSN)
					if err != nil {
						t.Fatal(err)
					}
					if database != "" {
						config.Database = database
					}
					conn, err := pgx.ConnectConfig(ctx, config)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(ctx)) })
					return conn
				}
				server, holder := connect(""), connect(db)
				if _, err := holder.Exec(ctx, `BEGIN; LOCK TABLE public.tenancy_marker`); err != nil {
					t.Fatal(err)
				}
				left := make(chan struct{})
				held := make(chan error, 1)
				entered := make(chan struct{})
				go func() { // who has the lock that Exclusive waits for
					held <- e.Exclusive(ctx, db, func(ctx context.Context) error {
						close(entered)
						select {
						case <-left:
						case <-ctx.Done():
						}
						return nil
					})
				}()
				<-entered
				var pid int // the session of that lock
				if err := server.QueryRow(ctx, `SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database
					WHERE locktype = 'advisory' AND granted AND datname = $1`, db).Scan(&pid); err != nil {
					t.Fatal(err)
				}
				got := make(chan error, 1)
				go func() { got <- call(ctx, db, tenant.ID) }()
				for waiting := false; !waiting; { // until the call has a session
					err := server.QueryRow(ctx, `SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = $1 AND pid <> $2 AND pid <> $3 AND query <> ''`,
						db, pid, holder.PgConn().PID()).Scan(&waiting)
					if err != nil {
						t.Fatal(err)
					}
				}
				statement, args := `DROP DATABASE `+pgx.Identifier{db}.Sanitize()+` WITH (FORCE)`, []any(nil)
				if !gone {
					statement = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> $2 AND pid <> $3`
					args = []any{db, pid, holder.PgConn().PID()}
				}
				var err error
				for done := false; !done; { // a session of the call may have ended by itself, and it has another
					if _, err := server.Exec(ctx, statement, args...); err != nil && !gone {
						t.Fatal(err)
					}
					select {
					case err = <-got:
						done = true
					case <-time.After(10 * time.Millisecond):
					}
				}
				close(left)
				if err := <-held; err != nil && !errors.Is(err, tenancy.ErrUnavailable) { // its session may have been ended with the others
					t.Logf("who held the lock: %v", err)
				}
				if errors.Is(err, tenancy.ErrNotFound) != gone || err == nil {
					t.Errorf("got %v, want ErrNotFound: %v", err, gone)
				}
				if there, err := e.Exists(ctx, db); err != nil || there == gone {
					t.Errorf("the database is there: got %v, %v, want %v", there, err, !gone)
				}
			})
		}
	}
}

// Who is slow to drop a database looks whose it is once nobody else drops it: it may be the next one of
// that name.
func TestDropLooksUnderTheLock(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "postgres")
	e := s.Engine.(*postgres.Engine)
	ctx := t.Context()
	old := s.Tenant(t, "old")
	name, next := old.Placement.Database, tenancytest.NewTenant("next")
	server, err := pgx.Connect(ctx, s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close(context.WithoutCancel(ctx)) }()
	key := sqlkit.LockKey("tenancy:drop:" + name)
	if _, err := server.Exec(ctx, `SELECT pg_advisory_lock($1)`, key); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() { got <- e.Drop(ctx, name, old.ID) }()
	asked := `SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%pg_try_advisory_lock%' AND pid <> pg_backend_pid() AND datname = current_database()`
	for waits := false; !waits; time.Sleep(time.Millisecond) {
		select {
		case err := <-got:
			t.Fatalf("got %v while another drops, want it to wait", err)
		default:
		}
		if err := server.QueryRow(ctx, asked).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := server.Exec(ctx, `DROP DATABASE `+pgx.Identifier{name}.Sanitize()+` WITH (FORCE)`); err != nil {
		t.Fatal(err)
	}
	if err := e.Create(ctx, name, next.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Exec(ctx, `SELECT pg_advisory_unlock($1)`, key); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, tenancy.ErrForbidden) {
		t.Errorf("got %v, want ErrForbidden", err)
	}
	if err := e.Drop(ctx, name, next.ID); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// A drop that has begun goes on when its caller's context ends: an interrupted one leaves a database that nobody can use.
func TestDropGoesOn(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "postgres")
	e := s.Engine.(*postgres.Engine)
	acme := s.Tenant(t, "acme")
	name := acme.Placement.Database
	server, err := pgx.Connect(t.Context(), s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close(context.WithoutCancel(t.Context())) }()
	holder, err := server.Begin(t.Context())
	if err == nil {
		_, err = holder.Exec(t.Context(), `COMMENT ON DATABASE `+pgx.Identifier{name}.Sanitize()+` IS 'held'`)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan error, 1)
	go func() { got <- e.Drop(ctx, name, acme.ID) }()
	asked := `SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'DROP DATABASE "' || $1 || '"%' AND wait_event_type = 'Lock'`
	other, err := pgx.Connect(t.Context(), s.DSN) // a transaction sees one state of the sessions
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close(context.WithoutCancel(t.Context())) }()
	for waits := false; !waits; time.Sleep(time.Millisecond) {
		if err := other.QueryRow(t.Context(), asked, name).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("got %v, want it dropped", err)
	}
	if there, err := e.Exists(t.Context(), name); there || err != nil {
		t.Errorf("the database is there: got %v, %v", there, err)
	}
}

// What is left of a drop that was interrupted is no database any more, and is dropped again.
func TestDropOfAHalfDroppedDatabase(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "postgres")
	e := s.Engine.(*postgres.Engine)
	ctx := t.Context()
	acme := s.Tenant(t, "acme")
	name := acme.Placement.Database
	server, err := pgx.Connect(ctx, s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close(context.WithoutCancel(ctx)) }()
	if _, err := server.Exec(ctx, `UPDATE pg_database SET datconnlimit = -2 WHERE datname = $1`, name); err != nil { // as the server does
		t.Fatal(err)
	}
	if err := e.Exclusive(ctx, name, func(context.Context) error { return errors.New("it ran") }); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("Exclusive: got %v, want ErrNotFound", err)
	}
	if err := e.Drop(ctx, name, acme.ID); err != nil {
		t.Errorf("Drop: %v", err)
	}
	if there, err := e.Exists(ctx, name); there || err != nil {
		t.Errorf("the database is there: got %v, %v", there, err)
	}
	if err := e.Drop(ctx, name, acme.ID); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("once more: got %v, want ErrNotFound", err)
	}
}
