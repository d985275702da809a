package maintenance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/ipnet"
	"github.com/artflow-studio/tenancy/internal/logs"
	"github.com/artflow-studio/tenancy/internal/problem"
	"github.com/artflow-studio/tenancy/internal/signed"
)

// Editor changes tenants' records. A *catalog.Catalog is one.
type Editor interface {
	// Edit changes the record by what change does to a copy of it, and returns the
	// new one. It may call change again when somebody else changed the record
	// meanwhile. An error of change ends it, and nothing is written; nor is
	// anything written when change changes nothing.
	Edit(ctx context.Context, id tenancy.ID, change func(*tenancy.Tenant) error) (*tenancy.Tenant, error)
}

// Gate begins and ends maintenance, and keeps requests out meanwhile. Its methods
// may be called by many goroutines at once.
type Gate struct {
	editor   Editor
	opts     GateOptions
	store    *serviceStore // nil: none for the service
	instance string        // a name for this process, chosen at its start
	flights  flights
	always   openPaths // those of the options

	service atomic.Pointer[plan]                // without Maintenance: none; nil: not known
	drained atomic.Pointer[map[tenancy.ID]mark] // tenants whose older records are not served; nil: none
	plans   sync.Map                            // of tenancy.ID to *plan
	nplans  atomic.Int64

	mu      sync.Mutex // guards what follows, and writing of service and drained
	tickets uint64     // that were given to those who look at the service's record
	latest  uint64     // the one that saw what service is
	seenAt  time.Time  // when a look began that succeeded
	failing bool       // the last look failed
}

const (
	// readTimeout bounds a look at the service's record.
	readTimeout = 5 * time.Second
	// maxPlans is how many tenants' windows are remembered.
	maxPlans = 10_000
)

// GateOptions are the options of [NewGate].
type GateOptions struct {
	// DB is the database of the service's own record, the same for all instances. [Gate.Migrate]
	// makes its table, and [Gate.Run] reads it. Default: there is no maintenance of the whole
	// service.
	DB *sqlx.DB
	// Poll is how often [Gate.Run] reads the service's record and the drains that other
	// instances request. It reads the drains at least every two seconds. Default: 500
	// milliseconds.
	Poll time.Duration
	// Client returns the address of a request's client, such as the method of that
	// name of resolver.Proxies. Default: the connected peer's.
	Client func(*http.Request) netip.Addr
	// RetryAfter is the Retry-After of refused requests if the end of maintenance is not known. Default: 5
	// minutes.
	RetryAfter time.Duration
	// Paths always pass, during any maintenance and also before the gate knows whether there
	// is one. List the paths of health checks, or an orchestrator restarts the instances
	// during maintenance. Paths have the form of those in [tenancy.Maintenance]: each stands
	// for itself and for all paths below it. A drain does not wait for their requests.
	// Default: none.
	Paths []string
	// Refuse answers a request that the gate refused because of err, a
	// [*tenancy.MaintenanceError] or an error that wraps [tenancy.ErrUnavailable]. It must not
	// show err's text. Default: the answer of middleware.Problem, 503 with Retry-After.
	Refuse func(w http.ResponseWriter, r *http.Request, err error)
	// Key signs the bypass cookies: at least 32 bytes from a random source, the same on all
	// instances. Default: the hash of the bypass secret that the record keeps, so that anybody
	// who can read records can make cookies.
	Key tenancy.Secret
	// BypassPath is the path in front of the secret. If you change it, add it to
	// middleware.Options.SecretPaths, so that no middleware logs the secret. Default:
	// "/.maintenance/bypass".
	BypassPath string
	// BypassTTL is how long a bypass cookie is valid. Default: 8 hours.
	BypassTTL time.Duration
	// Insecure leaves out the cookie's attribute Secure, for development without TLS.
	// Default: false.
	Insecure bool
	// Audit writes an entry for each change of the service's maintenance, in the transaction
	// of the change in DB. If it fails, the change is not made. The editor's own auditor
	// writes the entries about tenants. Default: none.
	Audit tenancy.Auditor
	// RequireActor refuses changes of the service's maintenance in contexts that name no
	// actor, with an error that wraps [tenancy.ErrForbidden] and has an entry in the
	// audit. Those of tenants' are refused by the editor: see
	// catalog.Options.RequireActor. Default: their entries say that the actor is unknown.
	RequireActor bool
	// Drains is how the instances of the application tell each other which drains they have done, such as package drainredis;
	// [MemoryDrains] is for an application of one process. Default: [Scope.Drain] waits for Settle.
	Drains DrainChannel
	// Settle is how long a drain without Drains waits for other instances: until they have
	// seen the change, and have finished the requests that they admitted before. Default: a
	// minute.
	Settle time.Duration
	// Logger gets a line for each refused request, and when the service's record cannot be
	// read. Default: [slog.Default], asked at each message.
	Logger *slog.Logger
}

