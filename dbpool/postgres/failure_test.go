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

	"github.com/artflow-studio/tenancy/dbpool"
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
		want dbpool.Failure
	}{
		{is("ERROR", "42601", ""), dbpool.FailureOfStatement}, // syntax_error
		{is("ERROR", "23505", ""), dbpool.FailureOfStatement}, // unique_violation
		{is("ERROR", "40P01", ""), dbpool.FailureOfStatement}, // deadlock_detected
		{is("ERROR", "57014", ""), dbpool.FailureOfStatement}, // query_canceled
		{is("ERROR", "25006", ""), dbpool.FailureOfStatement}, // read_only_sql_transaction
		{is("ERROR", "53000", ""), dbpool.FailureUnable},
		{is("ERROR", "53100", ""), dbpool.FailureUnable},
		{is("ERROR", "53200", ""), dbpool.FailureUnable},
		{is("ERROR", "53400", ""), dbpool.FailureUnable},
		{is("ERROR", "58000", ""), dbpool.FailureUnable},
		{is("ERROR", "58030", ""), dbpool.FailureUnable},
		{is("FATAL", "57P01", ""), dbpool.FailureLost}, // admin_shutdown
		{is("FATAL", "57P02", ""), dbpool.FailureLost}, // crash_shutdown
		{is("FATAL", "25P03", ""), dbpool.FailureLost}, // idle_in_transaction_session_timeout
		{is("PANIC", "53100", ""), dbpool.FailureLost},
		{is("ERROR", "0A000", "RevalidateCachedQuery"), dbpool.FailureStale},
		{is("ERROR", "0A000", ""), dbpool.FailureStale}, // of a server that names no function
		{is("ERROR", "0A000", "transformInsertStmt"), dbpool.FailureOfStatement},
		{io.EOF, dbpool.FailureLost},
		{io.ErrUnexpectedEOF, dbpool.FailureLost},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, dbpool.FailureLost},
		{net.ErrClosed, dbpool.FailureLost},
		{context.Canceled, dbpool.FailureOfStatement},
		{context.DeadlineExceeded, dbpool.FailureOfStatement},
		{errors.New("cannot scan"), dbpool.FailureOfStatement},
	} {
		if got := e.Failure(conn, tt.err); got != tt.want {
			t.Errorf("%v: got %d, want %d", tt.err, got, tt.want)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if got := e.Failure(conn, errors.New("conn closed")); got != dbpool.FailureLost {
		t.Errorf("closed: got %d, want it lost", got)
	}
}
