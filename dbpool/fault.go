package dbpool

import (
	"context"
	"errors"
	"fmt"

	"github.com/artflow-studio/tenancy"
)

// Fault says what a failed dial is about.
type Fault uint8

const (
	// FaultUnclear is about one database or about the whole server.
	FaultUnclear Fault = iota
	// FaultDatabase is the server's answer about one database. The server works.
	FaultDatabase
	// FaultServer says that the server cannot be reached, or refuses everybody.
	FaultServer
)

// String returns the word for logs.
func (f Fault) String() string {
	switch f {
	case FaultUnclear:
		return "unclear"
	case FaultDatabase:
		return "database"
	case FaultServer:
		return "server"
	}
	return fmt.Sprintf("Fault(%d)", uint8(f))
}

// Faults is the optional ability of an [Engine] to tell an error about one
// database from an error about its server. The pool stops dialing a server that
// fails for several tenants; errors about single databases do not count. Without
// this ability every error counts, except [tenancy.ErrNotFound], [*IdentityError] and
// [*SettingError].
type Faults interface {
	// Fault classifies an error of Connect or Identify by its code. It does no I/O.
	Fault(err error) Fault
	// Ask opens a connection to the server itself, in no tenant's database, and
	// closes it. The pool calls it after a FaultUnclear: if the server answers, the
	// fault is the database's. An error for which Fault returns FaultDatabase is an
	// answer too.
	Ask(ctx context.Context) error
}

// fault classifies an error of connect without I/O.
func (t *target) fault(err error) Fault {
	var wrong *IdentityError
	var other *SettingError
	var hook *hookError
	switch {
	case errors.As(err, &hook), errors.Is(err, tenancy.ErrNotFound), errors.As(err, &wrong), errors.As(err, &other):
		return FaultDatabase
	case t.faults == nil:
		return FaultServer
	}
	return t.faults.Fault(err)
}

// ask resolves a FaultUnclear by asking the server. A panic of an engine counts as
// an error.
func (t *target) ask() (f Fault) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			f = FaultServer
		}
	}()
	if err := t.faults.Ask(ctx); err != nil && t.faults.Fault(err) != FaultDatabase {
		return FaultServer
	}
	return FaultDatabase
}
