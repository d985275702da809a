package circuit

import (
	"testing"
	"time"
)

const (
	ms     = int64(time.Millisecond)
	second = int64(time.Second)
)

func newCircuit() *Circuit {
	return &Circuit{Trip: 3, Longest: 10 * time.Second, Answer: 50 * time.Millisecond}
}

// open returns a circuit that opened at 0.
func open(t *testing.T) *Circuit {
	t.Helper()
	c := newCircuit()
	for i := range 3 {
		if !c.Asks(0) || c.Open() {
			t.Fatalf("open after %d failures, want 3", i)
		}
		if got := c.Failed(0); got != (i == 2) {
			t.Errorf("failure %d: got opened %t", i+1, got)
		}
	}
	if c.Asks(0) || !c.Open() {
		t.Fatal("closed after 3 failures")
	}
	return c
}

// asksAfter returns when it is asked again, to a millisecond.
func asksAfter(t *testing.T, c *Circuit, now int64) int64 {
	t.Helper()
	for at := now; at < now+20*second; at += ms {
		if c.Asks(at) {
			return at
		}
	}
	t.Fatal("not asked within 20 s")
	return 0
}

func TestCircuitFailuresInARow(t *testing.T) {
	t.Parallel()
	c := newCircuit()
	for range 5 {
		c.Failed(0)
		c.Failed(0)
		if c.Answered() || c.Open() {
			t.Fatal("open after failures that were not in a row")
		}
	}
}

// The pause doubles with each question that is not answered, up to the longest.
func TestCircuitPause(t *testing.T) {
	t.Parallel()
	c := open(t)
	now := int64(0)
	for _, most := range []int64{100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000} {
		at := asksAfter(t, c, now)
		if d := at - now; d < most*ms/2 || d > most*ms {
			t.Errorf("a pause of %v, want %d ms at most and a half at least", time.Duration(d), most)
		}
		if c.Asks(at) || c.Asks(at+49*ms) {
			t.Error("asked twice at once")
		}
		now = at + 50*ms
		c.Failed(now)
	}
	asksAfter(t, c, now)
	if !c.Answered() || c.Open() || !c.Asks(now) || c.Answered() {
		t.Error("not closed by an answer, or not once")
	}
}

// A question whose asker went away is asked again.
func TestCircuitForgottenQuestion(t *testing.T) {
	t.Parallel()
	c := open(t)
	at := asksAfter(t, c, 0)
	if again := asksAfter(t, c, at); again != at+50*ms {
		t.Errorf("asked again after %v, want 50ms", time.Duration(again-at))
	}
}

// Many that were asked before it opened say no more than three.
func TestCircuitManyAtOnce(t *testing.T) {
	t.Parallel()
	c := open(t)
	for range 1000 {
		if c.Failed(0) {
			t.Error("opened twice")
		}
	}
	if at := asksAfter(t, c, 0); at > 100*ms {
		t.Errorf("asked again after %v, want 100 ms at most", time.Duration(at))
	}
	c.Failed(150 * ms)
	if at := asksAfter(t, c, 150*ms); at > 350*ms {
		t.Errorf("asked again after %v, want 200 ms at most", time.Duration(at-150*ms))
	}
}
