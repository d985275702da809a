package tenancytest

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"os"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// A connection that only reads refuses writes, and says so when it is asked.
func testEngineReadOnly(r *engineRun) {
	e := abilityOf[driver.ReadOnly](r)
	t := r.tenant()
	ctx := r.Context()
	writing := r.open(r.connector(t.Placement.Database))
	r.must("CREATE TABLE", exec(ctx, writing, `CREATE TABLE notes (id INTEGER)`))
	c, err := e.ReadOnlyConnector(t.Placement.Database)
	r.must("ReadOnlyConnector", err)
	reading := r.open(c)
	r.identified("read-only", reading, t)
	if _, err := query(ctx, reading, `SELECT id FROM notes`); err != nil {
		r.Errorf("read-only: reading: %v", err)
	}
	if err := exec(ctx, reading, `INSERT INTO notes (id) VALUES (1)`); err == nil {
		r.Error("read-only: a write got no error")
	}
	s, ok := r.engine.(driver.SettingsChecker)
	if !ok {
		return
	}
	r.must("CheckSettings of one that reads", s.CheckSettings(ctx, reading, true))
	r.must("CheckSettings of one that writes", s.CheckSettings(ctx, writing, false))
	var odd *driver.SettingError
	if err := s.CheckSettings(ctx, writing, true); !errors.As(err, &odd) || !errors.Is(err, tenancy.ErrUnavailable) {
		r.Errorf("CheckSettings: one that writes in the place of one that reads: got %v, want a SettingError", err)
	}
}

// leave leaves something in a session, and left reports whether it is still there.
func (r *engineRun) leave(conn sqldriver.Conn) {
	r.Helper()
	r.must("CREATE TEMPORARY TABLE", exec(r.Context(), conn, `CREATE TEMPORARY TABLE left_over (id INTEGER)`))
	if !r.left(conn) {
		r.Fatal("a temporary table is not there, so the suite has nothing to look for")
	}
}

func (r *engineRun) left(conn sqldriver.Conn) bool {
	_, err := query(r.Context(), conn, `SELECT id FROM left_over`)
	return err == nil
}

// A session that was cleaned has nothing of what was left in it, and works.
func testEngineSessionCleaner(r *engineRun) {
	s := abilityOf[driver.SessionCleaner](r)
	t := r.tenant()
	conn := r.open(r.connector(t.Placement.Database))
	r.leave(conn)
	r.must("Clean", s.Clean(r.Context(), conn))
	if r.left(conn) {
		r.Error("Clean: a temporary table is still there")
	}
	r.identified("after Clean", conn, t)
	r.must("BEGIN", exec(r.Context(), conn, `BEGIN`))
	r.must("CREATE TABLE", exec(r.Context(), conn, `CREATE TABLE notes (id INTEGER)`))
	if s.Clean(r.Context(), conn) == nil { // or the caller closes the connection
		r.must("BEGIN after Clean", exec(r.Context(), conn, `BEGIN`))
	}
	_ = conn.Close()
	if err := s.Clean(r.Context(), conn); err == nil {
		r.Error("Clean of a closed connection: got no error")
	}
}

// A connection that was switched reaches the other database, with a new session.
func testEngineSwitcher(r *engineRun) {
	s := abilityOf[driver.Switcher](r)
	a, b := r.tenant(), r.tenant()
	conn := r.open(r.connector(a.Placement.Database))
	r.leave(conn)
	err := s.Switch(r.Context(), conn, r.connector(b.Placement.Database))
	if errors.Is(err, sqldriver.ErrSkip) {
		r.identified("after ErrSkip", conn, a)
		r.Skip("the server cannot switch this connection")
	}
	r.must("Switch", err)
	r.identified("after Switch", conn, b)
	if r.left(conn) {
		r.Error("Switch: a temporary table is still there")
	}
	missing := NewTenant("missing").Placement.Database
	err = s.Switch(r.Context(), conn, r.connector(missing))
	if err == nil {
		var got driver.Identity
		if got, err = r.engine.Identify(r.Context(), conn); err == nil && got.Database == missing {
			r.Errorf("Switch to no database: got %+v, want an error", got)
		}
	}
}

// An error of a statement is one of the statement, and the connection stays.
func testEngineFailures(r *engineRun) {
	f := abilityOf[driver.FailureClassifier](r)
	t := r.tenant()
	conn := r.open(r.connector(t.Placement.Database))
	for _, statement := range []string{`SELEKT 1`, `SELECT id FROM no_such_table`} {
		_, err := query(r.Context(), conn, statement)
		if err == nil {
			r.Fatalf("%s: got no error", statement)
		}
		if got := f.Failure(conn, err); got != driver.FailureOfStatement {
			r.Errorf("Failure(%v): got %d, want FailureOfStatement", err, got)
		}
	}
	r.identified("after errors of statements", conn, t)
}

// A server that works says so, and a missing database is no fault of it.
func testEngineFaults(r *engineRun) {
	f := abilityOf[driver.FaultClassifier](r)
	r.must("CheckServer", f.CheckServer(r.Context()))
	conn, err := r.connector(NewTenant("missing").Placement.Database).Connect(r.Context())
	if err == nil {
		_, err = r.engine.Identify(r.Context(), conn)
		_ = conn.Close()
	}
	if got := f.Fault(err); got == driver.FaultServer {
		r.Errorf("Fault(%v): got %v, want that the server is not at fault", err, got)
	}
	for fault, want := range map[driver.Fault]string{driver.FaultUnclear: "unclear", driver.FaultDatabase: "database", driver.FaultServer: "server"} {
		if fault.String() != want {
			r.Errorf("got %q, want %q", fault, want)
		}
	}
}

