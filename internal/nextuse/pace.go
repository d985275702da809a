package nextuse

import (
	"math"
	"time"
)

// pace is how fast the visits of a tenant follow each other: the latest memory
// of them, to twice as many.
type pace struct {
	visits           int           // since from, with that one
	from, half, last time.Duration // when visits began; half is the one memory after from
}

// add counts a use, unless it is of a visit that began just before.
func (p *pace) add(at, visit time.Duration) {
	gap := at - p.last
	if p.visits > 0 && gap < visit {
		return
	}
	if p.visits > memory {
		if apart := p.apart(p.last); gap > away*apart {
			p.from += gap - apart
			p.half += gap - apart
		}
	}
	p.last = at
	p.visits++
	switch p.visits {
	case 1:
		p.from = at
	case 1 + memory:
		p.half = at
	case 1 + 2*memory:
		p.from, p.half, p.visits = p.half, at, 1+memory
	}
}

// apart is the time from one visit to the next; forever, when there was one at
// most.
func (p *pace) apart(at time.Duration) time.Duration {
	if p.visits < 2 {
		return math.MaxInt64
	}
	return (at - p.from) / time.Duration(p.visits-1)
}
