package wire

import (
	"context"
	"errors"
	"os"
	"time"
)

const (
	// RestTime is for how long a connection may be idle before the server is asked
	// for a sign of life. A connection may have died without anybody noticing, as
	// when a firewall forgets it.
	RestTime = time.Second
	// checkTimeout bounds the wait for the sign, and the switching of a connection.
	checkTimeout = time.Second
	// checkPatience is how long a request waits for it. Then it stands in line
	// for any connection, and the check goes on without it.
	checkPatience = 100 * time.Millisecond
	// fileTime is for how long a file is taken to be the one it was.
	fileTime = 100 * time.Millisecond
)

// Usable reports whether a connection that was acquired can be used, and whether the server
// was asked for a sign of life, which takes a round trip. One that was just dialled needs no check. If
// it is not usable, it is the caller's no more.
func (c *Conn) Usable(ctx context.Context) (usable, asked bool) {
	if c.place.FirstUse() && time.Since(c.place.IdleSince()) < fileTime {
		return true, false
	}
	if c.begins(ctx) != nil || !c.sameFile() {
		c.bad, c.diedIdle = true, true
		c.place.Release(false)
		return false, false
	}
	if c.ping == nil || c.db.files != nil || time.Since(c.place.IdleSince()) < RestTime {
		return true, false
	}
	return c.askPatiently(ctx), true
}

// begins tells the driver that another use begins.
func (c *Conn) begins(ctx context.Context) (err error) {
	if c.reset == nil {
		return nil
	}
	defer caught(&err)
	return c.reset.ResetSession(ctx)
}

// sameFile reports whether a connection's file is still there.
func (c *Conn) sameFile() bool {
	if c.db.files == nil || c.file == nil || time.Since(c.fileSeen) < fileTime {
		return true
	}
	now, err := c.db.file()
	c.fileSeen = time.Now()
	return err == nil && os.SameFile(c.file, now)
}

// file looks at the file of a database that is one.
func (d *Database) file() (info os.FileInfo, err error) {
	defer caught(&err)
	return d.files.File(d.Name)
}

// askPatiently asks for a sign of life, and reports whether one came in time. If not, the
// connection is the caller's no more.
func (c *Conn) askPatiently(ctx context.Context) bool {
	answer, left := make(chan bool), make(chan struct{})
	c.inBackground(func(good bool) (taken bool) {
		select {
		case answer <- good:
			return true
		case <-left:
			return false
		}
	})
	patience := time.NewTimer(checkPatience)
	defer patience.Stop()
	select {
	case good := <-answer:
		if !good {
			c.place.Release(false)
		}
		return good
	case <-patience.C:
	case <-ctx.Done():
	}
	close(left)
	return false
}

// inBackground asks for a sign of life, and gives the connection back unless it is
// taken with the result.
func (c *Conn) inBackground(taken func(good bool) bool) {
	c.place.Background(func() {
		if good := c.answers(); !taken(good) {
			c.place.Release(good)
		}
	})
}

// answers asks for a sign of life. Without one, the other connections that have
// been idle for as long are asked too.
func (c *Conn) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	ping := func() (err error) {
		defer caught(&err)
		return c.ping.Ping(ctx)
	}
	if ping() == nil {
		return true
	}
	c.bad, c.diedIdle = true, true
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		c.suspectOthers()
	}
	return false
}

// suspectOthers checks the connections to the same server that have been idle for as long as this one,
// which died in silence.
func (c *Conn) suspectOthers() {
	for _, at := range c.place.Suspects() {
		at.Wire.(*Conn).inBackground(func(bool) bool { return false })
	}
}