// What was sent shows.
func testEngineSendCounter(r *engineRun) {
	s := abilityOf[driver.SendCounter](r)
	conn := r.open(r.connector(r.tenant().Placement.Database))
	before := s.Sent(conn)
	if now := s.Sent(conn); now != before {
		r.Errorf("Sent: got %d and %d without a statement in between", before, now)
	}
	if _, err := query(r.Context(), conn, `SELECT 1`); err != nil {
		r.Fatal(err)
	}
	if after := s.Sent(conn); after <= before {
		r.Errorf("Sent: got %d before a statement, and %d after it", before, after)
	}
}

// A connection that was closed ends.
func testEngineCloseNotifier(r *engineRun) {
	n := abilityOf[driver.CloseNotifier](r)
	conn := r.open(r.connector(r.tenant().Placement.Database))
	if _, err := query(r.Context(), conn, `SELECT 1`); err != nil {
		r.Fatal(err)
	}
	_ = conn.Close()
	if closed := n.Closed(conn); closed != nil {
		select {
		case <-closed:
		case <-time.After(engineBound):
			r.Errorf("Closed: not within %v", engineBound)
		}
	}
}

// The session of a statement that was broken off is killed over another connection, and
// that connection's own session is not.
func testEngineSessionKiller(r *engineRun) {
	k := abilityOf[driver.SessionKiller](r)
	t := r.tenant()
	victim := r.open(r.connector(t.Placement.Database))
	r.identified("the victim", victim, t) // the engine learns which session it is
	server, err := k.Server()
	r.must("Server", err)
	over := r.open(server)
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan error, 1)
	go func() {
		_, err := query(ctx, victim, r.opts.LongStatement)
		done <- err
	}()
	time.AfterFunc(100*time.Millisecond, cancel) // whether it has begun by then changes nothing
	if err := <-done; err == nil {
		r.Fatal("a statement that was broken off: got no error")
	}
	_ = victim.Close()
	r.becomes("the session is gone", func() bool {
		gone, err := k.Kill(r.Context(), over, victim)
		if err != nil {
			r.Fatalf("Kill: %v", err)
		}
		return gone
	})
	if _, err := query(r.Context(), over, `SELECT 1`); err != nil {
		r.Errorf("the connection that Kill went over: %v", err)
	}
	if gone, err := k.Kill(r.Context(), over, victim); !gone || err != nil {
		r.Errorf("Kill again: got %t, %v, want that there is no such session", gone, err)
	}
}

// A connection that nobody waits on any more is not interrupted later.
func testEngineInterrupter(r *engineRun) {
	i := abilityOf[driver.Interrupter](r)
	t := r.tenant()
	conn := r.open(r.connector(t.Placement.Database))
	ctx, cancel := context.WithCancel(r.Context())
	stop := i.Interrupt(ctx, conn)
	stop()
	cancel()
	r.identified("after Interrupt and stop", conn, t)
}

// Each database has a file of its own.
func testEngineFileBacked(r *engineRun) {
	f := abilityOf[driver.FileBacked](r)
	a, b := r.tenant(), r.tenant()
	one, err := f.File(a.Placement.Database)
	r.must("File", err)
	again, err := f.File(a.Placement.Database)
	r.must("File", err)
	other, err := f.File(b.Placement.Database)
	r.must("File", err)
	if !os.SameFile(one, again) || os.SameFile(one, other) {
		r.Error("File: want one file for one database, and another for another")
	}
	if _, err := f.File(NewTenant("missing").Placement.Database); err == nil {
		r.Error("File of no database: got no error")
	}
}

// A later position has reached an earlier one, and nothing has reached what is none.
func testEngineReplication(r *engineRun) {
	p := abilityOf[driver.Replication](r)
	server, err := p.Server()
	r.must("Server", err)
	asks := r.open(server)
	before, err := p.Position(r.Context(), asks)
	if errors.Is(err, tenancy.ErrInvalid) {
		r.Skip("the server keeps no log for replicas")
	}
	r.must("Position", err)
	conn := r.open(r.connector(r.tenant().Placement.Database))
	r.must("CREATE TABLE", exec(r.Context(), conn, `CREATE TABLE notes (id INTEGER)`))
	r.must("INSERT", exec(r.Context(), conn, `INSERT INTO notes (id) VALUES (1)`))
	after, err := p.Position(r.Context(), asks)
	r.must("Position", err)
	for _, at := range []driver.Position{before, after} {
		if !positionText.MatchString(string(at)) {
			r.Errorf("Position: got %q, want a short text of A-Z a-z 0-9 . , : / -", at)
		}
		if !p.Reached(at, at) {
			r.Errorf("Reached(%q, %[1]q): got false", at)
		}
	}
	if !p.Reached(after, before) {
		r.Errorf("Reached(%q, %q): got false of a later and an earlier position", after, before)
	}
	if p.Reached(before, after) {
		r.Errorf("Reached(%q, %q): got true of an earlier and a later position", before, after)
	}
	for _, odd := range []driver.Position{"", "odd", "1'; --", "../..", driver.Position([]byte{0xff, 0})} {
		if p.Reached(odd, after) || p.Reached(after, odd) {
			r.Errorf("Reached of %q: got true", odd)
		}
	}
}

// A connection costs something.
func testEngineConnSizer(r *engineRun) {
	if n := abilityOf[driver.ConnSizer](r).ConnBytes(); n <= 0 {
		r.Errorf("ConnBytes: got %d", n)
	}
}
