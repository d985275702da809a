// Package admin is the console's API: one http.Handler by which operators see and change the tenants of a service.
//
//	console, err := admin.New(db, cat, &admin.Options{Audit: trail})
//	err = console.Migrate(ctx)
//	go console.Run(ctx)
//	http.ListenAndServe("127.0.0.1:8081", console.Handler())
//
// The API lies below /api/tenancy/, and the file openapi.json, which it serves, describes it. A part that the options do not have is
// off: its routes answer not-configured. Mount the console on an origin of its own: content that a tenant serves from the same origin
// could act as the operator.
package admin

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"go.opentelemetry.io/otel/metric"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/internal/failure"
	"github.com/artflow-studio/tenancy/internal/logs"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
	"github.com/artflow-studio/tenancy/resolver"
)

//go:embed migrations
var migrations embed.FS

// versionTable records which migrations this package's tables have.
const versionTable = "tenancy_admin_version"

// Lifecycle takes archived tenants back, and ends them. A *lifecycle.Lifecycle is one.
type Lifecycle interface {
	Restore(ctx context.Context, id tenancy.ID) error
	Purge(ctx context.Context, id tenancy.ID) error
	PurgeNow(ctx context.Context, id tenancy.ID) error
}

// Resumer is the optional ability of a [Lifecycle] to go on with the creation of a tenant that was cut off, and to return the tenant when it
// is active. One that is not being provisioned is an error that wraps [tenancy.ErrInvalid]. A *lifecycle.Lifecycle has it.
type Resumer interface {
	Resume(ctx context.Context, id tenancy.ID) (*tenancy.Tenant, error)
}

// Options are the options of [New].
type Options struct {
	// Auth are the options of operators and sessions. Its Auditor and Proxies are those below, whatever it says. Default: those of
	// auth.New.
	Auth auth.Options
	// Audit is the trail that the catalog writes its entries to. Default: none; changes leave no entries then.
	Audit *audit.Trail
	// AuditChain serves the canonical form of the audit, by which it is verified offline. Entries hold the values of the settings that
	// catalog.Options.SecretSettings does not name: name those that are secrets before the first entry is written, and then set this.
	// Default: false.
	AuditChain bool
	// Proxies are the reverse proxies in front of the console. Default: none.
	Proxies *resolver.Proxies
	// Hosts are the host names that the console answers for, without ports; requests for others get 421. Default: none;
	// only requests from this machine for a name of this machine are answered.
	Hosts []string
	// TrustedOrigins are origins, such as https://console.example.com, whose pages may send changes although the request's Host is
	// another, because a proxy rewrites it. Default: none.
	TrustedOrigins []string
	// Page serves everything outside of /api/tenancy/. Default: 404.
	Page http.Handler
	// Demo says to GET me that the traffic is made by a demo. Default: false.
	Demo bool
	// Create makes a tenant with its database, as lifecycle.Lifecycle.Create does. Default: none; tenants are not made here.
	Create func(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error)
	// Lifecycle restores and purges tenants, and resumes their creation if it is a [Resumer]. Default: none; they are not restored, purged nor
	// resumed here.
	Lifecycle Lifecycle
	// Reports are the figures of usage. They have the catalog ([analytics.ReportsOptions.Catalog]): an operator whose scope is of tags sees
	// the tenants that have these tags now. Default: none.
	Reports *analytics.Reports
	// Keys are the API keys of tenants. Default: none.
	Keys *catalog.KeyIssuer
	// Gate is the maintenance of tenants and, if it has a database, of the service. Default: none.
	Gate *maintenance.Gate
	// Migrations say how the schemas of tenants' databases stand. Default: none.
	Migrations Migrations
	// ShownSettings are the settings of tenants whose values operators may see; all others are names alone, because they may be
	// secrets. "homepage" is always shown. Default: none.
	ShownSettings []string
	// Pool has the connections to tenants' databases. Default: none.
	Pool *dbpool.Pool
	// Runs does the work of bulk actions: its tasks are those of maintenance.Tasks,
	// "maintenance-on" and "maintenance-off" (maintenance.Gate.BeginTask and EndTask), and
	// "migrate", "seed" and "revoke-keys", where the
	// application has them. Bulk actions select tenants by figures, as lists do, if the
	// runner has a Selector with the fields of [analytics.Fields], such as that of
	// [analytics.Reports.Within]. Default: none.
	Runs *runs.Runner
	// BulkThreshold is the number of tenants above which a bulk action asks for fresh credentials. Negative: each does. Default: 100.
	BulkThreshold int
	// Checks are the parts whose health is shown, by name. Each is called beside requests and given 3 seconds.
	// Default: the console's own database alone.
	Checks map[string]func(context.Context) error
	// Limiter counts requests of operators. Default: that of Auth, or a [ratelimit.Memory].
	Limiter ratelimit.Limiter
	// MeterProvider gets the metrics tenancy.admin.*: durations of requests, sign-ins by their result, streams, exports, and entries of the
	// audit that are not sealed yet. Default: none.
	MeterProvider metric.MeterProvider
	// Logger gets what no answer says. Default: [slog.Default], asked at each message.
	Logger *slog.Logger
}

