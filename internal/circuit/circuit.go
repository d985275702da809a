// Package circuit makes a program stop asking a server that does not answer.
package circuit

import (
	"sync"
	"time"
)

// Circuit says whether to ask a server. After Trip failures in a row the circuit is open:
// nobody asks until a pause has passed. Then one caller asks: if the server answers, the
// circuit is closed; if not, the pause doubles. Failures of questions that were asked
// before do not make the pause longer. Its methods may be called by many goroutines at
// once. Times are those of any clock that is not set back.
type Circuit struct {
	Trip    int
	Longest time.Duration // the longest pause
	Answer  time.Duration // the longest time that an answer takes

	mu       sync.Mutex // guards what follows
	failures int
	retryAt  int64
	asking   bool // a caller asks while the circuit is open
}

// Asks reports whether the caller is to ask. It must then call Failed or Answered.
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

// Open reports whether the circuit is open.
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