// NewGate returns a gate for tenants whose records the editor changes. It does no I/O yet. The caller closes
// what it put into the options. Options that contradict themselves are an error that wraps
// [tenancy.ErrInvalid].
func NewGate(editor Editor, opts *GateOptions) (*Gate, error) {
	const op = "maintenance.NewGate"
	if editor == nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: no editor", tenancy.ErrInvalid))
	}
	g := &Gate{editor: editor, instance: rand.Text()}
	if opts != nil {
		g.opts = *opts
	}
	if err := g.opts.complete(); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	g.always = newOpenPaths(g.opts.Paths)
	if g.opts.DB == nil {
		g.service.Store(&plan{})
		return g, nil
	}
	var err error
	if g.store, err = newServiceStore(g.opts.DB, g.opts.Audit); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return g, nil
}

// complete fills in defaults.
func (o *GateOptions) complete() error {
	for _, each := range []struct {
		name      string
		d         *time.Duration
		otherwise time.Duration
	}{
		{"Poll", &o.Poll, 500 * time.Millisecond}, {"RetryAfter", &o.RetryAfter, 5 * time.Minute},
		{"BypassTTL", &o.BypassTTL, 8 * time.Hour}, {"Settle", &o.Settle, time.Minute},
	} {
		if *each.d == 0 {
			*each.d = each.otherwise
		}
		if *each.d < time.Millisecond {
			return fmt.Errorf("%w: %s %v", tenancy.ErrInvalid, each.name, *each.d)
		}
	}
	if o.BypassTTL < time.Second {
		return fmt.Errorf("%w: BypassTTL %v, want at least a second", tenancy.ErrInvalid, o.BypassTTL)
	}
	if o.Key.Reveal() != "" {
		if err := signed.CheckKey("key", o.Key); err != nil {
			return err
		}
	}
	if o.BypassPath == "" {
		o.BypassPath = problem.BypassPath
	}
	if o.BypassPath == "/" || strings.HasSuffix(o.BypassPath, "/") || !plain(o.BypassPath) {
		return fmt.Errorf("%w: bypass path %q, want a cleaned one without a slash at its end", tenancy.ErrInvalid, o.BypassPath)
	}
	for _, p := range o.Paths {
		if !plain(p) {
			return fmt.Errorf("%w: path %q, want a cleaned one", tenancy.ErrInvalid, p)
		}
	}
	if o.Client == nil {
		o.Client = ipnet.Peer
	}
	if o.Refuse == nil {
		o.Refuse = problem.Write
	}
	o.Logger = logs.Or(o.Logger)
	return nil
}

// Migrate makes the table of the service's record or brings it up to date. Call it
// on every start: many processes may at once. Without [GateOptions.DB] it does
// nothing.
func (g *Gate) Migrate(ctx context.Context) error {
	if g.store == nil {
		return nil
	}
	if err := g.store.migrate(ctx); err != nil {
		return tenancy.Wrap("maintenance.Gate.Migrate", "", named(ctx, err))
	}
	return nil
}

