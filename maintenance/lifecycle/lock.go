package lifecycle

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/failure"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

//go:embed migrations
var migrations embed.FS

const (
	locksTable   = "tenancy_locks"
	versionTable = "tenancy_lifecycle_version"
)

// Locker makes sure that only one piece of work at a time is alone with a tenant. A
// [*Locks] is one.
type Locker interface {
	// Lock runs fn while nobody else is in Lock with the tenant, and returns fn's error as
	// it is. The purpose is what others see while they wait. The context of fn ends when
	// the lock is lost. A context that fn was given, and those made of it, hold the
	// lock already: Lock then only runs fn.
	Lock(ctx context.Context, id tenancy.ID, purpose string, fn func(context.Context) error) error
}

// Locks are exclusive locks of tenants, one for each, in a table of the control-plane
// database. Creation, purge, migrations and seeds take them, and so must all other work that
// has to be alone with a tenant, such as its backup or move.
//
// A lock is a lease: it ends [LocksOptions.TTL] after its holder died, by the clock of
// the database. Methods may be called by many goroutines and many processes at once.
type Locks struct {
	db     *sqlx.DB
	leases *sqlkit.Leases
	opts   LocksOptions
}

// LocksOptions are the options of [NewLocks].
type LocksOptions struct {
	// TTL is how long after the death of its holder a lock ends. The holder renews it
	// three times as often, and its work ends if it cannot. All processes must use about the
	// same TTL: another process may take a lock that ends more than ten of its own TTLs from
	// now, if nobody renews it for as long. Default: 30 seconds.
	TTL time.Duration
	// Wait is how long Lock waits while somebody else holds the lock. Negative: not at
	// all. Default: until its context ends.
	Wait time.Duration
}

// NewLocks returns the locks in that database, which is the catalog's. The tables are
// made by [Locks.Migrate].
func NewLocks(db *sqlx.DB, opts *LocksOptions) (*Locks, error) {
	const op = "lifecycle.NewLocks"
	l := &Locks{db: db}
	if opts != nil {
		l.opts = *opts
	}
	err := l.opts.complete()
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	l.leases, err = sqlkit.NewLeases(db, locksTable)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return l, nil
}

func (o *LocksOptions) complete() error {
	o.TTL = cmp.Or(o.TTL, 30*time.Second)
	if o.TTL < 0 {
		return fmt.Errorf("%w: TTL %v", tenancy.ErrInvalid, o.TTL)
	}
	return nil
}

// Migrate makes the table of locks or brings it up to date. Call it on every start;
// many processes may call it at once.
func (l *Locks) Migrate(ctx context.Context) error {
	dialect, err := sqlkit.FromDriver(l.db.DriverName())
	if err == nil {
		var files fs.FS
		if files, err = fs.Sub(migrations, "migrations/"+string(dialect)); err == nil {
			_, err = sqlkit.Up(ctx, l.db.DB, dialect, files, versionTable)
		}
	}
	return failure.Wrap("lifecycle.Locks.Migrate", "", err)
}

// Check returns an error that wraps [tenancy.ErrUnavailable] if the database of the locks does not answer.
// Nobody gets a lock then, and who holds one loses it after [LocksOptions.TTL].
func (l *Locks) Check(ctx context.Context) error {
	return failure.Wrap("lifecycle.Locks.Check", "", l.leases.Check(ctx))
}

// LockedError says who holds a tenant's lock. It wraps [tenancy.ErrConflict].
type LockedError struct {
	Tenant tenancy.ID
	// Purpose is what the holder does.
	Purpose string
	// Holder is where: host, process ID, and a text of its own.
	Holder string
	// Left is when the lock ends if its holder has died.
	Left time.Duration
}

// Error returns the text for logs.
func (e *LockedError) Error() string {
	return fmt.Sprintf("%v: tenant %s is locked for %s by %s, for another %v unless that renews it",
		tenancy.ErrConflict, e.Tenant, e.Purpose, e.Holder, e.Left.Round(time.Millisecond))
}

// Unwrap returns [tenancy.ErrConflict].
func (e *LockedError) Unwrap() error { return tenancy.ErrConflict }

// lockKey is the key of contexts that hold a lock.
type lockKey struct {
	locks  *Locks
	tenant tenancy.ID
}

// heldLock is the value.
type heldLock struct {
	token    int64
	released atomic.Bool
	after    func(end func()) (stop func() bool) // calls end when the lock is given up or lost
}

// errReleased is why a context ends that outlived the lock that it held.
var errReleased = fmt.Errorf("%w: whoever took the lock has given it up, or lost it", tenancy.ErrConflict)

// run runs fn in a context that holds the lock already. Where that context outlives the lock,
// such as one of tenancy.Detach, the context of fn does not.
func (h *heldLock) run(given context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(given)
	defer cancel(nil)
	stop := h.after(func() { cancel(errReleased) })
	err := fn(ctx)
	if !stop() && given.Err() == nil {
		return errors.Join(errReleased, err)
	}
	return err
}

