package sqlkit_test

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// The system finds out that the other side has vanished: it asks an idle connection for
// signs of life, and bounds how long something that was sent may stay unacknowledged.
func TestDialKeepsAlive(t *testing.T) {
	t.Parallel()
	server, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	conn, err := sqlkit.Dial(t.Context(), "tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		name          string
		level, option int
		value         int
	}{
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 5},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(30 * time.Second / time.Millisecond)},
	} {
		var got int
		var failed error
		err := raw.Control(func(fd uintptr) { got, failed = unix.GetsockoptInt(int(fd), want.level, want.option) }) // a file descriptor
		if err != nil || failed != nil || got != want.value {
			t.Errorf("%s: got %d, %v, %v, want %d", want.name, got, err, failed, want.value)
		}
	}
}
