package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/logs"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// Outbox keeps the events of changes in the catalog's database and delivers them to a function of the
// application, to a stream, or to both. An event is written in the transaction of its change: every change has
// its event, and every event has its change.
//
// Each event is delivered at least once. The events of one tenant are delivered in the order of the changes,
// each after the one before it succeeded. An event that fails is tried again at growing intervals; meanwhile
// the tenant's later events wait, and those of other tenants do not. The database knows what was delivered, so
// a process may end at any time: another one goes on, and may deliver again what was under way.
//
// Pass the outbox to the catalog as [Options.Events], and call [Outbox.Run] in every process. [Catalog.Migrate]
// makes its tables. Many goroutines and many processes may call its methods at once.
type Outbox struct {
	db      *sqlx.DB
	dialect sqlkit.Dialect
	leases  *sqlkit.Leases
	opts    OutboxOptions

	toDeliver, toStream  chan struct{} // something may have been committed
	delivered, streamed  atomic.Int64
	failed, unstreamable atomic.Int64
	overdue              atomic.Int64
	problems             problems
}

var _ EventWriter = (*Outbox)(nil)

// EventStream is where other services read events, such as the Redis stream of package catalog/stream.
type EventStream interface {
	// Append adds the events in this order: all of them, or after an error none, because they are passed again.
	// One goroutine at a time calls it.
	Append(ctx context.Context, events []Event) error
}

// OutboxOptions are the options of [NewOutbox]. All processes that call [Outbox.Run] must have the same,
// because one of them works for all. A process that changes tenants but never calls Run needs none.
type OutboxOptions struct {
	// Deliver is called with each event. An event is delivered again after an error, a panic, or a call that
	// takes longer than Timeout. The context ends after Timeout and when Run ends; it carries no tenant and no
	// actor. Many goroutines call Deliver at once. Two calls never have events of the same tenant, unless a
	// call does not return when its context ends and another process goes on. Default: none.
	Deliver func(ctx context.Context, e Event) error
	// Stream gets each event. Default: none.
	Stream EventStream
	// Poll is how often Run looks for events of other processes; it hears of those of its own. Default: 100
	// milliseconds.
	Poll time.Duration
	// Parallel is how many calls of Deliver run at once. Default: 16.
	Parallel int
	// Timeout is how long a call of Deliver may take. A call that does not return in time loses its place to
	// another tenant's call; its own tenant's events wait until it returns. Default: 30 seconds.
	Timeout time.Duration
	// RetryFrom is how long a tenant's events wait after the first failure of one. Each further failure doubles
	// that, up to RetryMost. Defaults: 1 second and 5 minutes.
	RetryFrom, RetryMost time.Duration
	// Keep is how long delivered events are kept, for people who look. Negative: they are removed at once.
	// Default: 7 days.
	Keep time.Duration
	// Late is the age of the oldest waiting event at which [Outbox.Check] returns an error. Default: 1 minute.
	Late time.Duration
	// Audit writes the entries of [Outbox.Skip], in its transactions: see [Options.Audit].
	// Default: none.
	Audit tenancy.Auditor
	// Logger records what fails. Default: [slog.Default], asked at each message.
	Logger *slog.Logger
}

func (o *OutboxOptions) complete() error {
	for _, each := range []struct {
		name      string
		d         *time.Duration
		otherwise time.Duration
	}{
		{"Poll", &o.Poll, 100 * time.Millisecond}, {"Timeout", &o.Timeout, 30 * time.Second}, {"RetryFrom", &o.RetryFrom, time.Second},
		{"RetryMost", &o.RetryMost, 5 * time.Minute}, {"Late", &o.Late, time.Minute},
	} {
		if *each.d < 0 {
			return fmt.Errorf("%w: %s %v", tenancy.ErrInvalid, each.name, *each.d)
		}
		*each.d = cmp.Or(*each.d, each.otherwise)
	}
	if o.Parallel < 0 || o.Parallel > maxParallel {
		return fmt.Errorf("%w: Parallel %d, want 1 to %d", tenancy.ErrInvalid, o.Parallel, maxParallel)
	}
	o.Parallel = cmp.Or(o.Parallel, 16)
	o.RetryMost = max(o.RetryMost, o.RetryFrom)
	o.Keep = cmp.Or(o.Keep, 7*24*time.Hour)
	o.Logger = logs.Or(o.Logger)
	return nil
}

const maxParallel = 1000

// NewOutbox returns the outbox in the catalog's database, through the same *sqlx.DB as the catalog. The caller
// keeps db, and closes it. Malformed options are errors that wrap [tenancy.ErrInvalid].
func NewOutbox(db *sqlx.DB, opts *OutboxOptions) (*Outbox, error) {
	const op = "catalog.NewOutbox"
	o := &Outbox{db: db, toDeliver: make(chan struct{}, 1), toStream: make(chan struct{}, 1)}
	if opts != nil {
		o.opts = *opts
	}
	if err := o.opts.complete(); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	var err error
	if o.leases, err = sqlkit.NewLeases(db, "tenancy_outbox_leases"); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	if o.opts.Audit != nil {
		if err := tenancy.CheckAuditor(o.opts.Audit, db.DB); err != nil {
			return nil, tenancy.Wrap(op, "", err)
		}
	}
	if o.dialect, err = sqlkit.FromDriver(db.DriverName()); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return o, nil
}

