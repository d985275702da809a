package sqlkit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

func TestIsLost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("syntax"), false},
		{context.Canceled, false},
		{fmt.Errorf("reading: %w", context.DeadlineExceeded), false},
		{io.EOF, true},
		{fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), true},
		{net.ErrClosed, true},
		{os.ErrDeadlineExceeded, true},
		{&net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}, true},
	} {
		if got := sqlkit.IsLost(tt.err); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.err, got, tt.want)
		}
	}
}

// A line that was abandoned waits for nobody, whatever the driver sets.
func TestLineAbandoned(t *testing.T) {
	t.Parallel()
	server, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	conn, err := sqlkit.DialLine(t.Context(), "tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	line := conn.(*sqlkit.Line)
	before := line.Writes()
	if _, err := line.Write([]byte("?")); err != nil || line.Writes() == before {
		t.Errorf("got %v, %d writes as before, want more", err, before)
	}
	read := make(chan error, 1)
	go func() {
		_, err := line.Read(make([]byte, 1))
		read <- err
	}()
	line.Abandon()
	_ = line.SetDeadline(time.Now().Add(time.Hour))
	_ = line.SetReadDeadline(time.Now().Add(time.Hour))
	if _, err := line.Read(make([]byte, 1)); err == nil {
		t.Error("got an answer, want an error")
	}
	if err := <-read; err == nil {
		t.Error("got an answer, want an error")
	}
	_ = line.Close()
}
