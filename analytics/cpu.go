package analytics

import (
	"time"
)

// cpuError is by which share the estimate of a tenant's processor time may differ from
// the truth: the largest error that TestCPUOracle showed for one of twelve tenants within
// some seconds on two crowded processors, where estimates have the queue for processors in
// them. Half of the tenants were within 0.18, and the sum within 0.07.
const cpuError = 0.7

// cpuPeriod is the shortest period whose processor time is reported.
const cpuPeriod = 30 * time.Second

// start begins to measure. The caller has the lock.
func (c *cell) start(m *meter) {
	if m.next = c.meters; m.next != nil {
		m.next.prev = m
	}
	c.meters = m
}

// begin is start for who has not the lock. It reports false if the cell is gone.
func (c *cell) begin(m *meter) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone {
		c.start(m)
	}
	return !c.gone
}

// finish ends to measure. The caller has the lock.
func (c *cell) finish(m *meter, now time.Time) {
	if m.prev != nil {
		m.prev.next = m.next
	} else {
		c.meters = m.next
	}
	if m.next != nil {
		m.next.prev = m.prev
	}
	m.next, m.prev = nil, nil
	c.settleMeter(m, m.busy(now))
}

// settleMeter adds to the cell's busy time what came to a meter since it was counted
// last. Where that is less than was counted, a wait had begun before: what the tenant got
// for it is a debt. The caller has the lock.
func (c *cell) settleMeter(m *meter, busy int64) {
	if busy >= m.counted {
		c.busy += busy - m.counted
		m.counted = busy
		return
	}
	back := int64(float64(m.credited) * float64(m.counted-busy) / float64(m.counted))
	c.debt += back
	m.credited -= back
	m.counted = busy
}

// portion is what one tenant was busy between two ticks.
type portion struct {
	cell     *cell
	busy     int64 // nanoseconds
	progress []progress
}

// progress is what a request in progress has of it.
type progress struct {
	meter *meter
	busy  int64
}

// take returns what the cell was busy since the last tick, requests in progress included.
// The caller has the lock.
func (c *cell) take(now time.Time) portion {
	s := portion{cell: c}
	for m := c.meters; m != nil; m = m.next {
		before := c.busy
		c.settleMeter(m, m.busy(now))
		if c.busy > before {
			s.progress = append(s.progress, progress{m, c.busy - before})
		}
	}
	s.busy, c.busy = c.busy, 0
	return s
}

// credit counts processor time for the cell, less its debt, and returns it in
// microseconds. The caller has the lock.
func (c *cell) credit(s *portion, scale float64, at moment) int64 {
	for _, p := range s.progress {
		p.meter.credited += int64(float64(p.busy) * scale)
	}
	c.rest += int64(float64(s.busy) * scale)
	paid := min(c.debt, c.rest)
	c.debt, c.rest = c.debt-paid, c.rest-paid
	us := c.rest / int64(time.Microsecond)
	if c.rest -= us * int64(time.Microsecond); us > 0 {
		n := c.tally(at)
		n.values[CPUTime] = add(n.values[CPUTime], us)
		n.changed = true
	}
	return us
}

// tick divides the process's time since the last tick, of which it used the given sum in all. What was busy
// beyond that waited for a processor, so all get less in the same proportion. The rest belongs to
// nobody: garbage collection, net/http, the application itself.
func (rec *Recorder) tick(used time.Duration, now time.Time) {
	spent := used - rec.cpu
	rec.cpu = used
	if spent <= 0 {
		return // it is not known on this system
	}
	var shares []portion
	var busy int64
	rec.cells.Range(func(_, value any) bool {
		c := value.(*cell)
		c.mu.Lock()
		defer c.mu.Unlock()
		if s := c.take(now); s.busy > 0 {
			shares = append(shares, s)
			busy = add(busy, s.busy)
		}
		return true
	})
	scale := 1.0
	if busy > int64(spent) {
		scale = float64(spent) / float64(busy)
	}
	rest := spent.Microseconds()
	for i := range shares {
		c := shares[i].cell
		c.mu.Lock()
		rest -= c.credit(&shares[i], scale, rec.moment(now))
		c.mu.Unlock()
	}
	rec.records(CPUTime)
	if rest > 0 {
		rec.update(Unattributed, nil, now, func(_ *cell, n *tally) { n.values[CPUTime] = add(n.values[CPUTime], rest) })
	}
}
