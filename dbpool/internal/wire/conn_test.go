package wire

import (
	"context"
	sqldriver "database/sql/driver"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/internal/sqltext"
)

// A connection whose session cannot be cleaned because the engine panics is
// closed, and not lost.
func TestCleaningPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, dbs := newDatabases(t, &fakeEngine{}, "t0")
		dbs[0].cleaner = panicking{}
		c := acquire(t, dbs[0])
		c.state = true
		func() {
			defer func() { _ = recover() }()
			_ = c.Close()
		}()
		if next := acquire(t, dbs[0]); next.inner == c.inner {
			t.Error("got the connection whose session has state")
		} else if err := next.Close(); err != nil {
			t.Error(err)
		}
		b.Close()
	})
}

type panicking struct{}

func (panicking) Clean(context.Context, sqldriver.Conn) error { panic("on purpose") }

// The lock is not held while an engine looks at a database's file.
func TestFilesAreLookedAtWithoutTheLock(t *testing.T) {
	t.Parallel()
	b, dbs := newDatabases(t, &fakeEngine{}, "t0")
	looked := false
	dbs[0].files = files(func() {
		looked = true
		free := make(chan struct{})
		go func() {
			b.Stat() // takes the lock
			close(free)
		}()
		select {
		case <-free:
		case <-time.After(2 * time.Minute):
			t.Error("got the lock held")
		}
	})
	if err := acquire(t, dbs[0]).Close(); err != nil || !looked {
		t.Errorf("got %v, looked %v, want the file looked at", err, looked)
	}
	b.Close()
}

type files func()

func (f files) File(string) (os.FileInfo, error) {
	f()
	return nil, os.ErrNotExist
}

// A connection that was dialled and not used is looked at before its first use,
// too, when it was idle for a while.
func TestFirstUseAfterIdling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b, dbs := newDatabases(t, e, "t0")
		path := filepath.Join(t.TempDir(), "file")
		dbs[0].files = fileAt(path)
		replace := func() {
			t.Helper()
			if err := os.WriteFile(path+".new", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}
		replace()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Microsecond, cancel)
		if _, _, err := dbs[0].Acquire(ctx); err == nil {
			t.Fatal("got a connection before one was dialled")
		}
		time.Sleep(time.Hour)
		replace()
		c, _, err := dbs[0].Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if usable, _ := c.Usable(t.Context()); usable {
			t.Error("got a connection to a file that was replaced")
		}
		if err := acquire(t, dbs[0]).Close(); err != nil || e.dials != 2 {
			t.Errorf("got %v and %d dials, want another after the file was replaced", err, e.dials)
		}
		b.Close()
	})
}

type fileAt string

func (f fileAt) File(string) (os.FileInfo, error) { return os.Stat(string(f)) }

// slowConn takes a second for a query, and for each row and the end of the rows.
type slowConn struct {
	sqldriver.Conn
	left int
}

func (c *slowConn) QueryContext(context.Context, string, []sqldriver.NamedValue) (sqldriver.Rows, error) {
	time.Sleep(time.Second)
	return c, nil
}

func (c *slowConn) Columns() []string { return []string{"n"} }

func (c *slowConn) Next([]sqldriver.Value) error {
	time.Sleep(time.Second)
	if c.left--; c.left < 0 {
		return io.EOF
	}
	return nil
}

func (c *slowConn) Close() error { return nil }

// timing keeps the times of statements.
type timing []time.Duration

func (o *timing) ObserveWait(context.Context, tenancy.ID, time.Duration, error) {}
func (o *timing) ObserveRelease(tenancy.ID, time.Duration)                      {}
func (o *timing) ObserveStatement(_ context.Context, _ tenancy.ID, took time.Duration, _ bool, _ error) {
	*o = append(*o, took)
}

// A statement's time has that of its rows, and not what the application does between.
func TestObserverTakesTheDriversTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &timing{}
		d := &Database{Target: Target{Engine: &Engine{}, Tenant: "acme"}, observer: o, statements: sqltext.New("sqlite")}
		rows, err := d.newConn(&slowConn{left: 2}, nil).QueryContext(t.Context(), `SELECT n FROM notes`, nil)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next(nil) == nil {
			time.Sleep(time.Minute) // the application's
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		if len(*o) != 1 || (*o)[0] != 4*time.Second {
			t.Errorf("got %v, want 4s once: the query, two rows and their end", *o)
		}
	})
}

// sets are rows of several results without a row each.
type sets struct {
	sqldriver.Conn
	left int
}

func (s *sets) QueryContext(context.Context, string, []sqldriver.NamedValue) (sqldriver.Rows, error) {
	return s, nil
}

func (s *sets) Columns() []string            { return nil }
func (s *sets) Next([]sqldriver.Value) error { return io.EOF }
func (s *sets) HasNextResultSet() bool       { return s.left > 0 }
func (s *sets) Close() error                 { return nil }

func (s *sets) NextResultSet() error {
	s.left--
	return nil
}

// interrupts counts how often a wait is interrupted.
type interrupts int

func (n *interrupts) Interrupt(context.Context, sqldriver.Conn) func() {
	*n++
	return func() {}
}

// Closing rows skips the results that follow, which the context can end.
func TestClosingRowsIsInterrupted(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		left, read int // results that follow the first, and those of them that are read
		end        bool
		want       interrupts
	}{
		"nothing is read":               {0, 0, false, 1},
		"all is read":                   {0, 0, true, 0},
		"one result of two is read":     {1, 0, true, 1},
		"both are read":                 {1, 1, true, 0},
		"the second is not read":        {1, 1, false, 1},
		"two of three results are read": {2, 1, true, 1},
	} {
		var n interrupts
		d := &Database{Target: Target{Engine: &Engine{interrupts: &n}, Tenant: "acme"}, statements: sqltext.New("sqlite")}
		inner, err := d.newConn(&sets{left: tt.left}, nil).QueryContext(t.Context(), `SELECT 1`, nil)
		if err != nil {
			t.Fatal(err)
		}
		all := inner.(sqldriver.RowsNextResultSet)
		for range tt.read {
			_ = all.Next(nil)
			if err := all.NextResultSet(); err != nil {
				t.Fatal(err)
			}
		}
		if tt.end {
			_ = all.Next(nil)
		}
		if err := all.Close(); err != nil || n != tt.want {
			t.Errorf("%s: got %v and %d interrupts, want %d", name, err, n, tt.want)
		}
	}
}
