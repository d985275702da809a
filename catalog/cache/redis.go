package cache

import (
	"context"
	"crypto/rand"
	_ "embed" // the script
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/circuit"
	"github.com/artflow-studio/tenancy/internal/rediskit"
)

//go:embed redis.lua
var cacheScript string

// shared is what caches of one catalog share through Redis: records, and a log of
// changes. Its methods may be called by many goroutines at once.
type shared struct {
	client       rueidis.Client
	script       *rueidis.Lua
	prefix       string
	format       string // of a record
	self         string // in the log
	timeout      time.Duration
	keep         time.Duration // a record
	load         time.Duration // the longest
	circuit      circuit.Circuit
	logger       *slog.Logger
	unreadable   atomic.Int64 // records that could not be read
	unreadableAt atomic.Int64 // when that was last logged, Unix time

	mu   sync.Mutex          // guards what follows
	busy map[tenancy.Ref]int // changes that are being told
	owed map[tenancy.Ref]bool
	all  int // counts overflows of owed; 0 once the reset was published
}

const (
	// tellTimeout bounds how long a change waits for Redis.
	tellTimeout = time.Second
	sharedLife  = 24 * time.Hour // of the log, after the last look
	logSize     = 10_000
	maxOwed     = 10_000
)

func newShared(client rueidis.Client, prefix string, o *Options) *shared {
	s := &shared{
		client: client, script: rueidis.NewLuaScript(cacheScript), prefix: prefix + "{catalog}:",
		format: recordFormat(), self: rand.Text(), timeout: o.RedisTimeout, keep: max(o.MaxStale, o.TTL, time.Second),
		load: o.LoadTimeout, logger: o.Logger, busy: map[tenancy.Ref]int{}, owed: map[tenancy.Ref]bool{},
	}
	s.circuit.Trip, s.circuit.Longest, s.circuit.Answer = 3, 10*time.Second, o.RedisTimeout
	return s
}

func (s *shared) key(ref tenancy.Ref) string { return s.prefix + ref.Kind.String() + ":" + ref.Value }

// shares reports whether the ref may have a record in Redis: a change must say
// which refs it touches, and a key must not be shown.
func (s *shared) shares(ref tenancy.Ref) bool {
	return ref.Kind == tenancy.RefID || ref.Kind == tenancy.RefSlug || ref.Kind == tenancy.RefDomain
}

// sighting is what Redis said about a ref.
type sighting struct {
	epoch, seq, time string
	tenant           *tenancy.Tenant // or nil
	age              time.Duration   // since the tenant's load began
}

// read returns what Redis has of the ref, or nil when it was not asked or did not
// answer in time.
func (s *shared) read(ctx context.Context, ref tenancy.Ref, now func() int64) *sighting {
	if !s.shares(ref) || s.blocked(ref) || !s.circuit.Asks(now()) {
		return nil
	}
	got, err := s.do(ctx, s.timeout, []string{s.prefix + "state", s.prefix + "log", s.key(ref)}, "read").AsStrSlice()
	if err == nil && len(got) != 4 {
		err = fmt.Errorf("%d values", len(got))
	}
	if err != nil {
		s.failed(ctx, now(), err)
		return nil
	}
	s.circuit.Answered()
	out := &sighting{epoch: got[0], seq: got[1], time: got[2]}
	if got[3] == "" {
		return out
	}
	r, err := decodeRecord(got[3], s.format)
	if err == nil && r.epoch == out.epoch && r.tenant != nil && !names(r.tenant, ref) {
		err = errors.New("the record of another ref")
	}
	switch at, _ := strconv.ParseInt(out.time, 10, 64); {
	case err != nil:
		s.sawUnreadable(ctx, ref, err)
	case r.epoch == out.epoch && r.tenant != nil && r.time <= at:
		out.tenant, out.age = r.tenant, time.Duration(at-r.time)*time.Microsecond
	}
	return out
}

// fill stores what a load has found that began after the sighting.
func (s *shared) fill(ctx context.Context, ref tenancy.Ref, saw *sighting, t *tenancy.Tenant, now func() int64) {
	if saw == nil || !names(t, ref) {
		return
	}
	text, err := json.Marshal(t)
	if err != nil {
		return
	}
	err = s.do(ctx, s.timeout, []string{s.prefix + "state", s.prefix + "log", s.key(ref)}, "fill", s.format, saw.epoch, saw.seq, saw.time,
		strconv.FormatInt((s.load+s.timeout).Microseconds(), 10), millis(s.keep), string(text)).Error()
	if err != nil {
		s.failed(ctx, now(), err)
	}
}