// Admin is the console's API. Its methods may be called by many goroutines at once.
type Admin struct {
	db      *sqlx.DB
	dialect sqlkit.Dialect
	catalog *catalog.Catalog
	auth    *auth.Auth
	opts    Options
	resumer Resumer // nil: the life cycle cannot
	table   []route
	origin  *http.CrossOriginProtection
	keys    *idempotency
	health  health
	reached reached
	live    live
	metrics *metrics // nil: there are none
	handler http.Handler

	exports, verifications underWay

	retained time.Time // when Run removed old entries last
}

// New returns the console's API over the control plane's database and the record of tenants. The caller keeps db. Nil options are
// the defaults. Malformed options are errors that wrap [tenancy.ErrInvalid].
func New(db *sqlx.DB, cat *catalog.Catalog, opts *Options) (*Admin, error) {
	return newAdmin(db, cat, opts)
}

// newAdmin is New with more rows.
func newAdmin(db *sqlx.DB, cat *catalog.Catalog, opts *Options, more ...route) (*Admin, error) {
	const op = "admin.New"
	if db == nil || cat == nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: want a database and a catalog", tenancy.ErrInvalid))
	}
	dialect, err := sqlkit.FromDriver(db.DriverName())
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	a := &Admin{db: db, dialect: dialect, catalog: cat, origin: http.NewCrossOriginProtection(),
		exports: underWay{mostEach: maxOperatorExports, most: maxExports}, verifications: underWay{mostEach: maxOperatorVerifications, most: maxVerifications}}
	if opts != nil {
		a.opts = *opts
	}
	if err := a.complete(); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	if a.auth, err = auth.New(db, &a.opts.Auth); err != nil {
		return nil, err
	}
	a.keys = &idempotency{db: db, dialect: dialect}
	a.table = append(a.routes(), more...)
	if a.handler, err = a.build(); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	if a.opts.MeterProvider != nil {
		if a.metrics, err = a.newMetrics(a.opts.MeterProvider); err != nil {
			return nil, tenancy.Wrap(op, "", err)
		}
	}
	return a, nil
}

// complete fills in the defaults and checks the rest.
func (a *Admin) complete() error {
	o := &a.opts
	o.Logger = logs.Or(o.Logger)
	if o.Reports != nil && !o.Reports.HasCatalog() {
		return fmt.Errorf("%w: Reports without a catalog, so that scopes of tags would be as they were", tenancy.ErrInvalid)
	}
	a.resumer, _ = o.Lifecycle.(Resumer)
	o.Auth.Auditor, o.Auth.Proxies = nil, o.Proxies
	if o.Audit != nil {
		o.Auth.Auditor = o.Audit
	}
	if o.Auth.Logger == nil {
		o.Auth.Logger = o.Logger
	}
	if o.Limiter == nil {
		o.Limiter = o.Auth.Limiter
	}
	if o.Limiter == nil {
		o.Limiter = ratelimit.NewMemory(nil)
	}
	if o.Auth.Limiter == nil {
		o.Auth.Limiter = o.Limiter
	}
	if o.BulkThreshold == 0 {
		o.BulkThreshold = 100
	}
	o.BulkThreshold = max(o.BulkThreshold, 0)
	o.Hosts = slices.Clone(o.Hosts)
	for i, h := range o.Hosts {
		if h == "" || strings.ContainsAny(h, ":/ ") {
			return fmt.Errorf("%w: host %.80q, want a name without a port", tenancy.ErrInvalid, h)
		}
		o.Hosts[i] = strings.ToLower(strings.TrimSuffix(h, "."))
	}
	for _, origin := range o.TrustedOrigins {
		if err := a.origin.AddTrustedOrigin(origin); err != nil {
			return fmt.Errorf("%w: trusted origin %.200q", tenancy.ErrInvalid, origin)
		}
	}
	return nil
}

