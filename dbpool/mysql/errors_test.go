package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/artflow-studio/tenancy/dbpool/driver"
)

func TestFault(t *testing.T) {
	t.Parallel()
	const database, server, unclear = driver.FaultDatabase, driver.FaultServer, driver.FaultUnclear
	tests := map[uint16]driver.Fault{
		1030: database, 1033: database, 1034: database, 1044: database, 1049: database, 1054: database,
		1142: database, 1143: database, 1146: database, 1194: database, 1195: database, 1242: database, 1356: database,
		1812: database, 1814: database, 1932: database,
		1040: server, 1043: server, 1045: server, 1047: server, 1053: server, 1079: server, 1129: server, 1130: server,
		1203: server, 1226: server, 1698: server, 1964: server, 3118: server, 4151: server,
		1193: unclear, 1105: unclear, 9999: unclear,
	}
	e := &Engine{}
	for number, want := range tests {
		err := fmt.Errorf("dialing: %w", &mysql.MySQLError{Number: number})
		if got := e.Fault(err); got != want {
			t.Errorf("%d: got %v, want %v", number, got, want)
		}
	}
	for row := range dialFaults {
		if _, ok := tests[row]; !ok {
			t.Errorf("row %d has no test", row)
		}
	}
	for _, err := range []error{io.ErrUnexpectedEOF, context.DeadlineExceeded, &net.OpError{Err: syscall.ECONNREFUSED}, mysql.ErrInvalidConn} {
		if got := e.Fault(err); got != server {
			t.Errorf("%v: got %v, want %v", err, got, server)
		}
	}
}

func TestFailure(t *testing.T) {
	t.Parallel()
	is := func(number uint16) error { return fmt.Errorf("wrapped: %w", &mysql.MySQLError{Number: number}) }
	for _, tt := range []struct {
		err  error
		want driver.Failure
	}{
		{is(1064), driver.FailureOfStatement}, // ER_PARSE_ERROR
		{is(1062), driver.FailureOfStatement}, // ER_DUP_ENTRY
		{is(1205), driver.FailureOfStatement}, // ER_LOCK_WAIT_TIMEOUT
		{is(1213), driver.FailureOfStatement}, // ER_LOCK_DEADLOCK
		{is(1969), driver.FailureOfStatement}, // ER_STATEMENT_TIMEOUT
		{is(1290), driver.FailureOfStatement},
		{is(3), driver.FailureUnable},
		{is(1021), driver.FailureUnable},
		{is(1026), driver.FailureUnable},
		{is(1030), driver.FailureUnable},
		{is(1037), driver.FailureUnable},
		{is(1041), driver.FailureUnable},
		{is(1114), driver.FailureUnable},
		{is(1135), driver.FailureUnable},
		{is(1317), driver.FailureUnable},
		{is(1053), driver.FailureLost},
		{is(1077), driver.FailureLost},
		{is(1152), driver.FailureLost},
		{is(1158), driver.FailureLost},
		{is(1159), driver.FailureLost},
		{is(1160), driver.FailureLost},
		{is(1161), driver.FailureLost},
		{is(1184), driver.FailureLost},
		{is(1927), driver.FailureLost},
		{is(3169), driver.FailureLost},
		{is(1615), driver.FailureStale},
		{is(1047), driver.FailureNotExecuted},
		{is(4031), driver.FailureNotExecuted},
		{mysql.ErrInvalidConn, driver.FailureLost},
		{mysql.ErrMalformPkt, driver.FailureLost},
		{mysql.ErrPktSync, driver.FailureLost},
		{mysql.ErrPktSyncMul, driver.FailureLost},
		{errProtocol, driver.FailureLost},
		{io.ErrUnexpectedEOF, driver.FailureLost},
		{net.ErrClosed, driver.FailureLost},
		{mysql.ErrPktTooLarge, driver.FailureOfStatement},
		{context.Canceled, driver.FailureOfStatement},
		{errors.New("cannot scan"), driver.FailureOfStatement},
	} {
		if got := (&Engine{}).Failure(nil, tt.err); got != tt.want {
			t.Errorf("%v: got %d, want %d", tt.err, got, tt.want)
		}
	}
	e := &Engine{rejectReadOnly: true}
	for _, number := range []uint16{1290, 1792, 1836} {
		if got := e.Failure(&linked{}, is(number)); got != driver.FailureNotExecuted {
			t.Errorf("%d with rejectReadOnly: got %d, want it not executed", number, got)
		}
		if got := e.Failure(&linked{readOnly: true}, is(number)); got != driver.FailureOfStatement {
			t.Errorf("%d on a connection that only reads: got %d, want the statement's", number, got)
		}
	}
}
