package analytics

import (
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// maxPatterns is how many patterns of routes are counted for a tenant in one instance at a
// time; the rest counts for [OtherPattern].
const maxPatterns = 50

// Names that stand in for a pattern.
const (
	// OtherPattern counts the requests to a tenant's patterns beyond the first 50.
	OtherPattern = "(other)"
	// NoPattern counts the requests that matched no pattern of a ServeMux.
	NoPattern = "(none)"
)

// maxPattern is the longest pattern in bytes. What is longer is cut.
const maxPattern = 200

// PatternPart is what one instance has counted for a pattern of a tenant's routes in one
// hour so far, since Start.
type PatternPart struct {
	Tenant tenancy.ID
	// Start is a minute of the hour, by the store's clock.
	Start time.Time
	// Source is the instance, or one of its several sources.
	Source  int64
	Pattern string
	// Revision grows with each flush. A part replaces the one with the same tenant, start,
	// source and pattern unless that has the same or a larger revision.
	Revision int64
	Requests int64
	Errors   int64 // answers of the class 5xx
	Latency  Latency
}

// patternTally is what is counted for a pattern.
type patternTally struct {
	at       moment // when it began
	changed  bool   // since it was last put into a batch
	sent     bool   // it is in the batch that is being written
	requests int64
	errors   int64
	latency  sparse
}

func (p *patternTally) observe(us int64, failed bool) {
	p.changed = true
	p.requests++
	if failed {
		p.errors++
	}
	p.latency.observe(us)
}

// pattern counts a request for a pattern. The caller has the lock.
func (c *cell) pattern(name string, at moment, us int64, failed bool) {
	switch {
	case name == "":
		name = NoPattern
	case len(name) > maxPattern || !isPlain(name):
		name = plain(name, maxPattern)
	}
	p := c.patterns[name]
	if p == nil && len(c.patterns) >= maxPatterns {
		name = OtherPattern
		p = c.patterns[name]
	}
	if p != nil && (p.at.minute/60 != at.minute/60 || p.at.source != at.source) {
		if p.changed || p.sent {
			c.past = append(c.past, pastPattern{name, p})
		}
		p = nil
	}
	if p == nil {
		if c.patterns == nil {
			c.patterns = map[string]*patternTally{}
		}
		p = &patternTally{at: at}
		c.patterns[name] = p
	}
	p.observe(us, failed)
}

// pastPattern is a tally of an hour that is over, and not written.
type pastPattern struct {
	name  string
	tally *patternTally
}

// maxPast is how many tallies of hours that are over wait for a tenant. Of more, the
// oldest are dropped: sums of the tenant itself are not.
const maxPast = 4 * maxPatterns

// patternParts returns what has changed as rows, and marks it as put into a batch.
func (c *cell) patternParts(id tenancy.ID, revision int64) (parts []PatternPart) {
	put := func(name string, p *patternTally) {
		if !p.changed {
			return
		}
		p.changed, p.sent = false, true
		part := PatternPart{
			Tenant: id, Start: time.UnixMicro(p.at.minute * minute).UTC(), Source: p.at.source, Pattern: name, Revision: revision,
			Requests: min(p.requests, most), Errors: min(p.errors, most),
		}
		for _, b := range p.latency {
			part.Latency[b.bucket] = int64(b.n)
		}
		parts = append(parts, part)
	}
	if over := len(c.past) - maxPast; over > 0 {
		c.past = slices.Delete(c.past, 0, over)
	}
	for _, p := range c.past {
		put(p.name, p.tally)
	}
	for name, p := range c.patterns {
		put(name, p)
	}
	return parts
}

// settlePatterns forgets what was written and belongs to an hour that is over, and all of
// it once the tenant is idle: a tally that begins later has a row of its own.
func (c *cell) settlePatterns(now int64, idle bool) {
	c.past = slices.DeleteFunc(c.past, func(p pastPattern) bool {
		p.tally.sent = false
		return !p.tally.changed
	})
	for name, p := range c.patterns {
		p.sent = false
		if !p.changed && (idle || p.at.minute/60 != now/60) {
			delete(c.patterns, name)
		}
	}
}
