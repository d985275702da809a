package dbpool_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// observed is one call of an observer.
type seen struct {
	call   string // wait, statement or release
	who    string // says the context
	tenant tenancy.ID
	took   time.Duration
	local  bool
	err    error
	text   string
}

type whoKey struct{}

func who(ctx context.Context) string {
	name, _ := ctx.Value(whoKey{}).(string)
	return name
}

// watching keeps what it observes.
type watching struct {
	mu  sync.Mutex // guards all
	all []seen
}

func (w *watching) add(s seen) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, s)
}

func (w *watching) ObserveWait(ctx context.Context, id tenancy.ID, wait time.Duration, err error) {
	w.add(seen{"wait", who(ctx), id, wait, false, err, ""})
}

func (w *watching) ObserveStatement(ctx context.Context, id tenancy.ID, took time.Duration, local bool, err error) {
	w.add(seen{"statement", who(ctx), id, took, local, err, ""})
}

func (w *watching) ObserveRelease(id tenancy.ID, held time.Duration) {
	w.add(seen{"release", "", id, held, false, nil, ""})
}

func (w *watching) ObserveText(id tenancy.ID, driver, text string, took time.Duration, err error) {
	w.add(seen{"text", driver, id, took, false, err, text})
}

// take returns what was observed since the last take.
func (w *watching) take(call string) []seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []seen
	w.all = slices.DeleteFunc(w.all, func(s seen) bool {
		if s.call == call {
			found = append(found, s)
		}
		return s.call == call
	})
	return found
}

func TestObserver(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		w := &watching{}
		pool := s.Pool(t, &dbpool.Options{Observer: w, MaxConns: 1, Budget: 4})
		tenant := s.Tenant(t, "acme")
		ctx := context.WithValue(tenancy.NewContext(t.Context(), tenant), whoKey{}, "a request")
		db, err := pool.DB(ctx)
		if err != nil {
			t.Fatal(err)
		}
		t.Run("connections", func(t *testing.T) { observedConnections(ctx, t, w, db) })
		t.Run("statements", func(t *testing.T) { observedStatements(ctx, t, w, db, s.Name == "sqlite") })
		if s.Name == "sqlite" {
			t.Run("turns to write", func(t *testing.T) { observedTurns(t, s) })
		}
	})
}

// observedConnections wants requests for connections and returns reported.
func observedConnections(ctx context.Context, t *testing.T, w *watching, db *sqlx.DB) {
	first, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.take("wait"); len(got) != 1 || got[0].took <= 0 || got[0].err != nil || got[0].who != "a request" {
		t.Errorf("the first connection: got %+v, want one wait of the request", got)
	}
	if got := w.take("release"); len(got) != 0 {
		t.Errorf("a connection in use: got %+v, want no return", got)
	}
	short, cancel := context.WithCancel(context.WithValue(ctx, whoKey{}, "who gives up"))
	gaveUp := make(chan error)
	go func() {
		_, err := db.Conn(short)
		gaveUp <- err
	}()
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want that the context ended", err)
	}
	for _, each := range w.take("wait") { // none if database/sql saw first that the context had ended
		if each.err == nil || each.who != "who gives up" {
			t.Errorf("a wait in vain: got %+v, want an error of who gave up", each)
		}
	}
	waits := make(chan error)
	go func() {
		second, err := db.Conn(context.WithValue(ctx, whoKey{}, "who waits"))
		if err == nil {
			err = second.Close()
		}
		waits <- err
	}()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waits; err != nil {
		t.Fatal(err)
	}
	if got := w.take("wait"); len(got) != 1 || got[0].err != nil || got[0].who != "who waits" {
		t.Errorf("one that waits: got %+v, want one of who waits", got)
	}
	if got := w.take("release"); len(got) != 2 || got[0].took <= 0 {
		t.Errorf("got %+v, want two returns", got)
	}
	if err := db.PingContext(ctx); err != nil {
		t.Fatal(err)
	}
	if got := w.take("wait"); len(got) != 1 || got[0].err != nil {
		t.Errorf("an idle connection: got %+v, want one request", got)
	}
	if got := w.take("statement"); len(got) != 0 {
		t.Errorf("without statements: got %+v", got)
	}
	w.take("release")
}

