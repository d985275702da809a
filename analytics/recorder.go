package analytics

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics/internal/statement"
	"github.com/artflow-studio/tenancy/internal/logs"
)

// Options are the options of a [Recorder].
type Options struct {
	// Instance is the name of this process in reports. Default: the host's name
	// and the process's number.
	Instance string
	// Flush is how often what was counted is written. Default: 10 seconds.
	Flush time.Duration
	// WriteTimeout bounds one write until the store has begun it: a transaction that has begun
	// ends within [SQLOptions.Timeout]. Default: 10 seconds.
	WriteTimeout time.Duration
	// Counts are the names of the application's own counts, 16 at the most: 1 to
	// 40 lower-case letters, digits and underscores. Default: none.
	Counts []string
	// Feed shows what is counted now to those who watch. Default: none.
	Feed Feed
	// Logger records what could not be written. Default: [slog.Default], asked each
	// time.
	Logger *slog.Logger
}

// maxOwn is how many counts an application may have of its own.
const maxOwn = 16

// complete fills in defaults.
func (o *Options) complete() error {
	if o.Instance == "" {
		host, _ := os.Hostname()
		o.Instance = fmt.Sprintf("%s/%d", host, os.Getpid())
	}
	o.Instance = plain(o.Instance, 100)
	if o.Flush < 0 || o.WriteTimeout < 0 {
		return fmt.Errorf("%w: Flush %v and WriteTimeout %v, want neither negative", tenancy.ErrInvalid, o.Flush, o.WriteTimeout)
	}
	o.Flush, o.WriteTimeout = cmp.Or(o.Flush, 10*time.Second), cmp.Or(o.WriteTimeout, 10*time.Second)
	o.Logger = logs.Or(o.Logger)
	o.Counts = slices.Clone(o.Counts)
	if len(o.Counts) > maxOwn {
		return fmt.Errorf("%w: %d own counts, want at most %d", tenancy.ErrInvalid, len(o.Counts), maxOwn)
	}
	for i, name := range o.Counts {
		if len(name) == 0 || len(name) > 40 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" || slices.Contains(o.Counts[:i], name) {
			return fmt.Errorf("%w: own count %.60q, want each once, of a-z, 0-9 and _", tenancy.ErrInvalid, name)
		}
	}
	return nil
}

// Recorder counts what tenants use in this process, and writes it to a [Sink]. Wrap
// the application's handler in [Recorder.Handler], and call [Recorder.Run] beside
// it. Its methods may be called by many goroutines at once.
type Recorder struct {
	sink  Sink
	opts  Options
	id    int64    // the instance's
	cells sync.Map // of tenancy.ID to *cell
	clock atomic.Pointer[clock]
	epoch atomic.Pointer[epoch] // nil while nobody watches
	notes notes

	forgetter Forgetter // nil: the sink cannot forget

	observes atomic.Bool // a pool
	texts    statement.Known

	sources  []BytesSource
	flushing turn // is taken for the whole of a flush, and guards what follows, and sources
	instance Instance
	revision int64
	failing  bool
	cpu      time.Duration // of the process, at the last tick

	pulsing turn // is taken for the whole of a pulse, and guards what follows
	epochs  int64
}

// clock tells how this process's time becomes that of the store.
type clock struct {
	offset int64 // microseconds, added to this process's clock
	at     moment
}

// NewRecorder returns a recorder that writes to the sink.
func NewRecorder(sink Sink, opts *Options) (*Recorder, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	err := o.complete()
	if err == nil && sink == nil {
		err = fmt.Errorf("%w: no sink", tenancy.ErrInvalid)
	}
	if err != nil {
		return nil, tenancy.Wrap("analytics.NewRecorder", "", err)
	}
	rec := &Recorder{sink: sink, opts: o, id: newSource(), flushing: newTurn(), pulsing: newTurn()}
	rec.instance = Instance{ID: rec.id, Name: o.Instance, Started: time.Now().UTC(), Interval: o.Flush, Recorded: requestColumns()}
	rec.forgetter, _ = sink.(Forgetter)
	rec.cpu = processorTime()
	rec.clock.Store(&clock{at: moment{source: rec.instance.ID}})
	return rec, nil
}

// requestColumns are the columns that every recorder counts.
func requestColumns() []Column {
	return []Column{
		Requests, Status1xx, Status2xx, Status3xx, Status4xx, Status5xx, Limited, Maintenance, Unavailable, Cancelled, Panicked, Slow,
		LatencyTime, BytesIn, BytesOut, InFlight, Jobs, JobErrors, LastSeen,
	}
}

// newSource returns a number that no other instance has.
func newSource() int64 { return rand.Int64() } // it is no secret

// BytesSource knows how many bytes of memory it holds for each tenant.
type BytesSource interface {
	// TenantBytes yields each tenant once. It may be called by many goroutines at once.
	TenantBytes(yield func(tenancy.ID, int64) bool)
}

// Kinds of memory that the library can account for. A source says which is its by an
// optional method BytesKind() string, of up to 40 bytes; that of others is of
// MemoryApplication.
const (
	MemoryRecords     = "records"     // of tenants, in a cache
	MemoryConnections = "connections" // to databases
	MemoryBodies      = "bodies"      // of requests in flight, as far as they were read
	MemoryApplication = "application"
)

