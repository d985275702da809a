package cache

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy/internal/rediskit"
)

const (
	// block is how long a look into the log waits for a change.
	block = 250 * time.Millisecond
	// unsyncedAfter is how long ago a look may have begun that nothing was missed
	// until.
	unsyncedAfter = 2 * block
	// lookTimeout bounds what should take the time of block, or none.
	lookTimeout = block + time.Second
	// page is how many changes are read at a time.
	page = 1000
	// patientFailures in a row are nothing to tell anybody of.
	patientFailures = 1
)

// follower reads the log.
type follower struct {
	cache *Cache
	epoch string // of what follows
	last  string // entry that was read
	want  string // entry that there was at the last look
}

// follow reads the log until the context ends.
func (c *Cache) follow(ctx context.Context) {
	f := &follower{cache: c}
	for failures := 0; ctx.Err() == nil; {
		err := f.look(ctx)
		if err == nil {
			if failures > patientFailures {
				c.opts.Logger.InfoContext(ctx, "cache: reading changes from redis again")
			}
			failures = 0
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if failures++; failures == patientFailures+1 {
			c.opts.Logger.WarnContext(ctx, "cache: cannot read changes from redis; trying again, records are used for MaxAgeUnsynced only", slog.Any("error", err))
		}
		pause := min(time.Second, 20*time.Millisecond<<min(failures, 6))
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)): // not a secret
		}
	}
}

// look reads the log once, waits for a change if there is none, and makes sure that
// it is still the same log.
func (f *follower) look(ctx context.Context) error {
	c := f.cache
	began := c.now()
	if f.epoch != "" {
		if more, err := f.read(ctx); err != nil || more {
			return err
		}
	}
	asked := c.now()
	s := c.shared
	got, err := s.do(ctx, lookTimeout, []string{s.prefix + "state", s.prefix + "log"}, "look", millis(sharedLife)).AsStrSlice()
	if err == nil && len(got) != 2 {
		err = fmt.Errorf("%d answers, want 2", len(got))
	}
	if err != nil {
		return err
	}
	if got[0] != f.epoch {
		// What was said between the last look and this epoch may be lost.
		if f.epoch != "" {
			c.opts.Logger.WarnContext(ctx, "cache: redis may have lost changes; loading all records again")
		}
		f.epoch, f.last, began = got[0], got[1], asked
		c.memory.distrust()
		c.counts.resets.Add(1)
	}
	if f.want = got[1]; f.want == f.last {
		began = asked // there was nothing else to hear of
	}
	if time.Duration(c.now()-asked) < s.timeout && s.circuit.Answered() {
		c.opts.Logger.InfoContext(ctx, "cache: redis answers again; circuit closed")
	}
	if err := s.pay(ctx); err != nil {
		return err
	}
	c.syncedAt.Store(began)
	return nil
}

// read reads what is new in the log, and reports whether there may be more. Each
// entry names the one before: when one is missing, nothing is trusted that is in
// memory.
func (f *follower) read(ctx context.Context) (more bool, err error) {
	c := f.cache
	s := c.shared
	cmd := s.client.B().Xread().Count(page).Block(block.Milliseconds()).Streams().Key(s.prefix + "log").Id(f.last).Build()
	got, err := rediskit.Within(ctx, lookTimeout, func(ctx context.Context) rueidis.RedisResult { return s.client.Do(ctx, cmd) }).AsXRead()
	if err != nil && !rueidis.IsRedisNil(err) {
		return false, err
	}
	entries := got[s.prefix+"log"]
	lost := len(entries) == 0 && f.want != f.last // the log was removed
	for _, e := range entries {
		lost = lost || e.FieldValues["after"] != f.last
		f.last = e.ID
		if e.FieldValues["by"] == s.self {
			continue // this instance's own change: it was applied here before it was told
		}
		c.counts.changes.Add(1)
		refs, removed := parseRefs(e.FieldValues["refs"])
		c.memory.changed(refs, c.now())
		for _, id := range removed {
			c.removals.tell(id)
		}
	}
	if len(entries) > 0 {
		f.want = f.last // if the next look fails
	}
	if lost {
		c.opts.Logger.WarnContext(ctx, "cache: changes are missing in redis; loading all records again")
		f.last = f.want
		c.memory.distrust()
		c.counts.resets.Add(1)
	}
	return len(entries) == page, nil
}
