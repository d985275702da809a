package dbpool

import (
	"context"
	"errors"
	"time"
)

const (
	// restTime is for how long a connection may be idle before the server is asked
	// for a sign of life. A connection may have died without anybody noticing, as
	// when a firewall forgets it.
	restTime = time.Second
	// checkTimeout bounds the wait for the sign.
	checkTimeout = time.Second
	// checkPatience is how long a request waits for it. Then it stands in line
	// for any connection, and the check goes on without it.
	checkPatience = 100 * time.Millisecond
)

// usable reports whether a connection that was idle can be used. If not, it is the
// caller's no more.
func (c *conn) usable(ctx context.Context) bool {
	if c.reset != nil && c.reset.ResetSession(ctx) != nil || !c.lane.sameFile(c) {
		c.bad, c.diedIdle = true, true
		c.lane.budget.release(c, false)
		return false
	}
	if c.ping == nil || c.lane.files != nil || time.Since(c.idleSince) < restTime {
		return true
	}
	c.waited = true
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
			c.lane.budget.release(c, false)
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
func (c *conn) inBackground(taken func(good bool) bool) {
	b := c.lane.budget
	b.mu.Lock()
	b.tasks++
	b.mu.Unlock()
	go func() {
		good := c.answers()
		if !taken(good) {
			b.release(c, good)
		}
		b.mu.Lock()
		b.done()
		b.mu.Unlock()
	}()
}

// answers asks for a sign of life. Without one, the other connections that have
// been idle for as long are asked too.
func (c *conn) answers() bool {
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
		c.lane.budget.suspect(c)
	}
	return false
}

// suspect checks the connections of a server that have been idle for as long as one
// that died in silence.
func (b *budget) suspect(dead *conn) {
	b.mu.Lock()
	var suspects []*conn
	for _, c := range b.idle {
		if c.lane.server == dead.lane.server && !c.idleSince.After(dead.idleSince) {
			suspects = append(suspects, c)
		}
	}
	for _, c := range suspects {
		b.removeIdle(c)
		b.stat.InUse++
	}
	b.mu.Unlock()
	for _, c := range suspects {
		c.inBackground(func(bool) bool { return false })
	}
}
