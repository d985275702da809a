package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestFailure(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "postgres")
	e := s.Engine.(*postgres.Engine)
	c, err := e.Server()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := c.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	is := func(severity, code, routine string) error {
		return fmt.Errorf("wrapped: %w", &pgconn.PgError{SeverityUnlocalized: severity, Code: code, Routine: routine})
	}
	for _, tt := range []struct {
		err  error
		want driver.Failure
	}{
		{is("ERROR", "42601", ""), driver.FailureOfStatement}, // syntax_error
		{is("ERROR", "23505", ""), driver.FailureOfStatement}, // unique_violation
		{is("ERROR", "40P01", ""), driver.FailureOfStatement}, // deadlock_detected
		{is("ERROR", "57014", ""), driver.FailureOfStatement}, // query_canceled
		{is("ERROR", "25006", ""), driver.FailureOfStatement}, // read_only_sql_transaction
		{is("ERROR", "53000", ""), driver.FailureUnable},
		{is("ERROR", "53100", ""), driver.FailureUnable},
		{is("ERROR", "53200", ""), driver.FailureUnable},
		{is("ERROR", "53400", ""), driver.FailureUnable},
		{is("ERROR", "58000", ""), driver.FailureUnable},
		{is("ERROR", "58030", ""), driver.FailureUnable},
		{is("FATAL", "57P01", ""), driver.FailureLost}, // admin_shutdown
		{is("FATAL", "57P02", ""), driver.FailureLost}, // crash_shutdown
		{is("FATAL", "25P03", ""), driver.FailureLost}, // idle_in_transaction_session_timeout
		{is("PANIC", "53100", ""), driver.FailureLost},
		{is("ERROR", "0A000", "RevalidateCachedQuery"), driver.FailureStale},
		{is("ERROR", "0A000", ""), driver.FailureStale}, // of a server that names no function
		{is("ERROR", "0A000", "transformInsertStmt"), driver.FailureOfStatement},
		{io.EOF, driver.FailureLost},
		{io.ErrUnexpectedEOF, driver.FailureLost},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, driver.FailureLost},
		{net.ErrClosed, driver.FailureLost},
		{context.Canceled, driver.FailureOfStatement},
		{context.DeadlineExceeded, driver.FailureOfStatement},
		{errors.New("cannot scan"), driver.FailureOfStatement},
	} {
		if got := e.Failure(conn, tt.err); got != tt.want {
			t.Errorf("%v: got %d, want %d", tt.err, got, tt.want)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if got := e.Failure(conn, errors.New("conn closed")); got != driver.FailureLost {
		t.Errorf("closed: got %d, want it lost", got)
	}
}
