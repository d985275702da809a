package analytics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Sizer measures databases, as dbpool.Pool does.
type Sizer interface {
	// Size returns the bytes of the tenant's database.
	Size(ctx context.Context, t *tenancy.Tenant) (int64, error)
}

// SizeStore is the optional ability of an [Upkeep] to keep sizes of databases.
type SizeStore interface {
	// Unsized returns tenants that have a database whose size was not measured since that
	// time: those that were never measured first, then the oldest.
	Unsized(ctx context.Context, since time.Time, limit int) ([]tenancy.ID, error)
	// Sized keeps sizes.
	Sized(ctx context.Context, sizes []Size) error
}

// Size is that of a tenant's database. Bytes is negative if it could not be measured: then
// the size that is known stays, and it is tried again when its turn comes.
type Size struct {
	Tenant tenancy.ID
	Bytes  int64
	At     time.Time
}

// sizesAtOnce is how many databases are looked for at a time.
const sizesAtOnce = 100

// size measures databases whose turn it is, for a fiftieth of the interval at most.
func (k *Keeper) size(ctx context.Context, up Upkeep) error {
	store, ok := up.(SizeStore)
	if !ok || k.opts.Sizes == nil || k.opts.SizeInterval < 0 {
		return nil
	}
	began := time.Now()
	for time.Since(began) < k.opts.Interval/50 {
		now, err := up.Now(ctx)
		if err != nil {
			return err
		}
		ids, err := store.Unsized(ctx, now.Add(-k.opts.SizeInterval), sizesAtOnce)
		if err != nil || len(ids) == 0 {
			return err
		}
		tenants, err := k.catalog.List(ctx, tenancy.Filter{IDs: ids, Limit: len(ids)})
		if err != nil {
			return err
		}
		// In the order of the store, or the last ones of the catalog's order would never have their turn.
		found := make(map[tenancy.ID]*tenancy.Tenant, len(tenants))
		for _, t := range tenants {
			found[t.ID] = t
		}
		sizes := make([]Size, 0, len(ids))
		for _, id := range ids {
			if time.Since(began) >= k.opts.Interval/50 && len(sizes) > 0 {
				break
			}
			if t := found[id]; t != nil {
				sizes = append(sizes, k.sizeOf(ctx, t, now))
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(sizes) == 0 {
			return nil // none is in the catalog any more
		}
		if err := store.Sized(ctx, sizes); err != nil {
			return err
		}
	}
	return nil
}

// sizeOf measures one database. One that is not active may have no database.
func (k *Keeper) sizeOf(ctx context.Context, t *tenancy.Tenant, now time.Time) Size {
	n, err := k.opts.Sizes.Size(ctx, t)
	if err != nil {
		if !errors.Is(err, tenancy.ErrNotFound) && !errors.Is(err, tenancy.ErrNotActive) && ctx.Err() == nil {
			k.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "analytics: a database was not measured; it is tried again later",
				slog.String("tenant", string(t.ID)), slog.Any("error", err))
		}
		n = -1
	}
	return Size{t.ID, n, now}
}

// check reports a size that cannot be.
func (s *Size) check() error {
	if s.At.IsZero() {
		return fmt.Errorf("%w: size of %s without a time", tenancy.ErrInvalid, s.Tenant)
	}
	return nil
}
