//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/cache"
	"github.com/artflow-studio/tenancy/internal/bench"
)

// replicaEnv is set for the processes of startReplica, to a task.
const replicaEnv = "TENANCY_BENCH_REPLICA"

// pause is between two looks of a replica.
const pause = 100 * time.Microsecond

// replica reads what to look for, a watch at a time. It prints a line when it has
// looked once, and one when it has seen it: the nanoseconds since 1970. At the end
// it prints how long there was between two looks.
func replica(ctx context.Context, text string) error {
	var of task
	if err := json.Unmarshal([]byte(text), &of); err != nil {
		return err
	}
	db, err := openPostgres(of.Postgres)
	if err != nil {
		return err
	}
	cat, err := catalog.New(db, nil)
	if err != nil {
		return err
	}
	var records *cache.Cache
	if of.Redis == "" {
		records, err = cache.New(cat, &cache.Options{Logger: quiet, TTL: time.Second, UnknownTTL: time.Second})
	} else {
		client, err := openRedis(of.Redis)
		if err != nil {
			return err
		}
		// Nothing is seen but by changes.
		opts := cache.Options{Logger: quiet, TTL: time.Hour, MaxAgeUnsynced: time.Hour, UnknownTTL: time.Hour}
		if records, err = cache.NewRedis(cat, client, namespace, &opts); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	go func() { _ = records.Run(ctx) }()
	for records.Stat().Unsynced {
		time.Sleep(time.Millisecond)
	}
	var gaps []time.Duration
	for in := json.NewDecoder(os.Stdin); ; {
		var w watch
		if err := in.Decode(&w); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		last := time.Now()
		for first := true; ; first = false {
			seen, err := w.look(ctx, records)
			if err != nil {
				return err
			}
			now := time.Now()
			if first {
				if seen {
					return fmt.Errorf("%+v is so already", w)
				}
				fmt.Println("looking")
			} else {
				gaps = append(gaps, now.Sub(last))
			}
			if last = now; seen {
				fmt.Println(now.UnixNano())
				break
			}
			time.Sleep(pause)
		}
	}
	fmt.Println(micro(bench.Percentile(gaps, 50)), micro(bench.Percentile(gaps, 99)), micro(bench.Percentile(gaps, 100)))
	return nil
}

// look reports whether what is watched for is so. A tenant must not grow older.
func (w *watch) look(ctx context.Context, cache *cache.Cache) (bool, error) {
	t, err := cache.Find(ctx, tenancy.Ref{Kind: tenancy.RefSlug, Value: w.Slug})
	if err != nil {
		return false, err
	}
	if t.Version < w.Version-1 {
		return false, fmt.Errorf("version %d after %d", t.Version, w.Version-1)
	}
	there := w.There
	if w.Domain != "" {
		_, err := cache.Find(ctx, tenancy.Ref{Kind: tenancy.RefDomain, Value: w.Domain})
		if err != nil && !errors.Is(err, tenancy.ErrNotFound) {
			return false, err
		}
		there = err == nil
	}
	return t.Version >= w.Version && there == w.There, nil
}
