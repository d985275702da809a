package migrate

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/logs"
	"github.com/artflow-studio/tenancy/internal/problem"
)

// maxKnown is how many findings a gate remembers: one of each tenant, or two.
const maxKnown = 100_000

// Gate keeps requests away from tenants whose schema is older than the program needs.
type Gate struct {
	migrator *Migrator
	opts     GateOptions
	asking   singleflight.Group

	mu    sync.Mutex // guards known
	known map[finding]known
}

// finding is what a gate knows something about: a tenant, for all requests, or for those alone that may not
// begin a migration where others may.
type finding struct {
	tenant  tenancy.ID
	reading bool
}

// known is what was found of a tenant's schema.
type known struct {
	created   time.Time // of the record: a tenant may be made again under its ID
	placement tenancy.Placement
	err       error     // nil: new enough, for good
	until     time.Time // of an error
}

// GateOptions are the options of [NewGate].
type GateOptions struct {
	// Required is the version that a schema must have. Default: [Latest].
	Required int64
	// Migrate migrates the schema of a tenant when the tenant is first used: once, whatever number of instances
	// and requests want it. Requests that must not change anything, as in read-only maintenance, do not begin it:
	// see [tenancy.WithReadOnly]. Default: false; such requests are refused.
	Migrate bool
	// Timeout is how long a migration may take. The migration goes on when the request that began it ends.
	// Default: 1 minute.
	Timeout time.Duration
	// RetryAfter is the Retry-After of refused requests, and how long the gate remembers that a schema is too
	// old, or that its migration failed, before it looks or tries again. Default: 5 seconds.
	RetryAfter time.Duration
	// Logger records requests that are refused. Default: [slog.Default], asked at each message.
	Logger *slog.Logger
}

// OldSchemaError says that a tenant's schema is older than the program wants. It wraps
// [tenancy.ErrUnavailable].
type OldSchemaError struct {
	// Pending is the number of migrations that the schema lacks; Version is its own.
	Pending int
	Version int64
	after   time.Duration
}

// Error returns the text for logs.
func (e *OldSchemaError) Error() string {
	return fmt.Sprintf("the tenant's schema is at version %d and lacks %d migrations", e.Version, e.Pending)
}

// Unwrap returns [tenancy.ErrUnavailable].
func (e *OldSchemaError) Unwrap() error { return tenancy.ErrUnavailable }

// RetryAfter returns when to come back.
func (e *OldSchemaError) RetryAfter() time.Duration { return e.after }

// failedError says that a tenant's schema could not be migrated, or not be looked at. It wraps [tenancy.ErrUnavailable]
// and the cause: a conflict of two migrations is no conflict to the client of a request.
type failedError struct {
	cause error
	after time.Duration
}

func (e *failedError) Error() string             { return e.cause.Error() }
func (e *failedError) Unwrap() []error           { return []error{tenancy.ErrUnavailable, e.cause} }
func (e *failedError) RetryAfter() time.Duration { return e.after }

// NewGate returns a gate for the schemas that the migrator migrates. A missing migrator and negative options
// are errors that wrap [tenancy.ErrInvalid].
func NewGate(m *Migrator, opts *GateOptions) (*Gate, error) {
	g := &Gate{migrator: m, known: map[finding]known{}}
	if opts != nil {
		g.opts = *opts
	}
	err := g.opts.complete()
	if m == nil {
		err = fmt.Errorf("%w: no migrator", tenancy.ErrInvalid)
	}
	if err != nil {
		return nil, tenancy.Wrap("migrate.NewGate", "", err)
	}
	return g, nil
}

func (o *GateOptions) complete() error {
	o.Required = cmp.Or(o.Required, Latest)
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	o.RetryAfter = cmp.Or(o.RetryAfter, 5*time.Second)
	o.Logger = logs.Or(o.Logger)
	if o.Required < 0 || o.Timeout < 0 || o.RetryAfter < 0 {
		return fmt.Errorf("%w: Required %d, Timeout %v, RetryAfter %v, want none negative", tenancy.ErrInvalid, o.Required, o.Timeout, o.RetryAfter)
	}
	return nil
}

