package dbpool

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Lender lends connections that the instances of the application share, beyond those
// that each instance has for itself. A value of this type is one instance: it has
// an identity of its own, and several instances in one process have a value each.
//
// The connections that instances may hold by loans that have not ended are never
// more than [BorrowRequest.Total], as long as every instance keeps to this:
//
//   - From the moment it asks until it is answered it holds no more than
//     [BorrowRequest.Keep]; after the answer no more than [Loan.Granted].
//   - When a call fails, it may have been carried out. The instance holds
//     at most [BorrowRequest.Keep] of that request until its earlier loan ends.
//   - When its loan has ended it holds none, by its own monotonic clock. To keep
//     them it asks again before that, best after a third of the time.
//
// Lenders divide fairly: who wants little gets it, and the others the same. What
// nobody wants stays with those who keep it. An instance that holds more than its
// share while others want more is told its share, and comes down to it as its
// connections become idle, so that an instance that begins to want connections has
// its share when the others have asked twice.
//
// A lender that has lost its memory grants nothing that instances did not keep,
// until they have told what they keep or until all loans of before have ended.
// One that cannot tell a loss from a first start does so then too. The wait
// begins with the first ask for the server, of whichever instance, so that an
// instance does well to send one when it starts; one of zeros will do.
//
// Borrow may be called by many goroutines at once for different servers. For one
// server an instance asks again only when the call before has returned; a call that
// an implementation receives after a later one, because it was delayed on its
// way, changes nothing, and fails with an error that wraps
// [tenancy.ErrConflict].
//
// Borrow returns the context's error as it is as soon as the context ends. An ask
// that makes no sense fails with an error that wraps [tenancy.ErrInvalid],
// everything else with one that wraps [tenancy.ErrUnavailable].
type Lender interface {
	// Borrow tells how many shared connections the instance keeps and wants, and
	// returns how many it may hold until the loan ends. An ask with Keep and
	// Want zero returns what the instance has.
	Borrow(ctx context.Context, r BorrowRequest) (Loan, error)
}

// BorrowRequest is what an instance says of the connections of one server.
type BorrowRequest struct {
	// Server is the name of the server, or of the group of servers, that has
	// the connections.
	Server string
	// Total is how many connections all instances share. Instances that differ
	// in it are lent no more than each of them says.
	Total int
	// Keep is how many the instance may hold until it is answered: all that it holds
	// now, and of its loan those that it wants. It is never more than was granted, except for
	// connections that are still in use when the loan has ended.
	Keep int
	// Want is how many it would like to hold, those in use among them. It may be
	// less than Keep: then the rest is idle, and others may have it.
	Want int
}

// Validate returns an error that wraps [tenancy.ErrInvalid] if the ask makes
// no sense: if it names no server, or if a number is negative or above 2^31-1.
func (r BorrowRequest) Validate() error {
	if r.Server == "" {
		return fmt.Errorf("%w: no server", tenancy.ErrInvalid)
	}
	for _, n := range []int{r.Total, r.Keep, r.Want} {
		if n < 0 || n > math.MaxInt32 {
			return fmt.Errorf("%w: number of connections %d", tenancy.ErrInvalid, n)
		}
	}
	return nil
}

// Loan is the answer to a [BorrowRequest].
type Loan struct {
	// Granted is how many connections the instance may hold: at least Keep, unless
	// its loan before had ended when the ask arrived.
	Granted int
	// Share is what the instance should come down to, because others want more
	// than there is. It is never above Granted, and equal to it when nobody
	// waits for the instance's connections.
	Share int
	// For is how long the loan lasts, counted from before the call began.
	For time.Duration
}
