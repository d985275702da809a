//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	"github.com/jmoiron/sqlx"
	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

// quiet is for what is meant to fail.
var quiet = slog.New(slog.DiscardHandler)

// ground is what all sides are measured on: two catalogs and a Redis with the same
// tenants.
type ground struct {
	config
	dir      string
	servers  []*testserver.Server
	postgres string // addresses
	redis    string
	client   rueidis.Client
	inPG     *counted
	inFile   *catalog.Catalog
	dbs      []*sqlx.DB
	tenants  []*tenancy.Tenant
}

// counted is a catalog that counts what it is asked.
type counted struct {
	*catalog.Catalog
	finds atomic.Int64
}

// Find implements [tenancy.Finder].
func (c *counted) Find(ctx context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	c.finds.Add(1)
	return c.Catalog.Find(ctx, ref)
}

// prepare starts the servers and makes the tenants.
func prepare(ctx context.Context, c config) (_ *ground, err error) {
	g := &ground{config: c}
	if g.dir, err = os.MkdirTemp(c.dir, "tenancy-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	if err := os.Chmod(g.dir, 0o755); err != nil { // the servers run as another user
		return nil, err
	}
	for engine, address := range map[testserver.Engine]*string{testserver.Postgres: &g.postgres, testserver.Redis: &g.redis} {
		s, err := testserver.Start(ctx, engine, g.dir, nil)
		if err != nil {
			return nil, err
		}
		g.servers = append(g.servers, s)
		*address = s.URL
	}
	if g.client, err = openRedis(g.redis); err != nil {
		return nil, err
	}
	db, err := openPostgres(g.postgres)
	if err != nil {
		return nil, err
	}
	file, err := sqlite.Open(filepath.Join(g.dir, "catalog.db"))
	if err != nil {
		return nil, err
	}
	g.dbs = []*sqlx.DB{db, file}
	inPG, err := catalog.New(db, nil)
	if err != nil {
		return nil, err
	}
	g.inPG = &counted{Catalog: inPG}
	if g.inFile, err = catalog.New(file, nil); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := g.makeTenants(ctx, max(g.memory, slices.Max(g.sizes))); err != nil {
		return nil, err
	}
	fmt.Printf("%d tenants made in %v, %d rounds of %v\n", len(g.tenants), time.Since(began).Round(100*time.Millisecond), g.rounds, g.length)
	_, err = db.ExecContext(ctx, `VACUUM ANALYZE`)
	return g, err
}

func openPostgres(address string) (*sqlx.DB, error) {
	db, err := sqlx.Open("pgx", address)
	if err == nil {
		db.SetMaxOpenConns(16)
		db.SetMaxIdleConns(16)
	}
	return db, err
}

func openRedis(address string) (rueidis.Client, error) {
	opts, err := rueidis.ParseURL(address)
	if err != nil {
		return nil, err
	}
	return rueidis.NewClient(opts)
}

const (
	base     = ".example.com"
	own      = ".example.org" // the tenants' own domains
	redisKey = "bench:"
)

func newTenant(i int) *tenancy.Tenant {
	slug := fmt.Sprintf("tenant-%06d", i)
	return &tenancy.Tenant{
		Slug: slug, Name: fmt.Sprintf("Tenant number %d", i), Status: tenancy.StatusActive, Domains: []string{slug + own},
		Placement: tenancy.Placement{Server: "main", Database: slug}, Plan: "standard",
		Limits:   map[string]int64{"users": 25, "requests": 1000},
		Settings: map[string]string{"locale": "en", "theme": "dark"},
	}
}

// makeTenants puts n tenants into both catalogs and into Redis.
func (g *ground) makeTenants(ctx context.Context, n int) error {
	if err := errors.Join(g.inPG.Migrate(ctx), g.inFile.Migrate(ctx)); err != nil {
		return err
	}
	g.tenants = make([]*tenancy.Tenant, n)
	err := crowd(8, n, func(i int) (err error) {
		if g.tenants[i], err = g.inPG.Create(ctx, newTenant(i)); err != nil {
			return err
		}
		text, err := json.Marshal(g.tenants[i])
		if err != nil {
			return err
		}
		return g.client.Do(ctx, g.client.B().Set().Key(redisKey+g.tenants[i].Slug).Value(string(text)).Build()).Error()
	})
	if err != nil {
		return err
	}
	return crowd(1, n, func(i int) error {
		_, err := g.inFile.Create(ctx, g.tenants[i])
		return err
	})
}

// crowd calls do for each number below n, by so many at a time.
func crowd(workers, n int, do func(i int) error) error {
	var next atomic.Int64
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for errs[w] == nil {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				errs[w] = do(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// namespace is that of all keys in Redis.
const namespace = "bench"

// warmCache returns a cache that runs and has the first n tenants, and what ends it.
func (g *ground) warmCache(ctx context.Context, n int, opts cache.Options) (*cache.Cache, func(), error) {
	opts.Logger = quiet
	cache, err := cache.NewRedis(g.inPG, g.client, namespace, &opts)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = cache.Run(ctx) })
	stop := func() {
		cancel()
		running.Wait()
		_ = cache.Close()
	}
	for cache.Stat().Unsynced && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	err = crowd(16, n, func(i int) error {
		_, err := cache.Find(ctx, tenancy.Ref{Kind: tenancy.RefSlug, Value: g.tenants[i].Slug})
		return err
	})
	if err == nil && cache.Stat().Tenants != n {
		err = fmt.Errorf("the cache has %d tenants, want %d", cache.Stat().Tenants, n)
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return cache, stop, nil
}

// close stops the servers and removes their data.
func (g *ground) close() error {
	for _, db := range g.dbs {
		_ = db.Close()
	}
	if g.client != nil {
		g.client.Close()
	}
	var errs []error
	for _, s := range g.servers {
		errs = append(errs, s.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(g.dir))...)
}
