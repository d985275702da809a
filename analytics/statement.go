package analytics

import (
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics/internal/statement"
)

// maxStatements is how many texts of statements are counted for a tenant in one instance
// and hour: those with the longest executions.
const maxStatements = 20

// StatementPart is what one instance has counted for a statement of a tenant in one hour so
// far, since Start.
type StatementPart struct {
	Tenant tenancy.ID
	// Start is a minute of the hour, by the store's clock.
	Start time.Time
	// Source is the instance, or one of its several sources.
	Source int64
	// Fingerprint identifies the text, which has no literals.
	Fingerprint int64
	Text        string
	// Revision grows with each flush. A part replaces the one with the same tenant, start,
	// source and fingerprint unless that has the same or a larger revision.
	Revision int64
	Calls    int64
	Errors   int64
	Time     time.Duration // of all calls
	Longest  time.Duration // of one call
}

// ObserveText counts the text of a statement, without its literals, for the tenant that
// owns the database. It makes the recorder a dbpool.TextObserver. The recorder keeps the 20
// texts of a tenant and hour that took longest.
func (rec *Recorder) ObserveText(id tenancy.ID, driver, text string, took time.Duration, err error) {
	s := rec.texts.Of(driver, text)
	now := time.Now()
	rec.in(id, func(c *cell) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.gone {
			c.statement(s, rec.moment(now), micros(took), err != nil)
		}
		return !c.gone
	})
}

// statementTally is what is counted for a text.
type statementTally struct {
	of      *statement.Statement
	calls   int64
	errors  int64
	time    int64 // microseconds, as the next
	longest int64
	changed bool // since it was last put into a batch
}

// statementHour are the statements of a tenant in one hour.
type statementHour struct {
	at  moment // when it began
	top []statementTally
}

func (h *statementHour) changed() bool {
	return slices.ContainsFunc(h.top, func(t statementTally) bool { return t.changed })
}

// find returns the tally of a statement. A new one takes the place of the one with the
// shortest execution, if it took longer than that; else there is none.
func (h *statementHour) find(s *statement.Statement, us int64) *statementTally {
	for i := range h.top {
		if h.top[i].of.Fingerprint == s.Fingerprint {
			return &h.top[i]
		}
	}
	if len(h.top) < maxStatements {
		h.top = append(h.top, statementTally{of: s})
		return &h.top[len(h.top)-1]
	}
	least := &h.top[0]
	for i := range h.top {
		if h.top[i].longest < least.longest {
			least = &h.top[i]
		}
	}
	if us <= least.longest {
		return nil
	}
	*least = statementTally{of: s}
	return least
}

// maxHours is how many hours of statements wait to be written for a tenant.
const maxHours = 4

// statement counts a statement. The caller has the lock.
func (c *cell) statement(s *statement.Statement, at moment, us int64, failed bool) {
	n := len(c.statements)
	if n == 0 || c.statements[n-1].at.minute/60 != at.minute/60 || c.statements[n-1].at.source != at.source {
		c.statements = append(c.statements, &statementHour{at: at})
		c.statements = slices.Delete(c.statements, 0, max(0, len(c.statements)-maxHours))
		n = len(c.statements)
	}
	t := c.statements[n-1].find(s, us)
	if t == nil {
		return
	}
	t.changed = true
	t.calls, t.time, t.longest = t.calls+1, add(t.time, us), max(t.longest, us)
	if failed {
		t.errors++
	}
}

// statementParts returns what has changed as rows, and marks it as put into a batch. Once
// a minute is enough, unless all is to be written.
func (c *cell) statementParts(id tenancy.ID, now, revision int64, all bool) (parts []StatementPart) {
	if c.statementsAt == now && !all {
		return nil
	}
	for _, h := range c.statements {
		for i := range h.top {
			t := &h.top[i]
			if !t.changed {
				continue
			}
			t.changed, c.statementsAt = false, now
			parts = append(parts, StatementPart{
				Tenant: id, Start: time.UnixMicro(h.at.minute * minute).UTC(), Source: h.at.source, Fingerprint: t.of.Fingerprint, Text: t.of.Text, Revision: revision,
				Calls: t.calls, Errors: t.errors, Time: time.Duration(t.time) * time.Microsecond, Longest: time.Duration(t.longest) * time.Microsecond,
			})
		}
	}
	return parts
}

// statementsAgain marks a part as not written. The caller has the lock.
func (c *cell) statementsAgain(p *StatementPart) {
	c.statementsAt = 0
	for _, h := range c.statements {
		if h.at.minute*minute != p.Start.UnixMicro() || h.at.source != p.Source {
			continue
		}
		for i := range h.top {
			h.top[i].changed = h.top[i].changed || h.top[i].of.Fingerprint == p.Fingerprint
		}
	}
}

// settleStatements forgets what was written and belongs to an hour that is over, and all
// of it once the tenant is idle: what begins in a later minute has rows of its own.
func (c *cell) settleStatements(now int64, idle bool) {
	c.statements = slices.DeleteFunc(c.statements, func(h *statementHour) bool {
		return !h.changed() && h.at.minute < now && (idle || h.at.minute/60 != now/60)
	})
}
