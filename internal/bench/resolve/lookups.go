//go:build unix

package main

import (
	"context"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog/cache"
)

// still are the options of a cache that asks nobody while it is measured.
var still = cache.Options{TTL: time.Hour}

// runLookups prints a row for each size and side.
func (g *ground) runLookups(ctx context.Context) error {
	header("look-up", "of map")
	for _, n := range g.sizes {
		cache, stop, err := g.warmCache(ctx, n, still)
		if err != nil {
			return err
		}
		sides, order := g.lookups(cache, n)
		slugs := make([]string, n)
		for i := range slugs {
			slugs[i] = g.tenants[i].Slug
		}
		list := draw(slugs)
		t := table{}
		err = t.fill(g.rounds, order, func(side string, threads int) (cell, error) {
			return measure(g.length, threads, 512, list, func() func(*worker, int) { return sides[side] })
		})
		stop()
		if err != nil {
			return err
		}
		t.print(n, order[:3], order[0])
		t.print(n, order[3:], order[3])
	}
	return nil
}

// lookups are the ways from a slug to a record. Each has a loop of its own, so that
// nothing stands between it and what it measures.
func (g *ground) lookups(cache *cache.Cache, n int) (sides map[string]func(*worker, int), order []string) {
	plain := map[string]*tenancy.Tenant{}
	for _, t := range g.tenants[:n] {
		plain[t.Slug] = t
	}
	var mu sync.RWMutex // guards plain
	sides = map[string]func(*worker, int){
		"plain map": func(w *worker, n int) {
			for range n {
				w.got(plain[w.next()])
			}
		},
		"RWMutex map": func(w *worker, n int) {
			for range n {
				mu.RLock()
				t := plain[w.next()]
				mu.RUnlock()
				w.got(t)
			}
		},
		"cache.Cache": func(w *worker, n int) {
			ctx := context.Background()
			for range n {
				t, _ := cache.Find(ctx, tenancy.Ref{Kind: tenancy.RefSlug, Value: w.next()})
				w.got(t)
			}
		},
	}
	order = []string{"plain map", "RWMutex map", "cache.Cache"}
	for _, name := range order[:3] {
		sides[name+", in turn"] = func(w *worker, n int) {
			w.inTurn = true
			sides[name](w, n)
		}
		order = append(order, name+", in turn")
	}
	return sides, order
}
