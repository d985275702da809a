package circuit

import (
	"math/rand/v2"
	"time"
)

// ShortestPause is the longest that the first pause takes.
const ShortestPause = 100 * time.Millisecond

// Pause returns how long to ask nothing of a server that has failed again n times since a
// first time: at most [ShortestPause], which doubles with each n, but no more than longest;
// and at least half of that. It is random, so that instances do not all come back at once.
func Pause(n int, longest time.Duration) time.Duration {
	d := longest
	if n < 7 {
		d = min(d, ShortestPause<<max(n, 0))
	}
	return d/2 + rand.N(d/2) // not a secret
}
