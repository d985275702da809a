package sqlkit

import (
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// userTimeoutTime is how long the other side may take to acknowledge what was sent.
const userTimeoutTime = keepAliveIdle + keepAliveCount*keepAliveInterval

// userTimeout bounds how long something that was sent may stay unacknowledged.
// Source: https://man7.org/linux/man-pages/man7/tcp.7.html, TCP_USER_TIMEOUT
func userTimeout(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	return c.Control(func(fd uintptr) {
		// Without it the system's own time applies, which is longer.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeoutTime/time.Millisecond)) // a file descriptor
	})
}
