package sqlkit

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// lingerTime bounds the wait for the server to close its side.
const lingerTime = time.Second

// Lingering returns a dial function whose connections end only when the server
// has ended them too. Drivers say goodbye and close at once; the server then
// counts the connection a little longer than the pool would. A nil function is
// that of net.Dialer.
func Lingering(dial func(ctx context.Context, network, addr string) (net.Conn, error),
) func(ctx context.Context, network, addr string) (net.Conn, error) {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &lingeringConn{conn}, nil
	}
}

type lingeringConn struct{ net.Conn }

// SyscallConn lets the driver look whether the server has hung up.
func (c *lingeringConn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Close tells the server that nothing more comes, and waits until it has closed.
func (c *lingeringConn) Close() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		if c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.Copy(io.Discard, c.Conn)
		}
	}
	return c.Conn.Close()
}
