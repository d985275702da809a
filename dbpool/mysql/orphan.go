package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

var _ driver.SessionKiller = (*Engine)(nil)

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
	// readOnly connections refuse writes on purpose.
	readOnly bool
}

// link returns the connection; its methods are those of what embeds it, too.
func (c *linked) link() *linked { return c }

func linkOf(conn sqldriver.Conn) *linked {
	if l, ok := conn.(interface{ link() *linked }); ok {
		return l.link()
	}
	return nil
}

// Sent returns how often the connection has written to the network.
func (e *Engine) Sent(conn sqldriver.Conn) int64 {
	if c := linkOf(conn); c != nil {
		return c.line.writes.Load()
	}
	return -1
}

// Closed is closed when the server has hung up.
func (e *Engine) Closed(conn sqldriver.Conn) <-chan struct{} {
	if c := linkOf(conn); c != nil {
		return c.line.ended
	}
	return nil
}

// Kill is KILL, which an account needs no privilege for. It reaches no session of
// another server or of another run, whatever its number is: there the session is
// gone.
func (e *Engine) Kill(ctx context.Context, over, closed sqldriver.Conn) (gone bool, err error) {
	c := linkOf(closed)
	if c == nil || c.number == "" {
		return false, errors.New("a connection whose session is not known")
	}
	x, ok := over.(sqldriver.ExecerContext)
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
