package wire

import (
	"context"
	"errors"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
)

// askTimeout bounds asking a server whether it works.
const askTimeout = 5 * time.Second

// Fault implements [sched.Database].
func (d *Database) Fault(err error, ask bool) sched.Fault {
	f := d.classify(err)
	if f == driver.FaultUnclear && ask {
		f = d.ask()
	}
	switch f {
	case driver.FaultDatabase:
		return sched.FaultDatabase
	case driver.FaultServer:
		return sched.FaultServer
	}
	return sched.FaultUnclear
}

// classify classifies an error of connect without I/O. After a panic of an engine it is unclear.
func (d *Database) classify(err error) (f driver.Fault) {
	defer func() {
		if recover() != nil {
			f = driver.FaultUnclear
		}
	}()
	var wrong *wrongDatabase
	var other *driver.SettingError
	var hook *hookError
	var late *lateError
	switch {
	case errors.As(err, &hook), errors.Is(err, tenancy.ErrNotFound), errors.As(err, &wrong), errors.As(err, &other):
		return driver.FaultDatabase
	case d.faults == nil:
		return driver.FaultServer
	}
	if f = d.faults.Fault(err); f == driver.FaultServer && errors.As(err, &late) {
		return driver.FaultUnclear
	}
	return f
}

// lateError says that a server accepted a connection but did not say in time whose the database is: the
// server is down, or the marker of that database is locked.
type lateError struct{ error }

func (e *lateError) Unwrap() error { return e.error }

// ask resolves a FaultUnclear by asking the server. A panic of an engine counts as
// an error.
func (d *Database) ask() (f driver.Fault) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			f = driver.FaultServer
		}
	}()
	if err := d.faults.CheckServer(ctx); err != nil && d.faults.Fault(err) != driver.FaultDatabase {
		return driver.FaultServer
	}
	return driver.FaultDatabase
}
