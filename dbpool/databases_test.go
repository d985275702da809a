package dbpool_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// making makes databases with a function.
type making struct {
	fakeEngine
	driver.Databases
	make func() error
}

func (e making) Create(context.Context, string, tenancy.ID) error { return e.make() }

// An error that says what to do stays what it is; one that does not is unavailable, once.
func TestErrorsOfDatabases(t *testing.T) {
	t.Parallel()
	for _, sentinel := range []error{
		tenancy.ErrConflict, tenancy.ErrLimited, tenancy.ErrClosed, tenancy.ErrUnavailable, tenancy.ErrExists, tenancy.ErrNotFound,
		tenancy.ErrForbidden, tenancy.ErrInvalid, context.Canceled, context.DeadlineExceeded, nil,
	} {
		failed := errors.New("of the driver")
		want := "dbpool.Pool.Create: tenant acme: unavailable: of the driver"
		if sentinel != nil {
			failed = fmt.Errorf("%w: of the engine", sentinel)
			want = "dbpool.Pool.Create: tenant acme: " + failed.Error()
		}
		pool, err := dbpool.New(map[string]driver.Engine{"": making{make: func() error { return failed }}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		acme := tenancytest.NewTenant("acme")
		acme.ID = "acme"
		err = pool.Create(t.Context(), acme)
		if err == nil || err.Error() != want || !errors.Is(err, failed) || errors.Is(err, tenancy.ErrUnavailable) != (sentinel == nil || sentinel == tenancy.ErrUnavailable) { //nolint:errorlint // one of the list
			t.Errorf("%v: got %v, want %q", sentinel, err, want)
		}
		_ = pool.Close()
	}
}
