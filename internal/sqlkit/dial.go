package sqlkit

import (
	"context"
	"errors"
	"io"
	"net"
	"time"
)

// Times after which a connection whose other side has vanished is found to be
// dead, as a firewall that forgot it makes it: idle, and with something sent that
// nobody has acknowledged.
const (
	keepAliveIdle     = 15 * time.Second
	keepAliveInterval = 5 * time.Second
	keepAliveCount    = 3
)

// Dial connects to a server. The operating system asks the other side for signs of
// life, and ends the connection when there are none.
func Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount},
		Control:         userTimeout,
	}
	return d.DialContext(ctx, network, addr)
}

// IsLost reports whether an error of a driver says that a connection has ended,
// or that nothing came over it in time. A context that has ended says nothing.
func IsLost(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var e net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || errors.As(err, &e)
}
