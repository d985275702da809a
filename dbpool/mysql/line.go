package mysql

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// line is a network connection whose Close makes the other side close too. A
// server that is at work hears of it when it has finished.
type line struct {
	net.Conn
	writes atomic.Int64
	ended  chan struct{} // closed when the server has hung up

	mu      sync.Mutex // guards what follows; not held while anything is read
	reading bool
	closed  bool
}

type lineKey struct{}

// lines returns a dial function that dials a line, and tells it to the **line in
// its context.
func lines(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := sqlkit.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l := &line{Conn: conn, ended: make(chan struct{})}
	if to, ok := ctx.Value(lineKey{}).(**line); ok {
		*to = l
	}
	return l, nil
}

// SyscallConn lets the driver look whether the server has hung up.
func (l *line) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := l.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Write counts, before anything is sent.
func (l *line) Write(b []byte) (int, error) {
	l.writes.Add(1)
	return l.Conn.Write(b)
}

// Read fails when the line has been closed, also in the middle.
func (l *line) Read(b []byte) (int, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return 0, net.ErrClosed
	}
	l.reading = true
	l.mu.Unlock()
	n, err := l.Conn.Read(b)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reading = false
	if l.closed {
		go l.drain()
	}
	return n, err
}

// lingerTime bounds the wait for the server in Close.
const lingerTime = time.Second

// Close tells the server that nothing more comes, and waits for a while until it
// has hung up. A reader does not wait.
func (l *line) Close() error {
	l.mu.Lock()
	closed, reading := l.closed, l.reading
	l.closed = true
	l.mu.Unlock()
	if closed {
		return nil
	}
	half, ok := l.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		_ = l.Conn.Close()
	}
	_ = l.SetReadDeadline(time.Unix(1, 0)) // a reader then drains it
	if !reading {
		go l.drain()
	}
	timeout := time.NewTimer(lingerTime)
	defer timeout.Stop()
	select {
	case <-l.ended:
	case <-timeout.C:
	}
	return nil
}

// drain reads until the server has hung up, or is out of reach. Nobody else reads
// any more.
func (l *line) drain() {
	defer close(l.ended)
	defer func() { _ = l.Conn.Close() }()
	for {
		_ = l.SetReadDeadline(time.Time{})
		_, err := io.Copy(io.Discard, l.Conn)
		if !errors.Is(err, os.ErrDeadlineExceeded) { // which may still have been the driver's
			return
		}
	}
}
