//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
)

const (
	processes = 4
	perSecond = 500 // the limit
)

// tally is what one process counts.
type tally struct {
	Asked, Passed, Errors int
	First, Last           int64 // when the first and the last request were sent, Unix time in nanoseconds
}

func measureAccuracy(ctx context.Context, address string) error {
	for range *rounds {
		var wg sync.WaitGroup
		var all [processes]tally
		var errs [processes]error
		start := time.Now().Add(2 * time.Second)
		for i := range processes {
			wg.Go(func() {
				cmd := exec.CommandContext(ctx, os.Args[0], append(os.Args[1:], "-child", "accuracy")...)
				cmd.Env = append(os.Environ(), "LIMITS_REDIS="+address, "LIMITS_START="+start.Format(time.RFC3339Nano))
				cmd.Stderr = os.Stderr
				out, err := cmd.Output()
				if err == nil {
					err = json.Unmarshal(out, &all[i])
				}
				errs[i] = err
			})
		}
		wg.Wait()
		var sum tally
		for i, t := range all {
			if errs[i] != nil {
				return errs[i]
			}
			sum.Asked, sum.Passed, sum.Errors = sum.Asked+t.Asked, sum.Passed+t.Passed, sum.Errors+t.Errors
			if sum.First == 0 || t.First < sum.First {
				sum.First = t.First
			}
			sum.Last = max(sum.Last, t.Last)
		}
		took := time.Duration(sum.Last - sum.First)
		yield := perSecond * took.Seconds()
		fmt.Printf("%d processes for %.2fs: asked %d (%.2f times the limit), passed %d of %d + %.0f: %+.3f%%; %d errors\n", processes, took.Seconds(),
			sum.Asked, float64(sum.Asked)/yield, sum.Passed, burst, yield, 100*(float64(sum.Passed)/(burst+yield)-1), sum.Errors)
		if err := forget(ctx, address); err != nil {
			return err
		}
	}
	return nil
}

const burst = perSecond / 10

func forget(ctx context.Context, address string) error {
	client, err := connect(address)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Do(ctx, client.B().Flushall().Build()).Error()
}

// accuracyChild asks at its part of twice the limit.
func accuracyChild(ctx context.Context) error {
	client, err := connect(os.Getenv("LIMITS_REDIS"))
	if err != nil {
		return err
	}
	defer client.Close()
	limiter, err := ratelimit.NewRedis(client, "bench", &ratelimit.RedisOptions{Instances: -1, Timeout: 10 * time.Second})
	if err != nil {
		return err
	}
	start, err := time.Parse(time.RFC3339Nano, os.Getenv("LIMITS_START"))
	if err != nil {
		return err
	}
	ctx = tenancy.NewContext(ctx, newTenant(1))
	d := seconds(60, 10)
	const every = time.Second * processes / (2 * perSecond)
	var t tally
	for i := 0; ; i++ {
		due := start.Add(time.Duration(i) * every)
		if due.Sub(start) >= d {
			break
		}
		time.Sleep(time.Until(due))
		now := time.Now().UnixNano()
		if t.First == 0 {
			t.First = now
		}
		ok, err := limiter.Take(ctx, []ratelimit.Limit{{Rate: ratelimit.Rate{Limit: perSecond, Burst: burst}}})
		t.Asked++
		t.Last = time.Now().UnixNano()
		switch {
		case err != nil:
			t.Errors++
		case ok:
			t.Passed++
		}
	}
	return json.NewEncoder(os.Stdout).Encode(t)
}