// Guard returns a handler that passes requests to next if their tenant's schema is new enough or if they have
// no tenant. Other requests are answered 503 with Retry-After, or wait until the schema is migrated; see
// [GateOptions.Migrate]. The gate remembers that a schema is new enough: later requests need no I/O, and a
// schema that is rolled back is not noticed.
func (g *Gate) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t, ok := tenancy.FromContext(r.Context()); ok {
			if err := g.Admit(r.Context(), t); err != nil {
				problem.Log(g.opts.Logger, slog.LevelWarn, r, err)
				problem.Write(w, r, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// Admit is Guard for work other than requests, such as jobs from a queue. It returns nil if the tenant's schema
// is new enough, and otherwise an [*OldSchemaError], or one that wraps [tenancy.ErrUnavailable] and the error of the
// migration, or of reading the version.
func (g *Gate) Admit(ctx context.Context, t *tenancy.Tenant) error {
	if k, ok := g.look(ctx, t); ok {
		return k.err
	}
	key := fmt.Sprintf("%s %d %s %s %v", t.ID, t.CreatedAt.UnixMicro(), t.Placement.Server, t.Placement.Database, g.migrates(ctx))
	result := g.asking.DoChan(key, func() (any, error) {
		if k, ok := g.look(ctx, t); ok { // somebody was faster
			return nil, k.err
		}
		uncut, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.opts.Timeout)
		defer cancel()
		return nil, g.find(uncut, t)
	})
	select {
	case res := <-result:
		return tenancy.Wrap("migrate.Gate.Admit", t.ID, res.Err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// look returns what is known of the tenant's schema to a request with that context.
func (g *Gate) look(ctx context.Context, t *tenancy.Tenant) (known, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k, ok := g.valid(t, false)
	if !ok && g.reading(ctx) {
		k, ok = g.valid(t, true)
	}
	return k, ok
}

// valid returns what is known and not too old. The caller holds mu.
func (g *Gate) valid(t *tenancy.Tenant, reading bool) (known, bool) {
	k, ok := g.known[finding{t.ID, reading}]
	return k, ok && k.created.Equal(t.CreatedAt) && k.placement == t.Placement && (k.err == nil || time.Now().Before(k.until))
}

// migrates reports whether a request with that context may begin a migration.
func (g *Gate) migrates(ctx context.Context) bool { return g.opts.Migrate && !tenancy.IsReadOnly(ctx) }

// reading reports whether a request with that context may not begin a migration where others may.
func (g *Gate) reading(ctx context.Context) bool { return g.opts.Migrate && tenancy.IsReadOnly(ctx) }

// find asks the tenant's database, and migrates it if that is wanted. That a schema is too old is not kept for
// requests that may begin a migration, if one that may not has found it.
func (g *Gate) find(ctx context.Context, t *tenancy.Tenant) error {
	k := known{created: t.CreatedAt, placement: t.Placement}
	if g.migrates(ctx) {
		_, k.err = g.migrator.UpTo(ctx, t, g.opts.Required)
		if k.err != nil {
			k.err = &failedError{k.err, g.opts.RetryAfter}
		}
	} else {
		lacks, version, err := g.lacks(ctx, t)
		if err != nil {
			return &failedError{err, g.opts.RetryAfter}
		}
		if lacks > 0 {
			k.err = &OldSchemaError{Pending: lacks, Version: version, after: g.opts.RetryAfter}
		}
	}
	k.until = time.Now().Add(g.opts.RetryAfter)
	g.keep(finding{t.ID, k.err != nil && g.reading(ctx)}, k)
	return k.err
}

// lacks returns the number of migrations that the tenant's schema lacks, and its version.
func (g *Gate) lacks(ctx context.Context, t *tenancy.Tenant) (lacks int, version int64, err error) {
	s, err := g.migrator.Status(ctx, t)
	if err != nil {
		return 0, 0, err
	}
	for _, f := range s.Pending {
		if f.Version <= g.opts.Required {
			lacks++
		}
	}
	return lacks, s.Version, nil
}

func (g *Gate) keep(about finding, k known) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.known) >= maxKnown {
		clear(g.known)
	}
	g.known[about] = k
}
