// Package lease has the lenders of connections that the instances of an application share:
// [Redis], and [Memory] for tests and for several pools in one process.
//
// Both keep a book for each server of who was granted how many until when, and
// divide alike. Of n connections that r instances want, each gets n/r, and the
// first n%r of them one more, in the order in which they came. With fewer
// connections than instances some therefore have none, for as long as those who
// came before them want theirs; nobody takes turns.
package lease

import (
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
)

const (
	defaultTTL  = 10 * time.Second
	shortestTTL = 10 * time.Millisecond
	longestTTL  = time.Hour
)

// Options are the options of [NewRedis].
type Options struct {
	// TTL is how long a loan lasts, from 10 milliseconds to an hour, to the
	// millisecond. It is the same in all instances. It is how long others wait
	// for the connections of an instance that has crashed, and how long nobody is
	// granted more after Redis has lost its memory. Default: 10 seconds.
	TTL time.Duration
}

// complete fills in defaults.
func (o *Options) complete() error {
	if o.TTL == 0 {
		o.TTL = defaultTTL
	}
	if o.TTL < shortestTTL || o.TTL > longestTTL {
		return fmt.Errorf("%w: TTL %v", tenancy.ErrInvalid, o.TTL)
	}
	o.TTL = o.TTL.Truncate(time.Millisecond)
	return nil
}

// holdFor is for how many milliseconds the lender's book has a loan of ttl: longer
// than the instance, because their clocks do not run at the same speed.
func holdFor(ttl time.Duration) int64 { return (ttl + ttl/10).Milliseconds() }
