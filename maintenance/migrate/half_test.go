package migrate_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// halves is a tenant on MariaDB or MySQL, whose migrations are cut off.
type halves struct {
	*testing.T
	pool   *dbpool.Pool
	tenant *tenancy.Tenant
	db     *sqlx.DB
	trail  tenancytest.Audit
}

func newHalves(t *testing.T) *halves {
	t.Helper()
	s := tenancytest.NewServer(t, "mysql")
	h := &halves{T: t, pool: s.Pool(t, nil), tenant: s.Tenant(t, "acme")}
	var err error
	if h.db, err = h.pool.For(t.Context(), h.tenant); err != nil {
		t.Fatal(err)
	}
	return h
}

// with returns a migrator whose first file makes a table of counts, and whose second has
// those statements.
func (h *halves) with(up, down string) *migrate.Migrator {
	h.Helper()
	m, err := migrate.New(h.pool, fstest.MapFS{
		"00001_counts.sql": {Data: []byte("-- +goose Up\nCREATE TABLE counts (n INT);\n")},
		"00002_more.sql":   {Data: []byte("-- +goose Up\n" + up + "\n-- +goose Down\n" + down + "\n")},
	}, &migrate.Options{Audit: &h.trail})
	if err != nil {
		h.Fatal(err)
	}
	return m
}

// wantCounts checks how often something was counted: a statement that is carried out twice shows.
func (h *halves) wantCounts(what string, want int) {
	h.Helper()
	var n int
	if err := h.db.Get(&n, `SELECT COUNT(*) FROM counts`); err != nil || n != want {
		h.Errorf("%s: got %d counted, %v, want %d", what, n, err, want)
	}
}

// wantTold checks what the audit says.
func (h *halves) wantTold(want ...string) {
	h.Helper()
	if got := told(&h.trail, h.tenant.ID); !slices.Equal(got, want) {
		h.Errorf("got the entries %q, want %q", got, want)
	}
}