// Auth returns the operators and their sessions.
func (a *Admin) Auth() *auth.Auth { return a.auth }

// Handler returns the console's handler.
func (a *Admin) Handler() http.Handler { return a.handler }

// Migrate makes the tables of the console, its operators and its sessions, or brings them up to date. Those of the catalog and the
// audit are made by their own packages. Many processes may call it at once.
func (a *Admin) Migrate(ctx context.Context) error {
	if err := a.auth.Migrate(ctx); err != nil {
		return err
	}
	files, err := fs.Sub(migrations, "migrations/"+string(a.dialect))
	if err != nil {
		return tenancy.Wrap("admin.Admin.Migrate", "", err)
	}
	_, err = sqlkit.Up(ctx, a.db.DB, a.dialect, files, versionTable)
	return tenancy.Wrap("admin.Admin.Migrate", "", unavailable(err))
}

// runEvery is how often Run works.
const runEvery = 5 * time.Second

// Run does the console's work beside requests until ctx ends: it looks at the health of the parts and
// removes what has expired. It returns nil.
func (a *Admin) Run(ctx context.Context) error {
	var beside sync.WaitGroup
	beside.Go(func() {
		if err := a.auth.Run(ctx); err != nil {
			a.opts.Logger.WarnContext(ctx, "admin: the background work of operators and sessions ended; what has expired stays", slog.Any("error", err))
		}
	})
	defer beside.Wait()
	tick := time.NewTicker(runEvery)
	defer tick.Stop()
	for {
		a.runOnce(ctx)
		select {
		case <-ctx.Done():
			if a.metrics != nil {
				return a.metrics.unregister()
			}
			return nil
		case <-tick.C:
		}
	}
}

func (a *Admin) runOnce(ctx context.Context) {
	a.checkHealth(ctx)
	a.lookAtAudit(ctx)
	a.lookAtStuck(ctx)
	a.lookAtPool(time.Now().UTC())
	a.lookAtServers(ctx, time.Now().UTC())
	a.retain(ctx, time.Now())
	if err := a.keys.purge(ctx); err != nil && ctx.Err() == nil {
		a.opts.Logger.WarnContext(ctx, "admin: cleaning up failed; trying again", "error", err)
	}
}

// Check reports whether the console's database answers.
func (a *Admin) Check(ctx context.Context) error { return a.auth.Check(ctx) }

// parts returns the names of the parts that are wired.
func (a *Admin) parts() []string {
	parts := []string{}
	for name, wired := range map[string]bool{
		partAudit: a.opts.Audit != nil, partCreate: a.opts.Create != nil, partReports: a.opts.Reports != nil, partRuns: a.opts.Runs != nil,
		partKeys: a.opts.Keys != nil, partPool: a.opts.Pool != nil, partMaintenance: a.opts.Gate != nil,
		partLifecycle: a.opts.Lifecycle != nil, partResume: a.resumer != nil, partMigrations: a.opts.Migrations != nil, partMail: a.auth.Mails(), partChain: a.opts.Audit != nil && a.opts.AuditChain,
	} {
		if wired {
			parts = append(parts, name)
		}
	}
	slices.Sort(parts)
	return parts
}

// Names of the parts.
const (
	partAudit       = "audit"
	partCreate      = "create"
	partReports     = "reports"
	partRuns        = "runs"
	partPool        = "pool"
	partKeys        = "keys"
	partMaintenance = "maintenance"
	partLifecycle   = "lifecycle"
	partResume      = "resume"
	partMigrations  = "migrations"
	partMail        = "mail"
	partChain       = "audit-chain"
)

// unavailable names an error of the database that has no sentinel.
func unavailable(err error) error { return failure.Named(err) }
