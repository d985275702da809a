package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
)

// traffic sends requests to the tenants, as their users would: some tenants get many more than others, most requests read, some write,
// some go wrong. It ends with ctx.
func traffic(ctx context.Context, addr string, rate int, tenants []*tenancy.Tenant) error {
	if rate <= 0 {
		return nil
	}
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) //nolint:gosec // not a secret
	popular := rand.NewZipf(random, 1.3, 1, uint64(len(tenants)-1))
	client := &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	slots := make(chan struct{}, 8) // a slow service gets less, and not a queue
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		method, path, body := http.MethodGet, "/notes", ""
		switch n := random.IntN(100); {
		case n < 15:
			method, body = http.MethodPost, strings.Repeat("note ", 1+random.IntN(200))
		case n < 18:
			method = http.MethodPost // an empty note: 400
		case n < 21:
			path = "/missing"
		}
		url := fmt.Sprintf("http://%s/t/%s%s", addr, tenants[popular.Uint64()].Slug, path)
		select {
		case slots <- struct{}{}:
			go func() {
				defer func() { <-slots }()
				send(ctx, client, method, url, body)
			}()
		default:
		}
	}
}

// send sends a request and reads its answer, whatever that is.
func send(ctx context.Context, client *http.Client, method, url, body string) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return
	}
	res, err := client.Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
}
