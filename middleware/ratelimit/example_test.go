package ratelimit_test

import (
	"context"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/middleware/ratelimit"
)

func ExampleMemory() {
	limiter := ratelimit.NewMemory(nil)
	ctx := tenancy.NewContext(context.Background(), &tenancy.Tenant{ID: "acme"})

	for range 3 {
		limits := []ratelimit.Limit{
			{Kind: ratelimit.Tenant, Rate: ratelimit.PerMinute(600)},
			{Kind: ratelimit.Key, Key: "key-7", Rate: ratelimit.Rate{Limit: 60, Period: time.Minute, Burst: 2}},
		}
		passes, err := limiter.Take(ctx, limits)
		fmt.Println(passes, err, limits[0].Remaining, limits[1].Remaining, limits[1].After.Round(time.Second))
	}
	// Output:
	// true <nil> 599 1 1s
	// true <nil> 598 0 1s
	// false <nil> 598 0 1s
}
