package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

var _ dbpool.Orphans = (*Engine)(nil)

// run tells one run of a server from others. The end of UUID() is a number of the
// machine, and one that a server draws when it starts, or when the clock is set
// back.
const run = `MD5(CONCAT_WS('/', @@hostname, @@port, @@server_id, SUBSTRING(UUID(), 20)))`

// numberColumn is the session's number and the run of the server, which counts
// sessions from 1 again after a restart.
const numberColumn = `CONCAT(CONNECTION_ID(), '/', ` + run + `)`

// linked is a connection of the driver over a line, with the number of its session
// on the server, once that is known.
type linked struct {
	driversConn
	line   *line
	number string
}

// link returns the connection; its methods are those of what embeds it, too.
func (c *linked) link() *linked { return c }

func linkOf(conn driver.Conn) *linked {
	if l, ok := conn.(interface{ link() *linked }); ok {
		return l.link()
	}
	return nil
}

// Ended is closed when the server has hung up.
func (e *Engine) Ended(conn driver.Conn) <-chan struct{} {
	if c := linkOf(conn); c != nil {
		return c.line.ended
	}
	return nil
}

// End is KILL, which an account needs no privilege for. It reaches no session of
// another server or of another run, whatever its number is: there the session is
// gone.
func (e *Engine) End(ctx context.Context, over, closed driver.Conn) (gone bool, err error) {
	c := linkOf(closed)
	if c == nil || c.number == "" {
		return false, errors.New("a connection whose session is not known")
	}
	x, ok := over.(driver.ExecerContext)
	if !ok {
		return false, fmt.Errorf("%T cannot execute", over)
	}
	id, of, _ := strings.Cut(c.number, "/")
	_, err = x.ExecContext(ctx, fmt.Sprintf(`KILL IF(%s = '%s', %s, 0)`, run, of, id), nil)
	if sqlkit.IsNoSession(err) {
		return true, nil
	}
	return false, err
}

// line is a network connection whose Close makes the other side close too. A
// server that is at work hears of it when it has finished.
type line struct {
	net.Conn
	reading sync.Mutex // held while somebody reads
	closed  atomic.Bool
	ended   chan struct{} // closed when the server has hung up
}

type lineKey struct{}

// lines returns a dial function that dials a line, and tells it to the **line in
// its context.
func lines(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
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

// Read fails when the line has been closed, also in the middle.
func (l *line) Read(b []byte) (int, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	if l.closed.Load() {
		return 0, net.ErrClosed
	}
	return l.Conn.Read(b)
}

// lingerTime bounds the wait for the server in Close.
const lingerTime = time.Second

// Close tells the server that nothing more comes, and waits for a while until it
// has hung up. Whoever reads does not wait.
func (l *line) Close() error {
	if l.closed.Swap(true) {
		return nil
	}
	half, ok := l.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		defer close(l.ended)
		return l.Conn.Close()
	}
	_ = l.SetReadDeadline(time.Unix(1, 0)) // whoever reads
	go l.drain()
	timeout := time.NewTimer(lingerTime)
	defer timeout.Stop()
	select {
	case <-l.ended:
	case <-timeout.C:
	}
	return nil
}

// drain reads until the server has hung up, or is out of reach.
func (l *line) drain() {
	defer close(l.ended)
	defer func() { _ = l.Conn.Close() }()
	l.reading.Lock() // nobody reads any more
	defer l.reading.Unlock()
	for {
		_ = l.SetReadDeadline(time.Time{})
		_, err := io.Copy(io.Discard, l.Conn)
		if !errors.Is(err, os.ErrDeadlineExceeded) { // which may still have been the driver's
			return
		}
	}
}
