package sched

import "time"

// Stat is what a budget has now, and did since it was made.
type Stat struct {
	Budget, Borrowed            int
	Conns, InUse, Idle, Dialing int
	Waiting                     int
	Requests, Waits             int64
	WaitTime                    time.Duration
	HandOvers, Refused, GaveUp  int64
	Dials, Failures             int64
	Evictions, Switches         int64
}

// Stat returns the budget's figures.
func (b *Budget) Stat() Stat {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.stat
	out.Borrowed = b.ceiling(time.Now()) - b.opts.Slots
	out.Conns, out.Idle, out.Dialing = b.live, len(b.idle), b.dialing
	return out
}

// LaneStat is what a lane has now.
type LaneStat struct {
	Conns   int // those that are being dialled or closed, too
	Idle    int
	Waiting int
	Heat    float64 // uses, each of which counts half as much after ten seconds
	Down    bool    // its database is taken to be down
}

// Stat returns the lane's figures.
func (l *Lane) Stat(now time.Time) LaneStat {
	l.budget.mu.Lock()
	defer l.budget.mu.Unlock()
	return LaneStat{
		Conns: l.live, Idle: len(l.idle), Waiting: l.waiting(),
		Heat: l.heatNow(now), Down: l.breaker.tripped(),
	}
}

// Down reports whether the lane's database is taken to be down, and whether it is too early to try it again.
func (l *Lane) Down(now time.Time) (down, early bool) {
	l.budget.mu.Lock()
	defer l.budget.mu.Unlock()
	return l.breaker.tripped(), l.breaker.open(now)
}

// InUse returns how many connections somebody has: a request, a check, or one who kills a session.
func (l *Lane) InUse() int {
	l.budget.mu.Lock()
	defer l.budget.mu.Unlock()
	return l.inUse
}
