// Package circuit keeps from asking a server that does not answer.
package circuit

import (
	"sync"
	"time"
)

// Circuit keeps from asking what does not answer. After Trip failures in a row it
// is open: nothing is asked until a pause has passed; then one question is let
// through, and if that is answered the circuit is closed, and if it fails the pause
// doubles. Failures of other questions, which were asked before, do not make it
// longer. Its methods may be called by many goroutines at once. Times are those of
// any clock that is not set back.
type Circuit struct {
	Trip    int
	Longest time.Duration // pause
	Answer  time.Duration // the longest that one takes

	mu       sync.Mutex // guards what follows
	failures int
	retryAt  int64
	asking   bool // since it is open one was let through
}

// Asks reports whether to ask.
func (c *Circuit) Asks(now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures < c.Trip {
		return true
	}
	if now < c.retryAt {
		return false
	}
	c.asking = true
	c.retryAt = now + int64(c.Answer) // for the others, until this one is answered
	return true
}

// Open reports whether the last questions were not answered.
func (c *Circuit) Open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failures >= c.Trip
}

// Failed takes note of a failure and reports whether it opened the circuit.
func (c *Circuit) Failed(now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures >= c.Trip && !c.asking {
		return false
	}
	c.asking = false
	c.failures++
	c.pause(now)
	return c.failures == c.Trip
}

// pause sets when to ask again. The caller has the lock.
func (c *Circuit) pause(now int64) {
	c.retryAt = now + int64(Pause(c.failures-c.Trip, c.Longest))
}

// Answered closes the circuit, and reports whether it was open.
func (c *Circuit) Answered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.failures >= c.Trip
	c.failures, c.asking = 0, false
	return was
}