// Run does what the gate does beside requests, until the context ends; then it
// returns nil. It looks at the service's record, and drains what other instances ask for.
func (g *Gate) Run(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	if g.opts.Drains != nil {
		work.Go(func() { g.attend(ctx) })
	}
	t := time.NewTicker(g.opts.Poll)
	defer t.Stop()
	for {
		_ = g.Refresh(ctx) // which logs
		g.forget(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// Refresh reads the service's record now; [Gate.Run] does the same again and again. With [GateOptions.DB],
// [Gate.Guard] serves no request until the record was read once. If a later read fails, the last known record
// stays in force.
func (g *Gate) Refresh(ctx context.Context) error {
	if g.store == nil {
		return nil
	}
	ticket, began := g.ticket(), time.Now()
	short, cancel := context.WithTimeout(ctx, readTimeout)
	m, version, err := g.store.read(short)
	cancel()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err != nil && !errors.Is(err, tenancy.ErrInvalid) {
		err = unavailable(err)
		g.failed(ctx, ticket, err)
		return tenancy.Wrap("maintenance.Gate.Refresh", "", err)
	}
	g.saw(ctx, ticket, began, m, version, err)
	return nil
}

// saw makes what a look saw the record that is enforced. With an error it is in the
// place of one that cannot be read.
func (g *Gate) saw(ctx context.Context, ticket uint64, began time.Time, m *tenancy.Maintenance, version int64, err error) {
	g.mu.Lock()
	if ticket < g.latest {
		g.mu.Unlock()
		return // somebody who looked later was faster
	}
	again := g.failing
	g.latest, g.seenAt, g.failing = ticket, began, false
	changed, windows := g.set(m, version)
	g.mu.Unlock()
	if again {
		g.opts.Logger.InfoContext(ctx, "maintenance: reading the service's record works again")
	}
	g.unreadable(ctx, "", windows)
	if changed && err != nil {
		g.opts.Logger.ErrorContext(ctx, "maintenance: the service's record cannot be read; the service is closed until somebody begins or ends maintenance", slog.Any("error", err))
	}
}

// wrote makes what this instance has written the record that is enforced, unless a
// later one is. The error is of windows that cannot be read.
func (g *Gate) wrote(m *tenancy.Maintenance, version int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tickets++
	g.latest = g.tickets // looks that began before may have seen what was
	if known := g.service.Load(); known != nil && known.version > version {
		return nil
	}
	g.seenAt = time.Now()
	_, err := g.set(m, version)
	return err
}

func (g *Gate) ticket() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tickets++
	return g.tickets
}

// failed notes that the service's record could not be looked at.
func (g *Gate) failed(ctx context.Context, ticket uint64, err error) {
	g.mu.Lock()
	known := ticket < g.latest || g.failing
	g.failing = g.failing || !known
	g.mu.Unlock()
	if known {
		return
	}
	what := "maintenance: cannot read the service's record; using the last one that was read"
	if g.service.Load() == nil {
		what = "maintenance: cannot read the service's record; refusing all requests until it can be read"
	}
	g.opts.Logger.ErrorContext(ctx, what, slog.Any("error", err))
}

// set makes the record the one that is enforced, and reports whether it was another.
// The error is of windows that cannot be read. The caller has the lock.
func (g *Gate) set(m *tenancy.Maintenance, version int64) (changed bool, err error) {
	if now := g.service.Load(); now != nil && now.version == version && reflect.DeepEqual(now.Maintenance, m) {
		return false, nil
	}
	p := &plan{}
	if m != nil {
		p, err = newPlan(m, "")
	}
	p.version = version
	g.service.Store(p)
	return true, err
}

// unreadable says why the windows of a record cannot be read, if they cannot.
func (g *Gate) unreadable(ctx context.Context, id tenancy.ID, err error) {
	if err != nil {
		g.opts.Logger.ErrorContext(ctx, "maintenance: cannot read the windows of a record; maintenance is in force until somebody corrects or ends it", slog.Any("error", err), slog.String("tenant", string(id)))
	}
}

// planOf returns the plan of a tenant, or nil.
func (g *Gate) planOf(ctx context.Context, t *tenancy.Tenant) *plan {
	m := t.Access.Maintenance
	if m == nil {
		return nil
	}
	known, ok := g.plans.Load(t.ID)
	if ok && known.(*plan).Maintenance == m {
		return known.(*plan)
	}
	p, err := newPlan(m, t.ID)
	g.unreadable(ctx, t.ID, err)
	if !ok && g.nplans.Add(1) > maxPlans {
		g.plans.Clear()
		g.nplans.Store(1)
	}
	g.plans.Store(t.ID, p)
	return p
}

// Check returns an error that wraps [tenancy.ErrUnavailable] while the service's record cannot be read. It asks
// nobody: it reports what [Gate.Run] saw last.
func (g *Gate) Check(context.Context) error {
	if g.store == nil {
		return nil
	}
	g.mu.Lock()
	seen := g.seenAt
	g.mu.Unlock()
	var err error
	switch since := time.Since(seen); {
	case seen.IsZero():
		err = fmt.Errorf("%w: it is not known whether the service is under maintenance", tenancy.ErrUnavailable)
	case since > 2*(g.opts.Poll+readTimeout):
		err = fmt.Errorf("%w: the service's record was last read %v ago", tenancy.ErrUnavailable, since)
	}
	return tenancy.Wrap("maintenance.Gate.Check", "", err)
}
