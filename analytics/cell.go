package analytics

import (
	"slices"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
)

// cell is what is counted for one tenant and not yet written.
type cell struct {
	mu sync.Mutex // guards what follows

	// gone is set when the cell was taken out of the recorder. A request that finds it so
	// asks for another.
	gone     bool
	tenant   *tenancy.Tenant // the newest record seen; nil for rows of no tenant
	written  *tenancy.Tenant // the newest record that was written; nil: none
	inFlight int64
	tallies  []*tally // the last is that of the present minute
	patterns map[string]*patternTally
	past     []pastPattern // of hours that are over

	statements   []*statementHour // the last is that of the present hour
	statementsAt int64            // the minute in which they were put into a batch

	// Nanoseconds: see Recorder.tick.
	meters *meter // of the requests and jobs in progress
	busy   int64  // of those that have ended, since the last tick
	debt   int64  // what was credited for what turned out to be waiting
	rest   int64  // what is too little to be counted
}

// tally is what is counted in one minute, or in an hour of which the minutes could not be
// written in time.
type tally struct {
	at      moment
	hour    bool
	changed bool     // since it was last put into a batch
	sent    *counted // what is in the batch that is being written; nil: nothing
	stored  *counted // what the store has; nil: nothing
	doubt   bool     // the store may have something else
	counted
}

// counted is what was counted.
type counted struct {
	values  [numColumns]int64
	latency sparse
	own     []int64 // by the index of the name in the options
}

func (n *counted) clone() *counted {
	return &counted{n.values, slices.Clone(n.latency), slices.Clone(n.own)}
}

// less returns what was counted since o.
func (n *counted) less(o *counted) *counted {
	out := n.clone()
	for i, v := range o.values {
		if !columnInfos[i].largest {
			out.values[i] -= v
		}
	}
	for _, b := range o.latency {
		if i, found := out.latency.find(b.bucket); found {
			out.latency[i].n -= b.n
		}
	}
	for i, k := range o.own {
		out.own[i] -= k
	}
	return out
}

// moment is where a count belongs: a minute since 1970, by the store's clock, of a
// source.
type moment struct{ minute, source int64 }

// note notes the newer record. It reports false if the cell is gone.
func (c *cell) note(t *tenancy.Tenant) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone {
		c.see(t)
	}
	return !c.gone
}

// bodies returns how many bytes of bodies the requests in progress have read so far.
func (c *cell) bodies() (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for m := c.meters; m != nil; m = m.next {
		if m.read != nil {
			n = add(n, m.read.Load())
		}
	}
	return n
}

// see keeps the newer record. The caller has the lock.
func (c *cell) see(t *tenancy.Tenant) {
	if t != nil && (c.tenant == nil || t.Newer(c.tenant)) {
		c.tenant = t
	}
}

// tally returns that of the moment. The caller has the lock.
func (c *cell) tally(at moment) *tally {
	for i := len(c.tallies) - 1; i >= 0; i-- {
		if c.tallies[i].at == at && !c.tallies[i].hour {
			return c.tallies[i]
		}
	}
	n := &tally{at: at}
	n.values[InFlight] = c.inFlight
	c.tallies = append(c.tallies, n)
	return n
}

// parts returns what has changed as rows, and marks it as put into a batch.
func (c *cell) parts(id tenancy.ID, revision int64, names []string) (parts []Part) {
	for _, n := range c.tallies {
		if !n.changed {
			continue
		}
		n.changed, n.sent = false, n.clone()
		p := Part{Tenant: id, Start: time.UnixMicro(n.at.minute * minute).UTC(), Hour: n.hour, Source: n.at.source, Revision: revision, Counts: n.counts(names)}
		if n.hour {
			p.Source = ^p.Source // or its first minute would have the same key
		}
		parts = append(parts, p)
	}
	return parts
}