// Lock runs fn while nobody else is in Lock with the tenant. The purpose, one to 60 bytes
// without " at ", says why; others find it in their error. When the lock is lost, because the
// database could not be reached in time or somebody took it over, the context of fn
// ends and the error wraps [tenancy.ErrConflict], whatever fn returned, also if ctx has ended
// since. It does so, too, if fn returns after the lock's time was over: nobody renews the lock once
// ctx has ended, or while the process is suspended. Otherwise fn's error is returned as it is.
//
// While somebody else holds the lock, Lock waits within ctx and [LocksOptions.Wait]. If
// that ends before the lock is free, the error wraps a [*LockedError]. If the database does
// not answer, it wraps [tenancy.ErrUnavailable], and fn does not run.
//
// A context that fn was given, and those made of it, hold the lock already: Lock then
// only runs fn. Where such a context outlives the lock, as one of [tenancy.Detach] may, the
// context of the inner fn ends with the lock, and its error wraps [tenancy.ErrConflict].
func (l *Locks) Lock(ctx context.Context, id tenancy.ID, purpose string, fn func(context.Context) error) error {
	const op = "lifecycle.Locks.Lock"
	key := lockKey{l, id}
	if held, ok := ctx.Value(key).(*heldLock); ok && !held.released.Load() {
		return held.run(ctx, fn)
	}
	if err := id.Validate(); err != nil {
		return tenancy.Wrap(op, id, err)
	}
	if purpose == "" || len(purpose) > 60 || strings.Contains(purpose, " at ") {
		return tenancy.Wrap(op, id, fmt.Errorf("%w: purpose %.80q of a lock: want 1 to 60 bytes without \" at \"", tenancy.ErrInvalid, purpose))
	}
	lease, err := l.acquire(ctx, id, purpose)
	if err != nil {
		return failure.Wrap(op, id, err)
	}
	held := &heldLock{token: lease.Token()}
	defer held.released.Store(true)
	return lease.Hold(ctx, func(ctx context.Context) error {
		held.after = func(end func()) func() bool { return context.AfterFunc(ctx, end) }
		return fn(context.WithValue(ctx, key, held))
	})
}

// Fence returns the number of the lock of the tenant that ctx holds: larger than that of
// every holder before. A holder that writes to something that lives on after a lost lock keeps
// the number beside it, and refuses a smaller one. It is 0 when ctx holds none.
func (l *Locks) Fence(ctx context.Context, id tenancy.ID) int64 {
	if held, ok := ctx.Value(lockKey{l, id}).(*heldLock); ok && !held.released.Load() {
		return held.token
	}
	return 0
}

// acquire waits for the lock.
func (l *Locks) acquire(ctx context.Context, id tenancy.ID, purpose string) (*sqlkit.Lease, error) {
	began := time.Now()
	var locked error
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		lease, err := l.leases.AcquireFor(ctx, string(id), purpose, l.opts.TTL)
		if err == nil {
			return lease, nil
		}
		if !errors.Is(err, tenancy.ErrLimited) {
			if locked != nil && ctx.Err() != nil {
				err = fmt.Errorf("%w: %w", ctx.Err(), locked)
			}
			return nil, err
		}
		locked = err
		var held *sqlkit.HeldError
		if errors.As(err, &held) {
			what, who, _ := strings.Cut(held.Holder, " at ")
			locked = &LockedError{Tenant: id, Purpose: what, Holder: who, Left: held.Left}
		}
		if l.opts.Wait < 0 || l.opts.Wait > 0 && time.Since(began) >= l.opts.Wait {
			return nil, locked
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ctx.Err(), locked)
		case <-time.After(pause/2 + rand.N(pause)): // not a secret
		}
	}
}

// Forget removes the row of a tenant that is gone for good, unless somebody holds the lock.
func (l *Locks) Forget(ctx context.Context, id tenancy.ID) error {
	return failure.Wrap("lifecycle.Locks.Forget", id, l.leases.Forget(ctx, string(id)))
}

// Task returns the task with the lock held around each tenant's work. Tasks that must not
// be done for one tenant at the same time, such as to migrate and to back up, are made so.
// What migrate offers takes the lock itself.
func (l *Locks) Task(purpose string, task tenancy.Task) tenancy.Task {
	do := task.Do
	task.Do = func(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
		return l.Lock(ctx, t.ID, purpose, func(ctx context.Context) error { return do(ctx, t, a) })
	}
	return task
}

// Lock runs fn alone with the tenant: see [Locks.Lock]. Without [Options.Locks] it only
// runs fn.
func (l *Lifecycle) Lock(ctx context.Context, id tenancy.ID, purpose string, fn func(context.Context) error) error {
	if l.opts.Locks == nil {
		return fn(ctx)
	}
	return l.opts.Locks.Lock(ctx, id, purpose, fn)
}
