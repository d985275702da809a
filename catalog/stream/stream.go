// Package stream puts the events of a catalog's [catalog.Outbox] into a Redis stream,
// where other services read them, whatever language they are written in.
//
//	events, err := stream.New(redis, namespace, nil)
//	box, err := catalog.NewOutbox(db, &catalog.OutboxOptions{Stream: events})
//
// The stream is the key tenancy:stream:NAMESPACE:events. Each entry has one field,
// "event", which holds a [catalog.Event] as JSON; docs/events.md lists its fields. Read
// it with XREADGROUP, so that what a reader did not acknowledge is read again. An event
// may be there twice, and the versions of a tenant's events grow by one each: a reader
// skips a version that it has seen, and asks the catalog where one is missing, because
// the stream was trimmed or Redis lost it.
package stream

import (
	"cmp"
	"context"
	_ "embed" // the script
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/internal/rediskit"
)

// Options are the options of [New].
type Options struct {
	// Length is the approximate number of events that the stream keeps; older ones are removed. Default:
	// 100,000.
	Length int64
	// Timeout is how long Redis may take to answer. Default: 5 seconds.
	Timeout time.Duration
}

func (o *Options) complete() error {
	if o.Length < 0 || o.Timeout < 0 {
		return fmt.Errorf("%w: Length %d, Timeout %v", tenancy.ErrInvalid, o.Length, o.Timeout)
	}
	o.Length = cmp.Or(o.Length, 100_000)
	o.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	return nil
}

// Stream is a stream in Redis 5 or later, alone or a cluster. It is a
// [catalog.EventStream].
type Stream struct {
	client rueidis.Client
	key    string
	opts   Options
}

var _ catalog.EventStream = (*Stream)(nil)

//go:embed add.lua
var addScript string

var add = rueidis.NewLuaScript(addScript)

// New returns the stream of a namespace; pass catalog.Catalog.Namespace. It sends nothing to Redis. The caller
// closes the client. A missing client and a malformed namespace are errors that wrap [tenancy.ErrInvalid].
func New(client rueidis.Client, namespace string, opts *Options) (*Stream, error) {
	const op = "stream.New"
	if client == nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: no client", tenancy.ErrInvalid))
	}
	prefix, err := rediskit.Prefix("stream", namespace)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	s := &Stream{client: client, key: prefix + "events"}
	if opts != nil {
		s.opts = *opts
	}
	if err := s.opts.complete(); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return s, nil
}

// Key returns the key of the stream.
func (s *Stream) Key() string { return s.key }

// Append adds the events to the stream. It implements [catalog.EventStream].
func (s *Stream) Append(ctx context.Context, events []catalog.Event) error {
	const op = "stream.Stream.Append"
	args := make([]string, 0, len(events)+1)
	args = append(args, strconv.FormatInt(s.opts.Length, 10))
	for _, e := range events {
		b, err := json.Marshal(e)
		if err != nil {
			return tenancy.Wrap(op, e.Tenant, fmt.Errorf("%w: event %s: %w", tenancy.ErrInvalid, e.ID, err))
		}
		args = append(args, string(b))
	}
	err := rediskit.Within(ctx, s.opts.Timeout, func(ctx context.Context) rueidis.RedisResult {
		return add.Exec(ctx, s.client, []string{s.key}, args)
	}).Error()
	return tenancy.Wrap(op, "", rediskit.Failure(ctx, err))
}

// Check returns an error that wraps [tenancy.ErrUnavailable] if Redis does not answer.
func (s *Stream) Check(ctx context.Context) error {
	err := rediskit.Within(ctx, s.opts.Timeout, func(ctx context.Context) rueidis.RedisResult {
		return s.client.Do(ctx, s.client.B().Xlen().Key(s.key).Build())
	}).Error()
	return tenancy.Wrap("stream.Stream.Check", "", rediskit.Failure(ctx, err))
}