// takeBack marks what was put into a batch to be put into the next one. If the batch may
// have been written, it is not known what the store has.
func (c *cell) takeBack(inDoubt bool) {
	for _, n := range c.tallies {
		sent := n.sent != nil
		n.changed, n.doubt, n.sent = n.changed || sent, n.doubt || sent && inDoubt, nil
	}
	for _, p := range c.patterns {
		p.changed, p.sent = p.changed || p.sent, false
	}
	for _, p := range c.past {
		p.tally.changed, p.tally.sent = p.tally.changed || p.tally.sent, false
	}
}

// settle forgets minutes before now that were written. It reports whether nothing
// is left to count or to write.
func (c *cell) settle(now int64) (idle bool) {
	kept := c.tallies[:0]
	for _, n := range c.tallies {
		if n.sent != nil {
			n.stored, n.doubt, n.sent = n.sent, false, nil
		}
		if n.changed || n.at.minute >= now {
			kept = append(kept, n)
		}
	}
	clear(c.tallies[len(kept):])
	c.tallies = kept
	quiet := len(kept) == 0 && c.inFlight == 0
	c.settlePatterns(now, quiet)
	c.settleStatements(now, quiet)
	return quiet && len(c.patterns)+len(c.past)+len(c.statements) == 0 && c.meters == nil && c.busy == 0 && !c.unwritten()
}

// unwritten reports whether the record is to be written. The caller has the lock.
func (c *cell) unwritten() bool {
	return c.tenant != nil && (c.written == nil || c.tenant.Newer(c.written))
}

// maxMinutes is how many minutes wait to be written before they become hours.
const maxMinutes = 60

// compact makes hours of minutes that wait for long: of one that the store has a row of, what
// was counted since. The store may have made longer rows of that one, and have removed it, so
// that it cannot be replaced. One of which it is not known what the store has stays as it is.
func (c *cell) compact(now int64) {
	kept := c.tallies[:0]
	var hours []*tally
	for _, n := range c.tallies {
		if n.hour {
			hours = append(hours, n)
		}
	}
	for _, n := range c.tallies {
		if n.hour || n.doubt || n.at.minute > now-maxMinutes {
			kept = append(kept, n)
			continue
		}
		rest := &n.counted
		if n.stored != nil {
			rest = n.less(n.stored)
		}
		at := moment{n.at.minute - n.at.minute%60, n.at.source}
		i := slices.IndexFunc(hours, func(h *tally) bool { return h.at == at })
		if i < 0 {
			i, hours = len(hours), append(hours, &tally{at: at, hour: true})
			kept = append(kept, hours[i])
		}
		hours[i].merge(rest)
	}
	clear(c.tallies[len(kept):])
	c.tallies = kept
}

// merge adds what was counted elsewhere.
func (n *tally) merge(o *counted) {
	for i, v := range o.values {
		if columnInfos[i].largest {
			n.values[i] = max(n.values[i], v)
		} else {
			n.values[i] = add(n.values[i], v)
		}
	}
	for _, b := range o.latency {
		n.latency.count(b.bucket, b.n)
	}
	if n.own == nil && o.own != nil {
		n.own = make([]int64, len(o.own))
	}
	for i, k := range o.own {
		n.own[i] = add(n.own[i], k)
	}
	n.changed = true
}

// counts returns what was counted, as a row has it.
func (n *counted) counts(names []string) Counts {
	c := Counts{Values: n.values}
	for i := range c.Values {
		if Column(i) != LastSeen { // there are few
			c.Values[i] = min(c.Values[i], most)
		}
	}
	for _, b := range n.latency {
		c.Latency[b.bucket] = int64(b.n)
	}
	for i, each := range n.own {
		if each == 0 {
			continue
		}
		if c.Own == nil {
			c.Own = map[string]int64{}
		}
		c.Own[names[i]] = min(each, most)
	}
	return c
}

// minute is a minute in microseconds.
const minute = int64(time.Minute / time.Microsecond)
