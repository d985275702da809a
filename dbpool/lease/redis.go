package lease

import (
	"context"
	"crypto/rand"
	_ "embed" // the script
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/internal/rediskit"
)

//go:embed redis.lua
var script string

// bookLife is how long a book that nobody changes stays in Redis: long after the
// last loan in it has ended, so that a service that was down for a night does not
// find it lost.
const bookLife = 24 * time.Hour

// Redis is an instance that shares connections through Redis, 5 or later, alone or
// a cluster. Its methods may be called by many goroutines at once.
//
// Each server has one key, tenancy:lease:NAMESPACE:{SERVER}, which holds text, expires a day after the last ask,
// and may be deleted at any time. An ask is one script, on the clock of Redis. A
// user of Redis needs EVAL, EVALSHA, GET, SET and TIME, and INFO, without which a
// start from a snapshot and a fail-over are not noticed.
//
// When Redis has lost its memory (an empty start, a start from a snapshot, a
// fail-over, a flushed database, a clock that was set back), or has none yet,
// nothing is lent but what instances keep or have given back since, for a
// [Options.TTL] and a tenth from the first ask on.
//
// More than the total may be lent for a time when the clock of Redis is set
// forward, by more than a tenth of [Options.TTL], and while two Redis servers
// both take themselves for the primary.
type Redis struct {
	client   rueidis.Client
	prefix   string // of the keys
	opts     Options
	script   *rueidis.Lua
	instance string
	number   atomic.Uint64 // of the last ask
}

var _ dbpool.Lender = (*Redis)(nil)

// NewRedis returns a new instance, which the client connects. It asks Redis for
// nothing. The caller closes the client, after the pool that uses the lender. The
// error wraps [tenancy.ErrInvalid].
//
// All pools with the same namespace in the same Redis share connections. It is that of
// catalog.Catalog.Namespace, unless several services share a budget on purpose.
func NewRedis(client rueidis.Client, namespace string, opts *Options) (*Redis, error) {
	const op = "lease.NewRedis"
	if client == nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: no client", tenancy.ErrInvalid))
	}
	prefix, err := rediskit.Prefix("lease", namespace)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	r := &Redis{client: client, prefix: prefix, script: rueidis.NewLuaScript(script), instance: rand.Text()}
	if opts != nil {
		r.opts = *opts
	}
	if err := r.opts.complete(); err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return r, nil
}

// checkTimeout bounds how long Check waits for Redis.
const checkTimeout = 5 * time.Second

// Check returns an error that wraps [tenancy.ErrUnavailable] if Redis does not answer within 5 seconds. Pools go on without
// Redis: each keeps to its own budget once its loan has ended.
func (r *Redis) Check(ctx context.Context) error {
	err := rediskit.Within(ctx, checkTimeout, func(ctx context.Context) rueidis.RedisResult {
		return r.client.Do(ctx, r.client.B().Time().Build())
	}).Error()
	return tenancy.Wrap("lease.Redis.Check", "", rediskit.Failure(ctx, err))
}

// Borrow implements [dbpool.Lender]. A call takes no longer than a loan lasts.
func (r *Redis) Borrow(ctx context.Context, ask dbpool.BorrowRequest) (dbpool.Loan, error) {
	const op = "lease.Redis.Borrow"
	if err := ask.Validate(); err != nil {
		return dbpool.Loan{}, tenancy.Wrap(op, "", err)
	}
	got, err := r.exec(ctx, ask)
	if err != nil {
		return dbpool.Loan{}, tenancy.Wrap(op, "", err)
	}
	return dbpool.Loan{Granted: int(got[0]), Share: int(got[1]), For: r.opts.TTL}, nil
}

// exec runs the script.
func (r *Redis) exec(ctx context.Context, ask dbpool.BorrowRequest) ([]int64, error) {
	keys, args := []string{r.prefix + "{" + ask.Server + "}"}, r.args(ask)
	got, err := rediskit.Within(ctx, r.opts.TTL, func(ctx context.Context) rueidis.RedisResult {
		return r.script.Exec(ctx, r.client, keys, args)
	}).AsIntSlice()
	switch {
	case err == nil && len(got) == 2 && got[0] >= 0:
		return got, nil
	case err == nil && len(got) == 2:
		return nil, fmt.Errorf("%w: a later ask came before this one", tenancy.ErrConflict)
	case err == nil:
		err = fmt.Errorf("%d numbers, want 2", len(got))
	}
	return nil, rediskit.Failure(ctx, err)
}

func (r *Redis) args(ask dbpool.BorrowRequest) []string {
	return []string{
		r.instance, strconv.FormatUint(r.number.Add(1), 10),
		strconv.Itoa(ask.Total), strconv.Itoa(ask.Keep), strconv.Itoa(ask.Want),
		strconv.FormatInt(holdFor(r.opts.TTL), 10), strconv.FormatInt(bookLife.Milliseconds(), 10),
	}
}
