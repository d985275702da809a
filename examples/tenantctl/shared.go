package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/drainredis"
	"github.com/artflow-studio/tenancy/maintenance/runredis"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// shared is what this program tells the service's instances through their Redis. Without one it is empty: instances then see a change when their
// caches load the tenant again, within a minute, and begin with a run when they look for one.
type shared struct {
	drains maintenance.DrainChannel
	bell   runs.Bell
}

// share tells the instances of each change of the catalog, through their Redis. What it opens is added to opened.
func share(ctx context.Context, at string, cat *catalog.Catalog, opened *closers) (s shared, err error) {
	if at == "" {
		return s, nil
	}
	client, err := redis(at)
	if err != nil {
		return s, err
	}
	*opened = append(*opened, func() error { client.Close(); return nil })
	namespace, err := cat.Namespace(ctx)
	if err != nil {
		return s, err
	}
	told, err1 := cache.NewRedis(cat, client, namespace, nil) // which tells the others of changes; nothing is looked up in it
	drains, err2 := drainredis.New(client, namespace)
	bell, err3 := runredis.New(client, namespace)
	if err := errors.Join(err1, err2, err3); err != nil {
		return s, err
	}
	*opened = append(*opened, told.Close)
	return shared{drains, bell}, nil
}

// redis opens the Redis at host:port, or at a URL.
func redis(at string) (rueidis.Client, error) {
	o := rueidis.ClientOption{InitAddress: []string{at}}
	if strings.Contains(at, "://") {
		var err error
		if o, err = rueidis.ParseURL(at); err != nil {
			return nil, fmt.Errorf("%w: --redis: want host:port, or a URL like redis://user:password@host:6379", tenancy.ErrInvalid)
		}
	}
	client, err := rueidis.NewClient(o)
	if err != nil {
		return nil, fmt.Errorf("%w: --redis: %w; with --redis= instances see changes within a minute", tenancy.ErrUnavailable, err)
	}
	return client, nil
}
