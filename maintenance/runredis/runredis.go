// Package runredis carries the news of runs through Redis, for [runs.Options].Bell: those
// who follow a run hear of it at once, and instances begin with a run as soon as it is
// started. Without Redis all of that happens within [runs.Options].Poll.
package runredis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/rediskit"
)

// Bell is a [runs.Bell] on Redis 5 or later, alone or a cluster. It uses the channel
// tenancy:runs:NAMESPACE:bell and no keys. A client that may publish there can show a wrong
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
	prefix, err := rediskit.Prefix("runs", namespace)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return &Bell{client, prefix + "bell"}, nil
}

// checkTimeout bounds how long Check waits for Redis.
const checkTimeout = 5 * time.Second

// Check returns an error that wraps [tenancy.ErrUnavailable] if Redis does not answer within 5 seconds. Runs go on without Redis: news of them
// then takes [runs.Options].Poll.
func (b *Bell) Check(ctx context.Context) error {
	err := rediskit.Within(ctx, checkTimeout, func(ctx context.Context) rueidis.RedisResult {
		return b.client.Do(ctx, b.client.B().Ping().Build())
	}).Error()
	return failure("runredis.Bell.Check", err)
}

// Ring implements [runs.Bell].
func (b *Bell) Ring(ctx context.Context, message []byte) error {
	err := b.client.Do(ctx, b.client.B().Publish().Channel(b.channel).Message(rueidis.BinaryString(message)).Build()).Error()
	return failure("runredis.Bell.Ring", err)
}

// Listen implements [runs.Bell].
func (b *Bell) Listen(ctx context.Context, ready func(), heard func(message []byte)) error {
	var over atomic.Bool // the client may call back for a moment after it has returned
	defer over.Store(true)
	hooked := rueidis.WithOnSubscriptionHook(ctx, func(s rueidis.PubSubSubscription) {
		if s.Kind == "subscribe" && !over.Load() {
			ready()
		}
	})
	err := b.client.Receive(hooked, b.client.B().Subscribe().Channel(b.channel).Build(), func(m rueidis.PubSubMessage) {
		if !over.Load() {
			heard([]byte(m.Message))
		}
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		err = errors.New("the subscription has ended")
	}
	return failure("runredis.Bell.Listen", err)
}

func failure(op string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return tenancy.Wrap(op, "", fmt.Errorf("%w: redis: %w", tenancy.ErrUnavailable, err))
}
