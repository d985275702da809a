package wire

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
)

var (
	errDatabase = errors.New("this database takes no connections")
	errServer   = errors.New("the server refuses everybody")
	errEither   = errors.New("too many clients, of the server or of the database")
)

// classifier is the ability to classify the errors above.
type classifier struct {
	answer error // of the server
	panics bool
	asks   int
}

func (c *classifier) Fault(err error) driver.Fault {
	switch {
	case errors.Is(err, errDatabase):
		return driver.FaultDatabase
	case errors.Is(err, errServer):
		return driver.FaultServer
	}
	return driver.FaultUnclear
}

func (c *classifier) CheckServer(context.Context) error {
	c.asks++
	if c.panics {
		panic("on purpose")
	}
	return c.answer
}

// What a failed dial is about: the engine's word, what the pool knows itself, and in doubt the
// server's answer.
func TestFault(t *testing.T) {
	t.Parallel()
	able := &classifier{}
	for name, tt := range map[string]struct {
		faults *classifier // nil: the engine cannot tell
		err    error
		ask    bool
		want   sched.Fault
		asks   int
	}{
		"of the database":           {able, errDatabase, true, sched.FaultDatabase, 0},
		"of the server":             {able, errServer, true, sched.FaultServer, 0},
		"unclear, not asked":        {&classifier{}, errEither, false, sched.FaultUnclear, 0},
		"unclear, it works":         {&classifier{}, errEither, true, sched.FaultDatabase, 1},
		"unclear, it does not":      {&classifier{answer: errEither}, errEither, true, sched.FaultServer, 1},
		"unclear, it answers":       {&classifier{answer: errDatabase}, errEither, true, sched.FaultDatabase, 1},
		"unclear, the engine fails": {&classifier{panics: true}, errEither, true, sched.FaultServer, 1},
		"no such database":          {nil, fmt.Errorf("%w: no database", tenancy.ErrNotFound), true, sched.FaultDatabase, 0},
		"a wrong database":          {nil, fmt.Errorf("x: %w", &wrongDatabase{errWrong}), true, sched.FaultDatabase, 0},
		"a wrong setting":           {nil, fmt.Errorf("x: %w", &driver.SettingError{}), true, sched.FaultDatabase, 0},
		"the application's hook":    {nil, fmt.Errorf("x: %w", &hookError{errServer}), true, sched.FaultDatabase, 0},
		"an engine without classes": {nil, errEither, true, sched.FaultServer, 0},
	} {
		d := &Database{Target: Target{Engine: &Engine{}}}
		if tt.faults != nil {
			d.faults = tt.faults
		}
		if got := d.Fault(tt.err, tt.ask); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
		if tt.faults != nil && tt.faults.asks != tt.asks {
			t.Errorf("%s: got the server asked %d times, want %d", name, tt.faults.asks, tt.asks)
		}
	}
}

// A server that takes connections and does not say in time whose a database is, because the marker there is locked, is asked.
func TestFaultOfALateIdentity(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer error
		want   sched.Fault
	}{
		"it works":    {nil, sched.FaultDatabase},
		"it does not": {errServer, sched.FaultServer},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, all := newDatabases(t, &fakeEngine{mute: true}, "acme")
			d := all[0]
			d.faults = network{&classifier{answer: tt.answer}}
			_, err := d.Dial(nil, time.Second)
			if !errors.Is(err, tenancy.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: got %v, want ErrUnavailable alone", name, err)
			}
			if got := d.Fault(err, true); got != tt.want {
				t.Errorf("%s: got %d, want %d", name, got, tt.want)
			}
			if got := d.Fault(err, false); got != sched.FaultUnclear {
				t.Errorf("%s, not asked: got %d, want it unclear", name, got)
			}
		})
	}
}

// network takes what it does not know to be about the server.
type network struct{ *classifier }

func (n network) Fault(err error) driver.Fault {
	if f := n.classifier.Fault(err); f != driver.FaultUnclear {
		return f
	}
	return driver.FaultServer
}
