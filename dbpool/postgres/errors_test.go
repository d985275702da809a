package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/artflow-studio/tenancy/dbpool/driver"
)

func TestFault(t *testing.T) {
	t.Parallel()
	const database, server, unclear = driver.FaultDatabase, driver.FaultServer, driver.FaultUnclear
	tests := map[string]struct {
		row  string // of dialFaults
		want driver.Fault
	}{
		"08006": {"08", server}, "08001": {"08", server},
		"08P01": {"08P01", unclear},
		"0A000": {"0A", database},
		"21000": {"21", database},
		"22P02": {"22", database}, "22023": {"22023", unclear},
		"28P01": {"28P01", server}, "28000": {"28000", unclear},
		"3D000": {"3D000", database}, "3F000": {"3F000", database},
		"42501": {"42", database}, "42703": {"42", database}, "42704": {"42704", unclear},
		"53300": {"53300", unclear}, "53200": {"", unclear},
		"55000": {"55000", database}, "55006": {"55006", database},
		"57P01": {"57P01", server}, "57P02": {"57P02", server}, "57P03": {"57P03", unclear}, "57P04": {"57P04", database},
		"XX000": {"", unclear}, "XX001": {"XX001", database}, "XX002": {"XX002", database},
		"58P01": {"", unclear}, "": {"", unclear},
	}
	tested := map[string]bool{}
	e := &Engine{}
	for code, tt := range tests {
		tested[tt.row] = true
		err := fmt.Errorf("dialing: %w", &pgconn.PgError{Code: code})
		if got := e.Fault(err); got != tt.want {
			t.Errorf("%s: got %v, want %v", code, got, tt.want)
		}
	}
	for row := range dialFaults {
		if !tested[row] {
			t.Errorf("row %s has no test", row)
		}
	}
	for _, err := range []error{io.ErrUnexpectedEOF, context.DeadlineExceeded, &net.OpError{Err: syscall.ECONNREFUSED}, errors.New("odd")} {
		if got := e.Fault(err); got != server {
			t.Errorf("%v: got %v, want %v", err, got, server)
		}
	}
}

func TestRefusesWrites(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status map[string]string
		want   driver.Failure
	}{
		"a standby":                     {map[string]string{"in_hot_standby": "on"}, driver.FailureNotExecuted},
		"a standby that reads only":     {map[string]string{"in_hot_standby": "on", readOnlySetting: "on"}, driver.FailureNotExecuted},
		"a server that reads only":      {map[string]string{"in_hot_standby": "off", readOnlySetting: "on"}, driver.FailureUnable},
		"a transaction that reads only": {map[string]string{"in_hot_standby": "off", readOnlySetting: "off"}, driver.FailureOfStatement},
		"an old server":                 {nil, driver.FailureOfStatement},
	} {
		if got := refusesWrites(func(name string) string { return tt.status[name] }); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
}
