// Package runredis carries the news of runs through Redis, for [runs.Options].Bell: those
// who follow a run hear of it at once, and instances begin with a run as soon as it is
// started. Without Redis all of that happens within [runs.Options].Poll.
package runredis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/rediskit"
)

// Bell is a [runs.Bell] on Redis 5 or later, alone or a cluster. It uses the channel
// tenancy:runredis:NAMESPACE:bell and no keys. A client that may publish there can show a wrong
// progress for a moment, and nothing more: runs themselves are in SQL. A user of Redis
// needs PUBLISH and SUBSCRIBE on it, and PING for [Bell.Check].
type Bell struct {
	client  rueidis.Client
	channel string
}

// New returns a bell for those who share a Redis and a namespace, that of
// catalog.Catalog.Namespace. It asks Redis for nothing. The caller closes the client.
// Without a client, or with a malformed namespace, the error wraps [tenancy.ErrInvalid].
func New(client rueidis.Client, namespace string) (*Bell, error) {
	const op = "runredis.New"
	if client == nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: no client", tenancy.ErrInvalid))
	}
	prefix, err := rediskit.Prefix("runredis", namespace)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return &Bell{client, prefix + "bell"}, nil
}

// timeout bounds how long a call waits for Redis.
const timeout = 5 * time.Second

// Check returns an error that wraps [tenancy.ErrUnavailable] if Redis does not answer within 5 seconds. Runs go on without Redis: news of them
// then takes [runs.Options].Poll.
func (b *Bell) Check(ctx context.Context) error {
	err := rediskit.Within(ctx, timeout, func(ctx context.Context) rueidis.RedisResult {
		return b.client.Do(ctx, b.client.B().Ping().Build())
	}).Error()
	return tenancy.Wrap("runredis.Bell.Check", "", rediskit.Failure(ctx, err))
}

// Ring implements [runs.Bell]. It waits for Redis for up to 5 seconds.
func (b *Bell) Ring(ctx context.Context, message []byte) error {
	text := string(message) // the client may read it after Ring has returned
	err := rediskit.Within(ctx, timeout, func(ctx context.Context) rueidis.RedisResult {
		return b.client.Do(ctx, b.client.B().Publish().Channel(b.channel).Message(text).Build())
	}).Error()
	return tenancy.Wrap("runredis.Bell.Ring", "", rediskit.Failure(ctx, err))
}

// Listen implements [runs.Bell].
func (b *Bell) Listen(ctx context.Context, ready func(), heard func(message []byte)) error {
	// The client may call back after its context has ended, and does not always return then: see rediskit.Within.
	var mu sync.Mutex // held while the client calls back; guards over
	over := false
	back := func(call func()) {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			call()
		}
	}
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
	}()
	hooked := rueidis.WithOnSubscriptionHook(ctx, func(s rueidis.PubSubSubscription) {
		if s.Kind == "subscribe" {
			back(ready)
		}
	})
	done := make(chan error, 1)
	go func() {
		done <- b.client.Receive(hooked, b.client.B().Subscribe().Channel(b.channel).Build(), func(m rueidis.PubSubMessage) {
			back(func() { heard([]byte(m.Message)) })
		})
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
	}
	if err == nil {
		err = errors.New("the subscription has ended")
	}
	return tenancy.Wrap("runredis.Bell.Listen", "", rediskit.Failure(ctx, err))
}
