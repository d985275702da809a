package dbpool

import (
	"context"
	"database/sql/driver"
)

// Replication is the optional ability of an [Engine] whose server may be a
// replica of another, or have replicas. It is how a reader knows that a replica
// has what was written on the primary before.
//
//	want, err := primary.Position(ctx, conn) // after the commit
//	...
//	at, err := replica.Position(ctx, other)
//	fresh := err == nil && replica.Reached(at, want)
//
// Its methods are called by many goroutines at once, on different connections.
type Replication interface {
	// Server returns what connects to the server itself, in no tenant's
	// database. It does no I/O.
	Server() (driver.Connector, error)
	// Position asks the server, in one round trip, how far its data is. The
	// connection may lead to any of its databases, and must not be in a
	// transaction. An account needs no privilege for it.
	//
	// On a primary the position includes at least everything that was committed
	// before the call, in all databases. On a replica it includes at most what
	// queries that begin after the call see.
	//
	// A server that cannot tell, such as one that keeps no log for replicas, is
	// an error that unwraps to [tenancy.ErrInvalid].
	Position(ctx context.Context, conn driver.Conn) (Position, error)
	// Reached reports whether a server at one position has everything that a
	// primary had at the other. It is false where positions cannot be compared:
	// one is malformed, or another engine's, or of another history, such as that
	// of a primary before a failover. Engines say how well they tell histories
	// apart. Whoever gets false asks the primary. Reached does no I/O, and takes
	// texts from anywhere.
	Reached(at, want Position) bool
}

// Position is a place in a server's history of writes. It is short, of the
// characters A-Z a-z 0-9 . , : / - only, and may be kept elsewhere meanwhile,
// such as in a cookie or a job. It holds no secret, but tells how much is
// written on the server. Its meaning is the engine's.
//
// A position does not name its server: where there are several, keep
// [tenancy.Placement.Server] with it, and compare only positions of that server
// and its replicas.
type Position string
