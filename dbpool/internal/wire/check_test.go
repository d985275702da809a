package wire

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pings counts the signs of life that a connection is asked for.
type pings int

func (p *pings) Ping(context.Context) error {
	*p++
	return nil
}

// A connection that is handed from one request to the next was in use a moment ago: nobody asks it for a
// sign of life, however long that goes on.
func TestBusyConnectionIsNotPinged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, dbs := newDatabases(t, &fakeEngine{}, "t0")
		var asked pings
		c := acquire(t, dbs[0])
		c.ping = &asked
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for range 100 {
					c := acquire(t, dbs[0])
					time.Sleep(RestTime / 10)
					if err := c.Close(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if asked != 0 {
			t.Errorf("got %d pings of a connection that was always in use, want none", asked)
		}
		time.Sleep(RestTime)
		if err := acquire(t, dbs[0]).Close(); err != nil || asked != 1 {
			t.Errorf("got %v and %d pings after a rest, want one", err, asked)
		}
		b.Close()
	})
}
