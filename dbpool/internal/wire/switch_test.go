package wire

import (
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
)

// A connection is switched only within what one engine opened for tenants, and only if it never
// had state.
func TestMaySwitch(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(from *Conn, to *Database){
		"":                func(*Conn, *Database) {},
		"later engine":    func(_ *Conn, to *Database) { to.Engine = NewEngine(to.Engine.Engine) },
		"not able":        func(_ *Conn, to *Database) { to.switcher = nil },
		"has state":       func(from *Conn, _ *Database) { from.state = true },
		"had state":       func(from *Conn, _ *Database) { from.cleaned = true },
		"may have state":  func(from *Conn, _ *Database) { from.db.opts = &Options{Keep: true} },
		"to the server":   func(_ *Conn, to *Database) { to.Tenant = "" },
		"from the server": func(from *Conn, _ *Database) { from.db.Tenant = "" },
	} {
		_, dbs := newDatabases(t, &fakeEngine{}, "t0", "t1")
		from := dbs[0].newConn(&fakeConn{name: "t0"}, nil)
		change(from, dbs[1])
		if got := dbs[1].MaySwitch(from); got != (name == "") {
			t.Errorf("%q: got %v", name, got)
		}
	}
}

// A switched connection reaches the other database in a session that nobody has used.
func TestSwitchedConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b, dbs := newDatabases(t, e, "t0", "t1")
		first := acquire(t, dbs[0])
		_ = first.Close()
		second := acquire(t, dbs[1])
		if second.inner != first.inner || second.inner.(*fakeConn).name != "t1" || e.dials != 1 {
			t.Errorf("got a connection to %s after %d dials, want the first one, to t1", second.inner.(*fakeConn).name, e.dials)
		}
		_ = second.Close()
		b.Close()
	})
}

// A switch that fails, or that leads elsewhere, costs the connection and nothing
// else: another is dialled in its slot.
func TestSwitchFails(t *testing.T) {
	t.Parallel()
	odd := errors.New("odd")
	for name, trouble := range map[string]struct {
		fate  func() error
		leads string
	}{
		"fails":           {fate: func() error { return odd }},
		"is not possible": {fate: func() error { return sqldriver.ErrSkip }},
		"panics":          {fate: func() error { panic("odd") }},
		"leads elsewhere": {leads: "t0"},
		"leads nowhere":   {leads: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := &fakeEngine{fate: trouble.fate, strays: map[string]string{"t1": trouble.leads}}
				b, dbs := newDatabases(t, e, "t0", "t1")
				first := acquire(t, dbs[0])
				_ = first.Close()
				second := acquire(t, dbs[1])
				if second.inner == first.inner || !first.inner.(*fakeConn).closed || second.inner.(*fakeConn).name != "t1" {
					t.Error("got the connection whose switch failed, want it closed and another")
				}
				if st := b.Stat(); st.Dials != 2 || st.Switches != 0 || e.dials != 2 {
					t.Errorf("got %+v, want 2 dials and no switch", st)
				}
				_ = second.Close()
				b.Close()
			})
		})
	}
}

// When neither the switch nor the dial leads to the tenant's database, its
// waiters get the dial's error.
func TestSwitchAndDialFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{refuses: map[string]error{"t1": fmt.Errorf("%w: no database", tenancy.ErrNotFound)}}
		b, dbs := newDatabases(t, e, "t0", "t1")
		_ = acquire(t, dbs[0]).Close()
		e.fate = func() error { return errors.New("no database") }
		if _, _, err := dbs[1].Acquire(t.Context()); !errors.Is(err, tenancy.ErrNotFound) || !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("a missing database: got %v, want ErrNotFound and ErrUnavailable", err)
		}
		_ = acquire(t, dbs[0]).Close()
		time.Sleep(time.Minute)
		e.fate, e.refuses = nil, nil
		e.leads = map[string]string{"t1": "t0"}
		e.strays = e.leads
		if _, _, err := dbs[1].Acquire(t.Context()); !errors.Is(err, errWrong) || !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("another tenant's database: got %v, want the error of a wrong one", err)
		}
		b.Close()
	})
}
