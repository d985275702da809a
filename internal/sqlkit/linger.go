package sqlkit

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// lingerTime bounds the wait for the server to close its side.
const lingerTime = time.Second

// Line is a network connection that ends only when the server has ended it too.
// Drivers say goodbye and close at once; the server then counts the connection a
// little longer than the pool would.
type Line struct {
	net.Conn
	writes    atomic.Int64
	abandoned atomic.Bool
}

// DialLine is a dial function for drivers, as [Dial]. Its connections are Lines.
func DialLine(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &Line{Conn: conn}, nil
}

// Write counts, before anything is sent.
func (c *Line) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// Writes returns how often something was sent, or may have been.
func (c *Line) Writes() int64 { return c.writes.Load() }

// SyscallConn lets the driver look whether the server has hung up.
func (c *Line) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Abandon ends all waiting for the server, which does not answer: in Read, whatever
// deadline is set meanwhile, and in Close.
func (c *Line) Abandon() {
	c.abandoned.Store(true)
	_ = c.Conn.SetDeadline(time.Unix(1, 0))
}

// SetDeadline implements [net.Conn].
func (c *Line) SetDeadline(t time.Time) error {
	err := c.Conn.SetDeadline(t)
	if c.abandoned.Load() {
		return c.Conn.SetDeadline(time.Unix(1, 0))
	}
	return err
}

// SetReadDeadline implements [net.Conn].
func (c *Line) SetReadDeadline(t time.Time) error {
	err := c.Conn.SetReadDeadline(t)
	if c.abandoned.Load() {
		return c.Conn.SetReadDeadline(time.Unix(1, 0))
	}
	return err
}

// Close tells the server that nothing more comes, and waits until it has closed.
func (c *Line) Close() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil && !c.abandoned.Load() {
		if c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.Copy(io.Discard, c.Conn)
		}
	}
	return c.Conn.Close()
}
