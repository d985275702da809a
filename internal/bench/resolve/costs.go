//go:build unix

package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/resolver"
)

// runMemory prints what a known tenant takes in memory.
func (g *ground) runMemory(ctx context.Context) error {
	alone, inMap, err := g.plainMemory(ctx)
	if err != nil {
		return err
	}
	before := heap()
	cache, stop, err := g.warmCache(ctx, g.memory, still)
	if err != nil {
		return err
	}
	defer stop()
	inCache := heap() - before
	runtime.KeepAlive(cache)
	n := uint64(g.memory) // positive
	fmt.Printf("\nmemory at %d tenants, bytes for each: records alone %d, in a map by ID, slug and domain %d, in cache.Cache %d\n", n, alone/n, inMap/n, inCache/n)
	return nil
}

// plainMemory is what the records take, and what they take in a map.
func (g *ground) plainMemory(ctx context.Context) (alone, inMap uint64, err error) {
	before := heap()
	records, err := g.records(ctx, g.memory)
	if err != nil {
		return 0, 0, err
	}
	alone = heap() - before
	byRef := map[tenancy.Ref]*tenancy.Tenant{}
	for _, t := range records {
		byRef[tenancy.Ref{Kind: tenancy.RefID, Value: string(t.ID)}] = t
		byRef[tenancy.Ref{Kind: tenancy.RefSlug, Value: t.Slug}] = t
		byRef[tenancy.Ref{Kind: tenancy.RefDomain, Value: t.Domains[0]}] = t
	}
	inMap = heap() - before
	runtime.KeepAlive(byRef)
	return alone, inMap, nil
}

// records returns the first n records, as the catalog returns them.
func (g *ground) records(ctx context.Context, n int) ([]*tenancy.Tenant, error) {
	list := make([]*tenancy.Tenant, n)
	return list, crowd(8, n, func(i int) (err error) {
		list[i], err = g.inPG.Catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefSlug, Value: g.tenants[i].Slug})
		return err
	})
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // what was freed late
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// runBackends prints what requests cost the catalog and Redis, with the cache's own
// options.
func (g *ground) runBackends(ctx context.Context) error {
	known := min(10_000, len(g.tenants))
	cache, stop, err := g.warmCache(ctx, known, cache.Options{})
	if err != nil {
		return err
	}
	defer stop()
	subdomain, err := resolver.NewSubdomain([]string{base[1:]}, nil)
	if err != nil {
		return err
	}
	h := tenancy.Must(middleware.Tenant(cache, subdomain, &middleware.Options{Logger: quiet}))(nothing)
	time.Sleep(g.idle / 10) // what the cache is still storing in Redis

	fmt.Printf("\n%-36s %10s %9s %9s %9s %10s %12s  %s\n", "back-ends", "requests", "200", "404", "503", "SQL", "Redis", "of which, and in scripts")
	_, err = g.row(ctx, fmt.Sprintf("nobody asks, %v", g.idle), 0, func() map[int]int { time.Sleep(g.idle); return nil })
	if err != nil {
		return err
	}
	var hosts []string
	for _, t := range g.tenants[:known] {
		hosts = append(hosts, t.Slug+base)
	}
	hosts = draw(hosts)
	before := cache.Stat()
	took, err := g.row(ctx, fmt.Sprintf("%d tenants, warm", known), g.warm, func() map[int]int { return flood(h, 2, g.warm, func(i int) string { return hosts[i%len(hosts)] }) })
	if err != nil {
		return err
	}
	after := cache.Stat()
	fmt.Printf("%-36s in %v, with %d misses and %d loads; what Redis was asked is Run's\n", "", took.Round(time.Millisecond), after.Misses-before.Misses, after.Loads-before.Loads)
	ghost := func(i int) string { return fmt.Sprintf("ghost-%d%s", i, base) }
	took, err = g.row(ctx, "unknown hosts, each once", g.unknown, func() map[int]int { return flood(h, 10_000, g.unknown, ghost) })
	if err != nil {
		return err
	}
	fmt.Printf("%-36s in %v, Redis left alone: %v\n", "", took.Round(time.Millisecond), cache.Stat().RedisDown)
	time.Sleep(g.idle) // the tokens of the flood are made again
	again := func(i int) string { return fmt.Sprintf("spirit-%d%s", i%100, base) }
	_, err = g.row(ctx, "100 unknown hosts", g.unknown, func() map[int]int { return flood(h, 2, g.unknown, again) })
	return err
}

// row runs the requests and prints what was counted meanwhile.
func (g *ground) row(ctx context.Context, what string, n int, requests func() map[int]int) (time.Duration, error) {
	finds := g.inPG.finds.Load()
	before, err := g.commands(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	codes := requests()
	took := time.Since(began)
	after, err := g.commands(ctx)
	if err != nil {
		return 0, err
	}
	sent, scripts := 0, 0
	var each []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		d := after[name] - before[name]
		switch {
		case d == 0 || name == "info":
		case slices.Contains(inScripts, name):
			scripts += d
		default:
			sent += d
			each = append(each, fmt.Sprint(name, " ", d))
		}
	}
	fmt.Printf("%-36s %10d %9d %9d %9d %10d %12d  %s; %d\n", what, n, codes[0], codes[404], codes[503], g.inPG.finds.Load()-finds, sent, strings.Join(each, ", "), scripts)
	return took, nil
}

// inScripts are the commands that only the cache's script runs.
var inScripts = []string{"get", "set", "hmget", "hset", "pexpire", "time", "xadd"}

// commands is how often the server ran each command.
func (g *ground) commands(ctx context.Context) (map[string]int, error) {
	text, err := g.client.Do(ctx, g.client.B().Info().Section("commandstats").Build()).ToString()
	if err != nil {
		return nil, err
	}
	calls := map[string]int{}
	for line := range strings.Lines(text) {
		// cmdstat_get:calls=21,usec=175,...
		name, rest, _ := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		count, _, ok := strings.Cut(rest, ",")
		if n, err := strconv.Atoi(count); ok && err == nil {
			calls[name] = n
		}
	}
	return calls, nil
}

// flood sends n requests, by so many at a time, and returns how often each code was
// answered; 0 is that of the handler.
func flood(h http.Handler, workers, n int, host func(i int) string) map[int]int {
	var next atomic.Int64
	var mu sync.Mutex // guards codes
	codes := map[int]int{}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			r, _ := newRequest(context.Background())
			out := &answer{header: http.Header{}}
			mine := map[int]int{}
			for {
				i := int(next.Add(1) - 1)
				if i >= n {
					break
				}
				r.Host, out.code = host(i), 0
				clear(out.header)
				h.ServeHTTP(out, r)
				mine[out.code]++
			}
			mu.Lock()
			defer mu.Unlock()
			for code, count := range mine {
				codes[code] += count
			}
		})
	}
	wg.Wait()
	return codes
}