// wantHalf checks that nothing works on the database, and why.
func (h *halves) wantHalf(m *migrate.Migrator, want migrate.HalfError) {
	h.Helper()
	for what, do := range map[string]func() error{
		"UpTo": func() error { _, err := m.UpTo(h.Context(), h.tenant, migrate.Latest); return err },
		"Down": func() error { _, err := m.Down(h.Context(), h.tenant); return err },
		"Redo": func() error { _, err := m.Redo(h.Context(), h.tenant); return err },
	} {
		err := do()
		var half *migrate.HalfError
		if !errors.As(err, &half) || !errors.Is(err, tenancy.ErrConflict) {
			h.Fatalf("%s: got %v, want a HalfError", what, err)
		}
		if got := *half; got.Version != want.Version || got.File != want.File || got.Statement != want.Statement || got.Down != want.Down ||
			!strings.HasPrefix(got.Text, want.Text) || (got.Problem == "") != (want.Problem == "") {
			h.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
}

// A migration whose statement fails behind one that MySQL cannot take back is named, and not
// run again until somebody resumes it.
func TestHalfMigrationResumed(t *testing.T) {
	t.Parallel()
	h := newHalves(t)
	broken := "CREATE TABLE a (n INT);\nINSERT INTO counts VALUES (1);\n%;\nCREATE TABLE b (n INT);"
	m := h.with(strings.Replace(broken, "%", "SELEKT 1", 1), "DROP TABLE a;")
	res, err := m.UpTo(t.Context(), h.tenant, migrate.Latest)
	if err == nil || res.Version != 1 {
		t.Fatalf("got %+v, %v, want the first migration and an error", res, err)
	}
	want := migrate.HalfError{Version: 2, File: "00002_more.sql", Statement: 3, Text: "SELEKT 1", Problem: "yes"}
	h.wantHalf(m, want)
	mended := h.with(strings.Replace(broken, "%", "INSERT INTO counts VALUES (2)", 1), "DROP TABLE a;\nDROP TABLE b;")
	h.wantHalf(mended, want)
	h.wantCounts("while it is half", 1)
	st, err := mended.Status(t.Context(), h.tenant)
	if err != nil || st.Half == nil || st.Half.Statement != 3 || st.UpToDate() {
		t.Errorf("got %+v, %v, want a half migration", st, err)
	}
	for _, n := range []int{0, -1, 5} {
		if _, err := mended.Resume(t.Context(), h.tenant, n); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("statement %d: got %v, want ErrInvalid", n, err)
		}
	}
	res, err = mended.Resume(t.Context(), h.tenant, 3)
	if err != nil || res.Version != 2 || len(res.Up) != 1 {
		t.Errorf("Resume: got %+v, %v", res, err)
	}
	h.wantCounts("after it was resumed", 2)
	if _, err := h.db.Exec(`INSERT INTO b VALUES (1)`); err != nil {
		t.Errorf("the last statement: %v", err)
	}
	st, err = mended.Status(t.Context(), h.tenant)
	if err != nil || st.Half != nil || !st.UpToDate() {
		t.Errorf("got %+v, %v, want it up to date", st, err)
	}
	if res, err := mended.Resume(t.Context(), h.tenant, 1); err != nil || len(res.Up) != 0 {
		t.Errorf("Resume of nothing: got %+v, %v", res, err)
	}
	if res, err := mended.Down(t.Context(), h.tenant); err != nil || res.Version != 1 {
		t.Errorf("Down: got %+v, %v", res, err)
	}
	h.wantTold("schema.resume done")
}

// One that is cut off in the middle of a statement is named, and can be marked.
func TestHalfMigrationMarked(t *testing.T) {
	t.Parallel()
	h := newHalves(t)
	m := h.with("CREATE TABLE a (n INT);\nINSERT INTO counts SELECT SLEEP(600);\nCREATE TABLE b (n INT);", "DROP TABLE a;\nSELEKT 1;")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { _, err := m.UpTo(ctx, h.tenant, migrate.Latest); done <- err }()
	for {
		var statement int
		err := h.db.Get(&statement, `SELECT statement FROM tenancy_migrating WHERE version = 2`)
		if err == nil && statement == 2 {
			break
		}
		select {
		case err := <-done:
			t.Fatalf("it ended: %v", err)
		case <-t.Context().Done():
			t.Fatal("it does not come to its second statement")
		case <-time.After(10 * time.Millisecond):
		}
	}
	cancel()
	if err := <-done; err == nil {
		t.Fatal("got no error of a migration that was cut off")
	}
	h.wantHalf(m, migrate.HalfError{Version: 2, File: "00002_more.sql", Statement: 2, Text: "INSERT INTO counts"})
	if _, err := h.db.Exec(`CREATE TABLE b (n INT)`); err != nil { // by hand
		t.Fatal(err)
	}
	res, err := m.Mark(t.Context(), h.tenant)
	if err != nil || res.Version != 2 || len(res.Up) != 1 {
		t.Errorf("Mark: got %+v, %v", res, err)
	}
	h.wantCounts("after it was marked", 0)
	if res, err := m.UpTo(t.Context(), h.tenant, migrate.Latest); err != nil || len(res.Up) != 0 {
		t.Errorf("UpTo: got %+v, %v, want nothing to do", res, err)
	}

	// The way back is cut off, too.
	if _, err := m.Down(t.Context(), h.tenant); err == nil {
		t.Fatal("got no error of the way back")
	}
	back := migrate.HalfError{Version: 2, File: "00002_more.sql", Down: true, Statement: 2, Text: "SELEKT 1", Problem: "yes"}
	_, err = m.Down(t.Context(), h.tenant)
	var half *migrate.HalfError
	if !errors.As(err, &half) || !half.Down || half.Statement != back.Statement || half.Problem == "" {
		t.Errorf("got %v, want %+v", err, back)
	}
	if st, err := m.Status(t.Context(), h.tenant); err != nil || st.Half == nil || st.UpToDate() {
		t.Errorf("Status: got %+v, %v, want it half", st, err)
	}
	if _, err := m.UpTo(t.Context(), h.tenant, migrate.Latest); !errors.As(err, &half) {
		t.Errorf("UpTo: got %v, want that it is half", err)
	}
	if res, err := m.Mark(t.Context(), h.tenant); err != nil || res.Version != 1 || len(res.Down) != 1 {
		t.Errorf("Mark: got %+v, %v", res, err)
	}
	h.wantTold("schema.mark done", "schema.mark done")
}

// While one migrates, the others wait, though the note of what runs looks like one of what was cut off.
func TestMigrationThatRunsIsNotHalf(t *testing.T) {
	t.Parallel()
	h := newHalves(t)
	m := h.with("CREATE TABLE a (n INT);\nDO GET_LOCK(CONCAT('gate.', DATABASE()), 600);\nINSERT INTO counts VALUES (1);", "DROP TABLE a;")
	session, err := h.db.Connx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	if _, err := session.ExecContext(t.Context(), `DO GET_LOCK(CONCAT('gate.', DATABASE()), 0)`); err != nil {
		t.Fatal(err)
	}
	const workers = 4
	done := make(chan error, workers)
	begin := func() { done <- m.Up(t.Context(), h.tenant) }
	go begin()
	within, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for statement := 0; statement != 2; time.Sleep(5 * time.Millisecond) {
		_ = h.db.GetContext(within, &statement, `SELECT statement FROM tenancy_migrating WHERE version = 2`)
		if within.Err() != nil {
			t.Fatal("it does not come to its second statement")
		}
	}
	for range workers - 1 {
		go begin()
	}
	st, err := m.Status(t.Context(), h.tenant)
	if err != nil || st.Half != nil || len(st.Pending) != 1 {
		t.Errorf("Status: got %+v, %v, want one pending and none half", st, err)
	}
	for what, do := range map[string]func(context.Context) error{ // none is done before the one that runs has ended
		"Up":     func(ctx context.Context) error { return m.Up(ctx, h.tenant) },
		"Down":   func(ctx context.Context) error { _, err := m.Down(ctx, h.tenant); return err },
		"Mark":   func(ctx context.Context) error { _, err := m.Mark(ctx, h.tenant); return err },
		"Resume": func(ctx context.Context) error { _, err := m.Resume(ctx, h.tenant, 3); return err },
	} {
		short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if err := do(short); err == nil || errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("%s: got %v, want that it waits until its context ends", what, err)
		}
		cancel()
	}
	if _, err := session.ExecContext(t.Context(), `DO RELEASE_LOCK(CONCAT('gate.', DATABASE()))`); err != nil {
		t.Fatal(err)
	}
	for range workers {
		if err := <-done; err != nil {
			t.Errorf("Up: %v", err)
		}
	}
	h.wantCounts("in the end", 1)
	st, err = m.Status(t.Context(), h.tenant)
	if err != nil || st.Half != nil || !st.UpToDate() {
		t.Errorf("Status: got %+v, %v, want it up to date", st, err)
	}
}