// tell writes a change of the refs to the log, and which tenant was removed by it, if one was.
func (s *shared) tell(ctx context.Context, refs []tenancy.Ref, removed tenancy.ID) error {
	keys := []string{s.prefix + "state", s.prefix + "log"}
	var text strings.Builder
	for _, ref := range refs {
		if s.shares(ref) {
			keys = append(keys, s.key(ref))
			text.WriteString(ref.Kind.String() + ":" + ref.Value + "\n")
		}
	}
	if len(keys) == 2 {
		return nil
	}
	if removed != "" {
		text.WriteString(removedPrefix + string(removed) + "\n")
	}
	// A mark outlives each load that began before it: fill refuses older ones.
	mark := max(2*(s.load+s.timeout), time.Minute)
	return s.do(ctx, tellTimeout, keys, "change", s.format, s.self, text.String(), millis(mark), millis(sharedLife), strconv.Itoa(logSize)).Error()
}

// begin keeps the refs from being read in Redis, until end.
func (s *shared) begin(refs []tenancy.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ref := range refs {
		s.busy[ref]++
	}
}

// end lets the refs be read again if they were told, and otherwise when they are.
func (s *shared) end(refs []tenancy.Ref, told bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ref := range refs {
		if s.busy[ref]--; s.busy[ref] == 0 {
			delete(s.busy, ref)
		}
		if !told {
			s.owed[ref] = true
		}
	}
	if len(s.owed) > maxOwed {
		s.all++
		clear(s.owed)
	}
}

func (s *shared) blocked(ref tenancy.Ref) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all > 0 || s.owed[ref] || s.busy[ref] > 0
}

// pay tells what is owed.
func (s *shared) pay(ctx context.Context) error {
	if err := s.payAll(ctx); err != nil {
		return err
	}
	const most = 100 // refs at a time
	for {
		var refs []tenancy.Ref
		s.mu.Lock()
		for ref := range s.owed {
			refs = append(refs, ref)
			delete(s.owed, ref)
			s.busy[ref]++
			if len(refs) == most {
				break
			}
		}
		s.mu.Unlock()
		if len(refs) == 0 {
			return nil
		}
		err := s.tell(ctx, refs, "")
		s.end(refs, err == nil)
		if err != nil {
			return err
		}
	}
}

// payAll tells that everything may have changed, when more is owed than is
// remembered.
func (s *shared) payAll(ctx context.Context) error {
	s.mu.Lock()
	owed := s.all
	s.mu.Unlock()
	if owed == 0 {
		return nil
	}
	err := s.do(ctx, tellTimeout, []string{s.prefix + "state", s.prefix + "log"}, "reset", millis(sharedLife)).Error()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == owed {
		s.all = 0
	}
	return nil
}

func millis(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

// do runs the script, for so long.
func (s *shared) do(ctx context.Context, timeout time.Duration, keys []string, todo string, args ...string) rueidis.RedisResult {
	args = append([]string{todo, rand.Text()}, args...)
	return rediskit.Within(ctx, timeout, func(ctx context.Context) rueidis.RedisResult { return s.script.Exec(ctx, s.client, keys, args) })
}

// failed counts a failure of Redis.
func (s *shared) failed(ctx context.Context, now int64, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	if s.circuit.Failed(now) {
		s.logger.WarnContext(ctx, "cache: redis does not answer; circuit open, records are loaded from the origin", slog.Any("error", err))
	}
}

// sawUnreadable counts a record that could not be read, and logs one a minute: programs of
// two versions may take turns for long.
func (s *shared) sawUnreadable(ctx context.Context, ref tenancy.Ref, err error) {
	s.unreadable.Add(1)
	now := time.Now().Unix()
	if last := s.unreadableAt.Load(); now-last >= 60 && s.unreadableAt.CompareAndSwap(last, now) {
		s.logger.WarnContext(ctx, "cache: cannot read a record in redis; loading it from the origin", slog.Any("ref", ref), slog.Any("error", err))
	}
}
