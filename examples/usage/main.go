// Usage serves three tenants, sends requests to them, and prints what they used, with the
// method of each figure.
//
//	go run ./examples/usage
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil))) // the requests that fail here are meant to
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "usage:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	data, err := os.MkdirTemp("", "usage-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	db, err := sqlite.Open(filepath.Join(data, "service.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	cat, err1 := catalog.New(db, nil)
	store, err2 := analytics.NewSQL(db, nil)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if err := errors.Join(cat.Migrate(ctx), store.Migrate(ctx)); err != nil {
		return err
	}
	tenants, err := sqlite.New(filepath.Join(data, "tenants"))
	if err != nil {
		return err
	}
	feed := analytics.NewMemoryFeed()
	rec, err1 := analytics.NewRecorder(store, &analytics.Options{Feed: feed, Instance: "example", Counts: []string{"emails"}})
	keeper, err2 := analytics.NewKeeper(store, cat, nil)
	reports, err3 := analytics.NewReports(store, &analytics.ReportsOptions{Feed: feed, Catalog: cat})
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	pool, err := dbpool.New(map[string]driver.Engine{"main": tenants}, &dbpool.Options{Observer: rec})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	rec.Attach(pool)
	stopWatching := cat.Watch(func(ctx context.Context, c catalog.Change) { rec.Changed(ctx, c.Before, c.After, c.Err) })
	defer stopWatching()
	beside, end := context.WithCancel(context.WithoutCancel(ctx))
	var working sync.WaitGroup
	defer func() { end(); working.Wait() }()
	for _, work := range []func(context.Context) error{rec.Run, keeper.Run, reports.Run} {
		working.Go(func() { _ = work(beside) })
	}
	for _, t := range []*tenancy.Tenant{
		{Slug: "acme", Plan: "gold", Tags: []string{"eu"}, Limits: map[string]int64{analytics.TargetLimit: 10}}, {Slug: "globex", Tags: []string{"eu"}}, {Slug: "initech"},
	} {
		t.Status, t.Placement = tenancy.StatusActive, tenancy.Placement{Server: "main", Database: t.Slug}
		if t, err = cat.Create(ctx, t); err == nil {
			err = tenants.Create(ctx, t.Placement.Database, t.ID)
		}
		if err != nil {
			return err
		}
	}
	resolve := tenancy.Must(resolver.NewSubdomain([]string{"localhost"}, nil))
	tenantOnly := tenancy.Must(middleware.Tenant(cat, resolve, nil))
	url, err := serve(beside, &working, rec.Handler(tenantOnly(pages(rec, pool))))
	if err != nil {
		return err
	}
	if err := send(ctx, url); err != nil {
		return err
	}
	if err := errors.Join(rec.Flush(ctx), keeper.Keep(ctx)); err != nil && !errors.Is(err, tenancy.ErrLimited) { // or wait for ten seconds
		return err
	}
	return show(ctx, out, reports)
}

// serve listens on a free port until ctx ends.
func serve(ctx context.Context, working *sync.WaitGroup, h http.Handler) (url string, err error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	working.Go(func() { _ = srv.Serve(ln) })
	working.Go(func() { <-ctx.Done(); _ = srv.Close() })
	return "http://" + ln.Addr().String(), nil
}

// send asks for pages of the tenants.
func send(ctx context.Context, url string) error {
	for _, ask := range []struct {
		host, path string
		n          int
	}{
		{"acme.localhost", "/", 60}, {"acme.localhost", "/slow", 15}, {"globex.localhost", "/", 20}, {"globex.localhost", "/broken", 5},
		{"initech.localhost", "/", 2}, {"nobody.localhost", "/", 3},
	} {
		for range ask.n {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+ask.path, nil)
			if err != nil {
				return err
			}
			r.Host = ask.host
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				return err
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	}
	return nil
}