// What leaves nothing behind can be tried again: a first statement that fails, and
// a transaction that is rolled back.
func TestNoHalfMigration(t *testing.T) {
	t.Parallel()
	h := newHalves(t)
	for what, up := range map[string]string{
		"the first statement": "SELEKT 1;\nCREATE TABLE a (n INT);",
		"a transaction":       "INSERT INTO counts VALUES (1);\nINSERT INTO counts VALUES (2);\nSELEKT 1;",
	} {
		for range 2 {
			_, err := h.with(up, "").UpTo(t.Context(), h.tenant, migrate.Latest)
			if err == nil || errors.Is(err, tenancy.ErrConflict) {
				t.Errorf("%s: got %v, want the server's error", what, err)
			}
		}
		h.wantCounts(what, 0)
	}
	if res, err := h.with("INSERT INTO counts VALUES (1);\nCREATE TABLE a (n INT);", "").UpTo(t.Context(), h.tenant, migrate.Latest); err != nil || res.Version != 2 {
		t.Errorf("got %+v, %v", res, err)
	}
	h.wantCounts("in the end", 1)
}

// Files of a branch that was merged late are an error, or are applied.
func TestOutOfOrder(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool, tenant := s.Pool(t, nil), s.Tenant(t, "acme")
		late := tables(3, 0)
		delete(late, "00002_t.sql")
		if err := migrator(t, pool, late).Up(t.Context(), tenant); err != nil {
			t.Fatal(err)
		}
		if err := migrator(t, pool, tables(3, 0)).Up(t.Context(), tenant); err == nil {
			t.Error("got a migration applied out of order")
		}
		m, err := migrate.New(pool, tables(3, 0), &migrate.Options{OutOfOrder: true})
		if err != nil {
			t.Fatal(err)
		}
		res, err := m.UpTo(t.Context(), tenant, migrate.Latest)
		if err != nil || len(res.Up) != 1 || res.Up[0].Version != 2 || res.Version != 3 {
			t.Errorf("got %+v, %v, want version 2 applied", res, err)
		}
	})
}

// What was applied out of order is taken back like the rest, the last that was applied first. The last migration is the one with the
// highest version.
func TestTakingBackOutOfOrder(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, nil)
		m, err := migrate.New(pool, tables(3, 0), &migrate.Options{OutOfOrder: true})
		if err != nil {
			t.Fatal(err)
		}
		late := tables(3, 0)
		delete(late, "00002_t.sql")
		for name, tt := range map[string]struct {
			do       func(*tenancy.Tenant) (*migrate.Result, error)
			version  int64
			down, up []int64
		}{
			"Down":     {func(at *tenancy.Tenant) (*migrate.Result, error) { return m.Down(t.Context(), at) }, 2, []int64{3}, nil},
			"Redo":     {func(at *tenancy.Tenant) (*migrate.Result, error) { return m.Redo(t.Context(), at) }, 3, []int64{3}, []int64{3}},
			"DownTo 2": {func(at *tenancy.Tenant) (*migrate.Result, error) { return m.DownTo(t.Context(), at, 2) }, 2, []int64{3}, nil},
			"DownTo 1": {func(at *tenancy.Tenant) (*migrate.Result, error) { return m.DownTo(t.Context(), at, 1) }, 1, []int64{2, 3}, nil},
			"DownTo 0": {func(at *tenancy.Tenant) (*migrate.Result, error) { return m.DownTo(t.Context(), at, 0) }, 0, []int64{2, 3, 1}, nil},
		} {
			tenant := s.Tenant(t, strings.ToLower(strings.ReplaceAll(name, " ", "-")))
			if err := errors.Join(migrator(t, pool, late).Up(t.Context(), tenant), m.Up(t.Context(), tenant)); err != nil {
				t.Fatal(err)
			}
			got, err := tt.do(tenant)
			if err != nil || got.Version != tt.version || !slices.Equal(versions(got.Down), tt.down) || !slices.Equal(versions(got.Up), tt.up) {
				t.Errorf("%s: got %+v, %v, want version %d, down %v, up %v", name, got, err, tt.version, tt.down, tt.up)
			}
			if st, err := m.Status(t.Context(), tenant); err != nil || st.Half != nil || st.Version != tt.version {
				t.Errorf("%s: got %+v, %v", name, st, err)
			}
		}
	})
}
