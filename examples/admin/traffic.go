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

// traffic sends requests to the tenants that are served, as their users would: some tenants get many more than others, most requests
// read, some write, some log in, some go wrong. In every third minute one tenant is a noisy neighbour. It ends with ctx.
func traffic(ctx context.Context, addr string, rate int, served func(context.Context) ([]*tenancy.Tenant, error)) error {
	if rate <= 0 {
		return nil
	}
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) // not a secret
	client := &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	slots := make(chan struct{}, 8) // a slow service gets less, and not a queue
	var tenants []*tenancy.Tenant
	var popular *rand.Zipf
	for n := 0; ; n++ {
		if n%(5*rate) == 0 || len(tenants) == 0 { // some were made, some are suspended
			if found, err := served(ctx); err == nil && len(found) > 0 {
				tenants, popular = found, rand.NewZipf(random, 1.3, 1, uint64(len(found)-1))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if len(tenants) == 0 {
			continue
		}
		slugs := []string{tenants[popular.Uint64()].Slug}
		if minute := int(time.Now().Unix() / 60); minute%3 == 0 {
			noisy := tenants[minute%len(tenants)].Slug
			slugs = append(slugs, noisy, noisy, noisy)
		}
		for _, slug := range slugs {
			select {
			case slots <- struct{}{}:
				method, path, body := request(random)
				go func() {
					defer func() { <-slots }()
					send(ctx, client, method, fmt.Sprintf("http://%s/t/%s%s", addr, slug, path), body)
				}()
			default:
			}
		}
	}
}

// request returns a request as a user would send one.
func request(random *rand.Rand) (method, path, body string) {
	switch n := random.IntN(1000); {
	case n < 150:
		return http.MethodPost, "/notes", strings.Repeat("note ", 1+random.IntN(200))
	case n < 152:
		return http.MethodPost, "/notes", strings.Repeat("upload ", 4000)
	case n < 180:
		return http.MethodPost, "/notes", "" // an empty note: 400
	case n < 210:
		return http.MethodGet, "/missing", ""
	case n < 240:
		password := "demo"
		if n < 213 {
			password = "wrong"
		}
		return http.MethodPost, fmt.Sprintf("/login?user=user-%d&password=%s", random.IntN(20), password), ""
	}
	return http.MethodGet, "/notes", ""
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