// Attach adds sources of memory: a dbpool.Pool, a catalog's cache, sources of the
// application. Each flush counts their bytes, and the bytes of bodies in flight, as
// [MemoryBytes]. Call Attach before Run.
func (rec *Recorder) Attach(sources ...BytesSource) {
	_ = rec.flushing.take(context.Background()) // which does not end
	defer rec.flushing.give()
	rec.sources = append(rec.sources, sources...)
	rec.records(MemoryBytes)
}

func kindOf(source BytesSource) string {
	if k, ok := source.(interface{ BytesKind() string }); ok {
		return plain(k.BytesKind(), 40)
	}
	return MemoryApplication
}

// memory counts what the sources hold now, and bodies in flight.
func (rec *Recorder) memory() {
	if len(rec.sources) == 0 {
		return
	}
	sums := map[tenancy.ID]int64{}
	rec.instance.Memory = map[string]int64{MemoryBodies: 0}
	count := func(kind string, id tenancy.ID, bytes int64) {
		bytes = max(0, bytes)
		sums[id] = add(sums[id], bytes)
		rec.instance.Memory[kind] = add(rec.instance.Memory[kind], bytes)
	}
	for _, source := range rec.sources {
		kind := kindOf(source)
		source.TenantBytes(func(id tenancy.ID, bytes int64) bool {
			count(kind, id, bytes)
			return true
		})
	}
	rec.cells.Range(func(key, value any) bool {
		if bytes := value.(*cell).bodies(); bytes > 0 {
			count(MemoryBodies, key.(tenancy.ID), bytes)
		}
		return true
	})
	now := time.Now()
	for id, bytes := range sums {
		rec.atLeast(id, now, MemoryBytes, bytes)
	}
}

// update calls fn with what is counted for a tenant now, and notes the newer record.
func (rec *Recorder) update(id tenancy.ID, t *tenancy.Tenant, now time.Time, fn func(*cell, *tally)) {
	rec.in(id, func(c *cell) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.gone {
			return false
		}
		c.see(t)
		n := c.tally(rec.moment(now))
		fn(c, n)
		n.changed = true
		return true
	})
}

// atLeast makes a column that holds the largest value no smaller than v.
func (rec *Recorder) atLeast(id tenancy.ID, now time.Time, col Column, v int64) {
	rec.in(id, func(c *cell) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.gone {
			return false
		}
		if n := c.tally(rec.moment(now)); v > n.values[col] {
			n.values[col], n.changed = v, true
		}
		return true
	})
}

// in calls fn with the tenant's cell until it reports that the cell is not gone.
func (rec *Recorder) in(id tenancy.ID, fn func(*cell) bool) {
	for {
		found, ok := rec.cells.Load(id)
		if !ok {
			found, _ = rec.cells.LoadOrStore(id, &cell{})
		}
		if fn(found.(*cell)) {
			return
		}
		rec.cells.CompareAndDelete(id, found)
	}
}

// Count adds n to one of the application's own counts, of [Options.Counts], for the
// context's tenant, or for the application. Another name, and a negative n, is an
// error that wraps [tenancy.ErrInvalid].
func (rec *Recorder) Count(ctx context.Context, name string, n int64) error {
	i := slices.Index(rec.opts.Counts, name)
	if i < 0 || n < 0 {
		return tenancy.Wrap("analytics.Recorder.Count", "", fmt.Errorf("%w: own count %.60q, by %d", tenancy.ErrInvalid, name, n))
	}
	id, t := owner(ctx)
	now := time.Now()
	rec.update(id, t, now, func(_ *cell, c *tally) {
		if c.own == nil {
			c.own = make([]int64, len(rec.opts.Counts))
		}
		c.own[i] = add(c.own[i], n)
		c.values[LastSeen] = max(c.values[LastSeen], rec.micros(now))
	})
	return nil
}

// Do runs fn, a job in a context of [tenancy.OpenJob] or [tenancy.NewContext], and counts
// it for the context's tenant, or for the application. It returns fn's error.
func (rec *Recorder) Do(ctx context.Context, fn func(context.Context) error) (err error) {
	id, t := owner(ctx)
	done := false
	defer Waiting(ctx)() // for a request around it, whose time this is not
	m := &meter{began: time.Now()}
	rec.in(id, func(c *cell) bool { return c.begin(m) })
	defer func() {
		now := time.Now()
		rec.update(id, t, now, func(own *cell, c *tally) {
			own.finish(m, now)
			c.values[Jobs]++
			if err != nil || !done {
				c.values[JobErrors]++
			}
			c.values[LastSeen] = max(c.values[LastSeen], rec.micros(now))
		})
	}()
	err = fn(&meterContext{ctx, m})
	done = true
	return err
}

// owner returns whose row something in the context counts to.
func owner(ctx context.Context) (tenancy.ID, *tenancy.Tenant) {
	if t, ok := tenancy.FromContext(ctx); ok {
		return t.ID, t
	}
	return Application, nil
}
