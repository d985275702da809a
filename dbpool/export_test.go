package dbpool

import (
	"testing"
	"time"
)

// NewFakeServer returns an engine whose connections only count. It fails the
// test when more than budget are open at a time.
func NewFakeServer(t testing.TB, budget int, dial time.Duration) (engine Engine, open func() int64) {
	s := &fakeServer{t: t, budget: int64(budget), delay: func() time.Duration { return dial }}
	return s, s.open.Load
}
