package catalog

import (
	"math/rand/v2"
	"sync"
	"time"
)

// circuit keeps from asking what does not answer. After trip failures in a row it
// is open: nothing is asked until a pause has passed, which doubles with each
// failure; then one question is let through, and if that is answered the circuit
// is closed. Its methods may be called by many goroutines at once.
type circuit struct {
	trip    int
	longest time.Duration // pause
	answer  time.Duration // the longest that one takes

	mu       sync.Mutex // guards what follows
	failures int
	retryAt  int64
}

const shortestPause = 100 * time.Millisecond

// asks reports whether to ask.
func (c *circuit) asks(now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures < c.trip {
		return true
	}
	if now < c.retryAt {
		return false
	}
	c.retryAt = now + int64(c.answer) // for the others, until this one is answered
	return true
}

func (c *circuit) open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failures >= c.trip
}

// failed counts a failure and reports whether it opened the circuit.
func (c *circuit) failed(now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures++
	c.pause(now)
	return c.failures == c.trip
}

// pause sets when to ask again. Jitter keeps replicas apart. The caller has the
// lock.
func (c *circuit) pause(now int64) {
	d := c.longest
	if n := c.failures - c.trip; n < 7 {
		d = min(d, shortestPause<<max(n, 0))
	}
	c.retryAt = now + int64(d/2+rand.N(d/2)) //nolint:gosec // not a secret
}

// answered reports whether the circuit was open.
func (c *circuit) answered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.failures >= c.trip
	c.failures = 0
	return was
}