// Database returns the handle to the database that the events are in.
func (o *Outbox) Database() *sql.DB { return o.db.DB }

// WriteEvent writes the event within tx. It implements [EventWriter]. A nil tx is an
// error that wraps [tenancy.ErrInvalid].
func (o *Outbox) WriteEvent(ctx context.Context, tx *sql.Tx, e Event) error {
	const op = "catalog.Outbox.WriteEvent"
	if tx == nil {
		return tenancy.Wrap(op, e.Tenant, fmt.Errorf("%w: events are written in the transactions of changes", tenancy.ErrInvalid))
	}
	actor, err := json.Marshal(e.Actor)
	if err != nil {
		return tenancy.Wrap(op, e.Tenant, fmt.Errorf("%w: actor: %w", tenancy.ErrInvalid, err))
	}
	changes, err := json.Marshal(e.Changes)
	if err != nil {
		return tenancy.Wrap(op, e.Tenant, fmt.Errorf("%w: changes: %w", tenancy.ErrInvalid, err))
	}
	_, err = tx.ExecContext(ctx, o.dialect.Rebind(
		`INSERT INTO tenancy_outbox (id, tenant_id, version, kind, time, actor, changes, delivered_at, streamed_at) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0)`),
		e.ID, e.Tenant, e.Version, e.Kind, e.Time.UnixMicro(), string(actor), string(changes))
	return err // as the database has it: one that ended the transaction is tried again
}

// Committed makes Run look for events at once.
func (o *Outbox) Committed() {
	for _, ch := range []chan struct{}{o.toDeliver, o.toStream} {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// OutboxStat is what waits in an [Outbox], and what this process has done.
type OutboxStat struct {
	// Deliver and Stream are the events that wait for the function and for the stream.
	Deliver OutboxQueue `json:"deliver"`
	Stream  OutboxQueue `json:"stream"`
	// Delivered and Streamed are the numbers of events that this process has delivered.
	Delivered int64 `json:"delivered"`
	Streamed  int64 `json:"streamed"`
	// Failed and StreamFailed are the numbers of failed attempts of this process.
	Failed       int64 `json:"failed"`
	StreamFailed int64 `json:"stream_failed"`
	// Overdue is the number of calls of Deliver in this process that have exceeded their time and not returned.
	Overdue int64 `json:"overdue"`
}

// OutboxQueue is what waits in an [Outbox].
type OutboxQueue struct {
	// Pending is the number of events that were not delivered.
	Pending int64 `json:"pending"`
	// Oldest is when the change of the oldest pending event was made; the zero time if there is none.
	Oldest time.Time `json:"oldest,omitzero"`
	// Held is the number of tenants whose events wait because one of them failed.
	Held int64 `json:"held"`
}

// Stat returns what waits, from the database, and what this process has done.
func (o *Outbox) Stat(ctx context.Context) (OutboxStat, error) {
	s := OutboxStat{
		Delivered: o.delivered.Load(), Streamed: o.streamed.Load(), Failed: o.failed.Load(), StreamFailed: o.unstreamable.Load(), Overdue: o.overdue.Load(),
	}
	var err error
	if o.opts.Deliver != nil {
		s.Deliver, err = o.queue(ctx, `delivered_at <= 0`)
		if err == nil {
			err = o.db.GetContext(ctx, &s.Deliver.Held, `SELECT COUNT(*) FROM tenancy_outbox_held WHERE attempts > 0`)
		}
	}
	if o.opts.Stream != nil && err == nil {
		s.Stream, err = o.queue(ctx, `streamed_at = 0`)
	}
	return s, wrap("catalog.Outbox.Stat", "", err)
}

func (o *Outbox) queue(ctx context.Context, where string) (q OutboxQueue, err error) {
	var row struct {
		Pending int64
		Oldest  int64
	}
	err = o.db.GetContext(ctx, &row, `SELECT COUNT(*) AS pending, COALESCE(MIN(time), 0) AS oldest FROM tenancy_outbox WHERE `+where)
	q.Pending = row.Pending
	if row.Pending > 0 {
		q.Oldest = time.UnixMicro(row.Oldest).UTC()
	}
	return q, err
}

// Check returns an error that wraps [tenancy.ErrUnavailable] if the database does not answer, or if an event
// has waited for longer than [OutboxOptions.Late]: no instance calls Run, or deliveries fail. The error says
// where events wait, and what failed last in this process.
func (o *Outbox) Check(ctx context.Context) error {
	s, err := o.Stat(ctx)
	for _, q := range []struct {
		what string
		OutboxQueue
	}{{"the function", s.Deliver}, {"the stream", s.Stream}} {
		if err == nil && q.Pending > 0 && time.Since(q.Oldest) > o.opts.Late {
			err = fmt.Errorf("%w: %d events wait for %s, the oldest for %v", tenancy.ErrUnavailable, q.Pending, q.what, time.Since(q.Oldest).Round(time.Second))
			if problem := o.problems.get(q.what); problem != nil {
				err = fmt.Errorf("%w; last problem: %w", err, problem)
			}
		}
	}
	return wrap("catalog.Outbox.Check", "", err)
}

// problems are the last failures.
type problems struct {
	mu  sync.Mutex // guards all
	all map[string]error
}

func (p *problems) set(what string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[string]error{}
	}
	p.all[what] = err
}

func (p *problems) get(what string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all[what]
}

// errPanic says that the application's function panicked.
var errPanic = errors.New("panic")
