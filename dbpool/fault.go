package dbpool

import (
	"context"
	"errors"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// fault classifies an error of connect without I/O.
func (l *lane) fault(err error) driver.Fault {
	var wrong *IdentityError
	var other *driver.SettingError
	var hook *hookError
	switch {
	case errors.As(err, &hook), errors.Is(err, tenancy.ErrNotFound), errors.As(err, &wrong), errors.As(err, &other):
		return driver.FaultDatabase
	case l.faults == nil:
		return driver.FaultServer
	}
	return l.faults.Fault(err)
}

// ask resolves a FaultUnclear by asking the server. A panic of an engine counts as
// an error.
func (l *lane) ask() (f driver.Fault) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			f = driver.FaultServer
		}
	}()
	if err := l.faults.CheckServer(ctx); err != nil && l.faults.Fault(err) != driver.FaultDatabase {
		return driver.FaultServer
	}
	return driver.FaultDatabase
}
