//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
	"github.com/artflow-studio/tenancy/resolver"
)

const (
	limitOfA = 40 // requests in a second
	times    = 50 // what A sends of it
	rateOfB  = 100
)

// finder finds tenants by their slugs.
type finder map[string]*tenancy.Tenant

func (f finder) Find(_ context.Context, ref tenancy.Ref) (*tenancy.Tenant, error) {
	if t, ok := f[ref.Value]; ok && ref.Kind == tenancy.RefSlug {
		return t, nil
	}
	return nil, tenancy.ErrNotFound
}

// service is that of tenants A and B.
func service(limits bool) http.Handler {
	quiet := middleware.Options{Logger: slog.New(slog.DiscardHandler)}
	tenants := finder{}
	for slug, n := range map[string]int64{"a": limitOfA * 60, "b": 10 * rateOfB * 60} {
		tenants[slug] = &tenancy.Tenant{ID: tenancy.ID(slug), Slug: slug, Status: tenancy.StatusActive,
			Limits: map[string]int64{"rate.tenant": n, "burst.tenant": n / 60}}
	}
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(2 * time.Millisecond)
		for began := time.Now(); time.Since(began) < time.Millisecond; {
		}
		_, _ = io.WriteString(w, "done")
	})
	if limits {
		h = middleware.Concurrency(&middleware.ConcurrencyOptions{Options: quiet, Max: 20})(h)
		h = tenancy.Must(middleware.RateLimit(ratelimit.NewMemory(nil), &middleware.RateLimitOptions{Options: quiet}))(h)
	}
	by := tenancy.Must(resolver.NewHeader("X-Tenant", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil))
	return tenancy.Must(middleware.Tenant(tenants, by, &quiet))(h)
}

func measureNoisy(ctx context.Context) error {
	rows := []struct {
		name          string
		limits, withA bool
		p50, p99      []float64
	}{
		{name: "B alone", limits: true},
		{name: "B beside A, limited", limits: true, withA: true},
		{name: "B beside A, no limits", withA: true},
	}
	var ratios, worse []float64
	for range *rounds {
		for i := range rows {
			row := &rows[i]
			p50, p99, answers, err := noisyRun(ctx, row.limits, row.withA)
			if err != nil {
				return err
			}
			row.p50, row.p99 = append(row.p50, p50), append(row.p99, p99)
			fmt.Printf("  %-24s p50 %.2f ms, p99 %.2f ms; A's answers: %v\n", row.name, p50, p99, answers)
		}
		n := len(rows[0].p99) - 1
		ratios, worse = append(ratios, rows[1].p99[n]/rows[0].p99[n]), append(worse, rows[2].p99[n]/rows[0].p99[n])
	}
	for _, row := range rows {
		fmt.Printf("%-24s p50 %s ms, p99 %s ms\n", row.name, spread("%.2f", row.p50), spread("%.2f", row.p99))
	}
	fmt.Printf("p99 with A, limited: %s times that of B alone; no limits: %s times\n", spread("%.2f", ratios), spread("%.2f", worse))
	return nil
}

// noisyRun returns the times of B in milliseconds, and what A was answered.
func noisyRun(ctx context.Context, limits, withA bool) (p50, p99 float64, answers map[string]int, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, nil, err
	}
	srv := &http.Server{Handler: service(limits)}
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()
	child := func(args string) (out report, err error) {
		cmd := exec.CommandContext(ctx, os.Args[0], append(os.Args[1:], "-child", "noisy")...)
		cmd.Env = append(os.Environ(), "LIMITS_ADDRESS=http://"+l.Addr().String(), "LIMITS_TENANT="+args)
		cmd.Stderr = os.Stderr
		text, err := cmd.Output()
		if err == nil {
			err = json.Unmarshal(text, &out)
		}
		return out, err
	}
	var a, b report
	var errA, errB error
	var wg sync.WaitGroup
	wg.Go(func() { b, errB = child("b") })
	if withA {
		wg.Go(func() { a, errA = child("a") })
	}
	wg.Wait()
	if err := errors.Join(errA, errB); err != nil {
		return 0, 0, nil, err
	}
	if b.Answers["200"] < len(b.Times)*99/100 {
		return 0, 0, nil, fmt.Errorf("tenant B was answered %v", b.Answers)
	}
	slices.Sort(b.Times)
	at := func(q float64) float64 { return float64(b.Times[int(q*float64(len(b.Times)))].Microseconds()) / 1000 }
	return at(.5), at(.99), a.Answers, nil
}

// report is what the clients of a tenant saw.
type report struct {
	Times   []time.Duration
	Answers map[string]int
}

// noisyChild sends the requests of a tenant.
func noisyChild(ctx context.Context) error {
	tenant, rate := os.Getenv("LIMITS_TENANT"), rateOfB
	if tenant == "a" {
		rate = limitOfA * times
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}, Timeout: 30 * time.Second}
	out := report{Answers: map[string]int{}}
	var mu sync.Mutex // guards out
	var wg sync.WaitGroup
	warm, d := seconds(2, 1), seconds(20, 4)
	began := time.Now()
	for due := began; due.Sub(began) < warm+d; due = due.Add(time.Duration(rand.ExpFloat64() * float64(time.Second) / float64(rate))) {
		time.Sleep(time.Until(due))
		wg.Go(func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, os.Getenv("LIMITS_ADDRESS")+"/", nil)
			if err != nil {
				return
			}
			r.Header.Set("X-Tenant", tenant)
			res, err := client.Do(r)
			answer := "error"
			if err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				answer = fmt.Sprint(res.StatusCode)
			}
			mu.Lock()
			defer mu.Unlock()
			if due.Sub(began) > warm {
				out.Times = append(out.Times, time.Since(due))
				out.Answers[answer]++
			}
		})
	}
	wg.Wait()
	if tenant == "a" {
		out.Times = nil
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}