// observedStatements wants each statement reported once, for the tenant.
func observedStatements(ctx context.Context, t *testing.T, w *watching, db *sqlx.DB, local bool) {
	for _, tt := range []struct {
		name         string
		do           func() error
		want, failed int
		texts        []string
	}{
		{"exec", func() error { _, err := db.ExecContext(ctx, `CREATE TABLE notes (n INT)`); return err }, 1, 0, []string{`CREATE TABLE notes (n INT)`}},
		{"exec with arguments", func() error {
			_, err := db.ExecContext(ctx, db.Rebind(`INSERT INTO notes (n) VALUES (?), (?), (?)`), 1, 2, 3)
			return err
		}, 1, 0, []string{db.Rebind(`INSERT INTO notes (n) VALUES (?), (?), (?)`)}},
		{"query of one row", func() error { return db.GetContext(ctx, new(int), `SELECT COUNT(*) FROM notes`) }, 1, 0, []string{`SELECT COUNT(*) FROM notes`}},
		{"query of rows", func() error {
			var all []int
			err := db.SelectContext(ctx, &all, db.Rebind(`SELECT n FROM notes WHERE n > ?`), 0)
			if err == nil && len(all) != 3 {
				err = fmt.Errorf("got %v", all)
			}
			return err
		}, 1, 0, []string{db.Rebind(`SELECT n FROM notes WHERE n > ?`)}},
		{"rows that are left", func() error {
			rows, err := db.QueryContext(ctx, `SELECT n FROM notes`)
			if err != nil {
				return err
			}
			defer rows.Close() // a second time
			rows.Next()
			return errors.Join(rows.Err(), rows.Close())
		}, 1, 0, []string{`SELECT n FROM notes`}},
		{"prepared", func() (err error) {
			st, err := db.PrepareContext(ctx, db.Rebind(`INSERT INTO notes (n) VALUES (?)`))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, st.Close()) }()
			for n := range 2 {
				if _, err := st.ExecContext(ctx, n); err != nil {
					return err
				}
			}
			return nil
		}, 2, 0, slices.Repeat([]string{db.Rebind(`INSERT INTO notes (n) VALUES (?)`)}, 2)},
		{"transaction", func() error {
			tx, err := db.BeginTxx(ctx, nil)
			if err == nil {
				_, err = tx.ExecContext(ctx, `DELETE FROM notes`)
			}
			return errors.Join(err, tx.Commit())
		}, 3, 0, []string{`DELETE FROM notes`}},
		{"taken back", func() error {
			tx, err := db.BeginTxx(ctx, nil)
			return errors.Join(err, tx.Rollback())
		}, 2, 0, nil},
		{"an error", func() error {
			if _, err := db.ExecContext(ctx, `INSERT INTO nothing (n) VALUES (1)`); err == nil {
				return errors.New("no error")
			}
			return nil
		}, 1, 1, []string{`INSERT INTO nothing (n) VALUES (1)`}},
		{"an error of a query", func() error {
			if err := db.GetContext(ctx, new(int), db.Rebind(`SELECT n FROM nothing WHERE n = ?`), 1); err == nil {
				return errors.New("no error")
			}
			return nil
		}, 1, 1, []string{db.Rebind(`SELECT n FROM nothing WHERE n = ?`)}},
	} {
		if err := tt.do(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		got := w.take("statement")
		var texts []string
		for _, each := range w.take("text") {
			if !slices.ContainsFunc(got, func(s seen) bool { return s.took == each.took && s.tenant == each.tenant && errors.Is(each.err, s.err) }) || each.who != db.DriverName() {
				t.Errorf("%s: got a text %+v beside %+v", tt.name, each, got)
			}
			texts = append(texts, each.text)
		}
		if !slices.Equal(texts, tt.texts) {
			t.Errorf("%s: got the texts %q, want %q", tt.name, texts, tt.texts)
		}
		failed := 0
		for _, each := range got {
			if each.err != nil {
				failed++
			}
			if each.tenant == "" || each.local != local || each.took <= 0 || each.who != "a request" {
				t.Errorf("%s: got %+v, want the tenant, a time, and local %v", tt.name, each, local)
			}
		}
		if len(got) != tt.want || failed != tt.failed {
			t.Errorf("%s: got %+v, want %d statements, %d of them failed", tt.name, got, tt.want, tt.failed)
		}
		if released := w.take("release"); len(released) == 0 {
			t.Errorf("%s: no connection came back", tt.name)
		}
	}
}

// observedTurns wants a wait for the turn to write reported.
func observedTurns(t *testing.T, s *tenancytest.Server) {
	w := &watching{}
	pool := s.Pool(t, &dbpool.Options{Observer: w, MaxConns: 4})
	ctx := tenancy.NewContext(t.Context(), s.Tenant(t, "globex"))
	db, err := pool.DB(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, `CREATE TABLE notes (n INT)`); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.take("wait")
	var got []seen
	for wait := 100 * time.Millisecond; len(got) < 2 && wait < time.Minute; wait *= 2 { // on a slow machine a connection takes longer than that
		late, cancel := context.WithTimeout(context.WithValue(ctx, whoKey{}, "who gives up"), wait)
		_, err := db.ExecContext(late, `DELETE FROM notes`)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want that the context ended", err)
		}
		got = w.take("wait")
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].err != nil || got[1].took <= 0 || !errors.Is(got[1].err, context.DeadlineExceeded) || got[1].who != "who gives up" {
		t.Errorf("got %+v, want a connection, and a wait in vain for the turn to write", got)
	}
}

// The pool's own connections are nobody's, and a wait belongs to who asks, not to the tenant.
func TestObserverWithoutTenant(t *testing.T) {
	t.Parallel()
	w := &watching{}
	s := tenancytest.NewServer(t, "sqlite")
	tenant := s.Tenant(t, "acme")
	db, err := s.Pool(t, &dbpool.Options{Observer: w}).For(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	ctx := dbpool.LowPriority(context.WithValue(t.Context(), whoKey{}, "a job"))
	if err := db.GetContext(ctx, new(int), `SELECT 1`); err != nil {
		t.Fatal(err)
	}
	if !dbpool.IsLowPriority(ctx) || dbpool.IsLowPriority(t.Context()) {
		t.Error("IsLowPriority does not tell background work")
	}
	for _, call := range []string{"wait", "statement"} {
		if got := w.take(call); len(got) != 1 || got[0].who != "a job" || got[0].tenant != tenant.ID {
			t.Errorf("%s: got %+v, want one of the job, for the tenant", call, got)
		}
	}
}
