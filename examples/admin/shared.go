package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/jmoiron/sqlx"
	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/drainredis"
	"github.com/artflow-studio/tenancy/maintenance/runredis"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
)

// openControl opens the database of the control plane: a file in -data, or one of its own on -server, which all instances with the same
// flags share.
func openControl(ctx context.Context, f *flags, engine driver.Engine) (*sqlx.DB, error) {
	if f.server == "" {
		return sqlite.Open(filepath.Join(f.data, "control.db"))
	}
	if err := engine.(driver.Databases).Create(ctx, f.control, controlOwner); err != nil && !errors.Is(err, tenancy.ErrExists) {
		return nil, err
	}
	to, err := engine.Connector(f.control)
	if err != nil {
		return nil, err
	}
	db := sqlx.NewDb(sql.OpenDB(to), engine.DriverName())
	db.SetMaxOpenConns(20)
	return db, nil
}

// controlOwner is marked as the owner of the database, so that no tenant takes it.
const controlOwner = tenancy.ID("control-plane")

// shared is what instances tell each other, and count together.
type shared struct {
	feed    analytics.Feed
	limiter ratelimit.Limiter
	drains  maintenance.DrainChannel // nil without Redis: a drain waits until all instances have seen the change
	bell    runs.Bell                // nil without Redis: instances look for work every second
}

// share opens the cache, the feed and the limiter: through Redis if there is one; otherwise in this process, and the feed in a database
// that instances share.
func (a *app) share(ctx context.Context, f *flags) (err error) {
	if f.redis == "" {
		a.shared = shared{feed: analytics.NewMemoryFeed(), limiter: ratelimit.NewMemory(nil)}
		if f.server != "" {
			if a.feed, err = analytics.NewSQLFeed(a.db, nil); err != nil {
				return err
			}
		}
		a.cache, err = cache.New(a.catalog, nil)
		return err
	}
	// What instances share in Redis is in a namespace of this catalog.
	namespace, err := a.catalog.Namespace(ctx)
	if err != nil {
		return err
	}
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{f.redis}})
	if err != nil {
		return fmt.Errorf("-redis: %w", err)
	}
	a.closers = append(a.closers, func() error { client.Close(); return nil })
	var err1, err2, err3 error
	drains, err4 := drainredis.New(client, namespace)
	bell, err5 := runredis.New(client, namespace)
	a.drains, a.bell = drains, bell
	a.cache, err1 = cache.NewRedis(a.catalog, client, namespace, nil)
	a.feed, err2 = analytics.NewRedisFeed(client, namespace, nil)
	a.limiter, err3 = ratelimit.NewRedis(client, namespace, nil)
	return errors.Join(err1, err2, err3, err4, err5)
}
