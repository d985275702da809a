package analytics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/logs"
)

// Keepable is a store that a [Keeper] can keep.
type Keepable interface {
	// Hold runs fn while no other process holds the store. While somebody else does, the
	// error wraps [tenancy.ErrLimited], and fn does not run. The context of fn ends when
	// the lease is lost; from then on the [Upkeep] writes nothing.
	Hold(ctx context.Context, fn func(context.Context, Upkeep) error) error
}

// Upkeep is what the holder of a store does to it. What is done twice changes
// nothing.
type Upkeep interface {
	// RollUp makes longer rows of shorter ones.
	RollUp(ctx context.Context) error
	// Retain removes what is kept no longer.
	Retain(ctx context.Context) error
	// Listed copies a page of the catalog into the tenants' table. The listing began at that
	// time by the store's clock.
	Listed(ctx context.Context, page []*tenancy.Tenant, began time.Time) error
	// ListedAll ends a listing. Reports leave out tenants that were not in it; one of which
	// nothing was counted is removed, such as one that was forgotten while it was listed.
	ListedAll(ctx context.Context, began time.Time) error
	// Now returns the store's clock.
	Now(ctx context.Context) (time.Time, error)
}

// Lister lists tenants, as a catalog does.
type Lister interface {
	List(ctx context.Context, f tenancy.Filter) ([]*tenancy.Tenant, error)
}

// KeeperOptions are the options of a [Keeper].
type KeeperOptions struct {
	// Interval is how often the keeper works. Default: 1 minute.
	Interval time.Duration
	// Sizes measures tenants' databases, such as a dbpool.Pool. Default: nobody does.
	Sizes Sizer
	// SizeInterval is how old the size of a database may be. Measuring takes at most a
	// fiftieth of the time, so many databases may make it older. Default: 15 minutes.
	// Negative: never.
	SizeInterval time.Duration
	// Limits names the figures for which the keeper forecasts, once a day, when a tenant
	// reaches its limit, each with its key in the tenant's limits. Default: [DefaultLimits].
	// An empty map: no forecasts.
	Limits map[string]string
	// Logger records what goes wrong. Default: [slog.Default], asked each time.
	Logger *slog.Logger
}

// complete fills in defaults.
func (o *KeeperOptions) complete() error {
	if o.Interval < 0 {
		return fmt.Errorf("%w: Interval %v, want it not negative", tenancy.ErrInvalid, o.Interval)
	}
	o.Interval, o.SizeInterval = cmp.Or(o.Interval, time.Minute), cmp.Or(o.SizeInterval, 15*time.Minute)
	o.Logger = logs.Or(o.Logger)
	if o.Limits = maps.Clone(o.Limits); o.Limits == nil {
		o.Limits = DefaultLimits()
	}
	for name := range o.Limits {
		if f, err := parseField(name); err != nil || name != FigureStorage && (!f.isUsage || f.span != 0 || columnInfos[f.column].largest) {
			return fmt.Errorf("%w: a limit of %.60q, want storage, errors or a column that adds up", tenancy.ErrInvalid, name)
		}
	}
	return nil
}

// Keeper keeps a store: it rolls counts up, removes what is old, compares the tenants'
// table with the catalog, measures databases, and forecasts when limits are reached. Every
// instance may run a keeper; one works at a time.
type Keeper struct {
	store   Keepable
	catalog Lister
	opts    KeeperOptions
}

// NewKeeper returns a keeper of the store.
func NewKeeper(store Keepable, catalog Lister, opts *KeeperOptions) (*Keeper, error) {
	k := &Keeper{store: store, catalog: catalog}
	if opts != nil {
		k.opts = *opts
	}
	err := k.opts.complete()
	if err == nil && (store == nil || catalog == nil) {
		err = fmt.Errorf("%w: want a store and a catalog", tenancy.ErrInvalid)
	}
	if err != nil {
		return nil, tenancy.Wrap("analytics.NewKeeper", "", err)
	}
	return k, nil
}

// Run keeps the store until ctx ends; then it returns nil. What fails is logged and tried again.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(k.opts.Interval)
	defer tick.Stop()
	for {
		if err := k.Keep(ctx); err != nil && !errors.Is(err, tenancy.ErrLimited) && ctx.Err() == nil {
			k.opts.Logger.LogAttrs(ctx, slog.LevelError, "analytics: usage was not rolled up; the keeper tries again at its next round", slog.Any("error", err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Keep does everything once. While another instance keeps the store, the error
// wraps [tenancy.ErrLimited].
func (k *Keeper) Keep(ctx context.Context) error {
	err := k.store.Hold(ctx, func(ctx context.Context, up Upkeep) error {
		// One that fails does not keep the others from being done.
		return notLimited(errors.Join(k.list(ctx, up), up.RollUp(ctx), up.Retain(ctx), k.size(ctx, up), k.forecast(ctx, up)))
	})
	return tenancy.Wrap("analytics.Keeper.Keep", "", err)
}

// notLimited returns an error of the same text that does not wrap [tenancy.ErrLimited], which
// would say that another instance keeps the store: a catalog or a database without a free
// connection has errors that do.
func notLimited(err error) error {
	if errors.Is(err, tenancy.ErrLimited) {
		return fmt.Errorf("%w: %v", tenancy.ErrUnavailable, err) //nolint:errorlint // see above
	}
	return err
}

// list compares the tenants' table with the catalog.
func (k *Keeper) list(ctx context.Context, up Upkeep) error {
	began, err := up.Now(ctx)
	if err != nil {
		return err
	}
	const size = 1000
	for f := (tenancy.Filter{Limit: size}); ; {
		page, err := k.catalog.List(ctx, f)
		if err != nil {
			return err
		}
		if err := up.Listed(ctx, page, began); err != nil {
			return err
		}
		if len(page) < size {
			return up.ListedAll(ctx, began)
		}
		f.After = f.Next(page[len(page)-1])
	}
}
