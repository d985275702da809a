package ratelimit

import (
	"cmp"
	"context"
	_ "embed" // the script
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/circuit"
	"github.com/artflow-studio/tenancy/internal/logs"
	"github.com/artflow-studio/tenancy/internal/rediskit"
)

//go:embed redis.lua
var script string

// Redis is a limiter that the instances of an application share through Redis, 5 or later, alone or a cluster.
// Many goroutines may call its methods at once.
//
// Each request runs one script, which counts towards all its limits or towards none, by the clock of Redis. The
// keys begin with tenancy:ratelimit:NAMESPACE:{TENANT}: and continue like those of a [tenancy.Keyspace]. So all
// keys of a tenant are on one node, and no two tenants share a key; the application's own keys have "{@}" in
// place of the tenant. Keys expire when their debt is paid. A user of Redis needs EVAL, EVALSHA, GET, SET and
// TIME.
//
// When Redis loses its memory, or its clock is set forward, everybody has a full burst again. When the clock is
// set back, nobody waits longer than for a full burst.
//
// When Redis does not answer in time, the limiter counts in this process. After three failures in a row it
// opens a circuit: it asks Redis again after 100 milliseconds, and after up to 10 seconds if that fails, with
// one request at a time. See [RedisOptions.Instances].
type Redis struct {
	client rueidis.Client
	prefix string // of the keys
	script *rueidis.Lua
	opts   RedisOptions
	local  *Memory // or nil
	began  time.Time
	down   circuit.Circuit
}

// RedisOptions are the options of [NewRedis].
type RedisOptions struct {
	// Timeout is how long a request waits for Redis. Default: 50 milliseconds.
	Timeout time.Duration
	// Instances is the number of instances of the application. While Redis does not answer,
	// each instance allows its share of every rate, and at least one request at once, starting
	// with full bursts. Default: 1, so that each instance allows the whole rate. Negative: no
	// request passes while Redis does not answer, and Take returns an error that wraps
	// [tenancy.ErrUnavailable].
	Instances int
	// Local are the options of the limiter in memory that counts while Redis does not answer.
	// Default: those of [NewMemory].
	Local *MemoryOptions
	// Logger gets a line when the circuit opens and when it closes. Default: [slog.Default],
	// asked at each message.
	Logger *slog.Logger
}

const (
	defaultTimeout = 50 * time.Millisecond
	central        = "@" // is no ID of a tenant
)

var _ Limiter = (*Redis)(nil)

// NewRedis returns a limiter that uses the client. The caller closes the client. NewRedis sends nothing to
// Redis. Limiters with the same namespace in the same Redis count together; pass catalog.Catalog.Namespace. A
// missing client, a malformed namespace and a negative timeout are errors that wrap [tenancy.ErrInvalid].
func NewRedis(client rueidis.Client, namespace string, opts *RedisOptions) (*Redis, error) {
	r := &Redis{client: client, script: rueidis.NewLuaScript(script), began: time.Now()}
	if opts != nil {
		r.opts = *opts
	}
	err := r.opts.complete()
	if err == nil {
		r.prefix, err = rediskit.Prefix("ratelimit", namespace)
	}
	if client == nil {
		err = fmt.Errorf("%w: no client", tenancy.ErrInvalid)
	}
	if err != nil {
		return nil, tenancy.Wrap("ratelimit.NewRedis", "", err)
	}
	if r.opts.Instances > 0 {
		r.local = NewMemory(r.opts.Local)
	}
	r.down.Trip, r.down.Longest, r.down.Answer = 3, 10*time.Second, r.opts.Timeout
	return r, nil
}

func (o *RedisOptions) complete() error {
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	o.Instances = cmp.Or(o.Instances, 1)
	o.Logger = logs.Or(o.Logger)
	if o.Timeout < 0 {
		return fmt.Errorf("%w: Timeout %v", tenancy.ErrInvalid, o.Timeout)
	}
	return nil
}

// Check returns an error that wraps [tenancy.ErrUnavailable] while the circuit is open, because Redis did not
// answer. It does not ask Redis: it reports what the last requests saw. Rates still hold meanwhile, as
// [RedisOptions.Instances] says, so this is no reason to stop sending requests to the instance.
func (r *Redis) Check(context.Context) error {
	if !r.down.Open() {
		return nil
	}
	return tenancy.Wrap("ratelimit.Redis.Check", "", fmt.Errorf("%w: redis does not answer; this instance counts by itself", tenancy.ErrUnavailable))
}

// Take implements [Limiter]. It waits for Redis no longer than [RedisOptions.Timeout]. A tenant with a
// malformed ID, and two limits of the same kind, are errors that wrap [tenancy.ErrInvalid].
func (r *Redis) Take(ctx context.Context, limits []Limit) (bool, error) {
	const op = "ratelimit.Redis.Take"
	id, err := begin(ctx, limits)
	if err != nil {
		return false, tenancy.Wrap(op, id, err)
	}
	passes := true
	var room [kinds]*Limit
	asked := room[:0]
	for i := range limits {
		fixed, ok := limits[i].setFixed()
		passes = passes && ok
		if !fixed {
			asked = append(asked, &limits[i])
		}
	}
	if len(asked) == 0 {
		return passes, nil
	}
	keys := make([]string, len(asked))
	for i, l := range asked {
		if keys[i], err = r.key(ctx, l); err != nil { // which says nothing about Redis
			return false, tenancy.Wrap(op, id, err)
		}
	}
	if err = errLeftAlone; r.down.Asks(r.now()) {
		var counted bool
		counted, err = r.ask(ctx, keys, asked, passes)
		if err == nil {
			r.answered(ctx)
			return counted, nil
		}
		if ctx.Err() != nil { // which says nothing about Redis
			return false, ctx.Err()
		}
		r.failed(ctx, err)
	}
	if r.local == nil {
		return false, tenancy.Wrap(op, id, rediskit.Failure(ctx, err))
	}
	return r.local.take(id, limits, int64(r.opts.Instances)), nil
}

var errLeftAlone = errors.New("it has not answered of late")

// ask runs the script. The script counts nothing if passes is false.
func (r *Redis) ask(ctx context.Context, keys []string, asked []*Limit, passes bool) (bool, error) {
	args := make([]string, 1, 2*len(asked)+1)
	args[0] = "0"
	if passes {
		args[0] = "1"
	}
	for _, l := range asked {
		every, depth := l.Rate.terms()
		args = append(args, strconv.FormatInt(int64(every), 10), strconv.FormatInt(int64(depth), 10))
	}
	got, err := rediskit.Within(ctx, r.opts.Timeout, func(ctx context.Context) rueidis.RedisResult {
		return r.script.Exec(ctx, r.client, keys, args)
	}).AsIntSlice()
	if err == nil && len(got) != len(asked)+1 {
		err = fmt.Errorf("%d numbers", len(got))
	}
	if err != nil {
		return false, err
	}
	for i, l := range asked {
		every, depth := l.Rate.terms()
		owed := min(max(time.Duration(got[i+1]), 0), longest/time.Microsecond) * time.Microsecond
		l.set(every, depth, min(owed, depth))
	}
	return got[0] == 1, nil
}

// key returns the key of what the limit counts.
func (r *Redis) key(ctx context.Context, l *Limit) (string, error) {
	const longest = 64
	value := l.Key
	switch {
	case l.Kind == Address:
		value = l.Address.String()
	case l.Kind == Tenant:
		value = ""
	case len(value) > longest:
		value = "#" + tenancy.DigestOf(value).String()
	}
	id := central
	if t, ok := tenancy.FromContext(ctx); ok {
		if err := t.ID.Validate(); err != nil {
			return "", err
		}
		id = string(t.ID)
	}
	return r.prefix + "{" + id + "}:" + l.Kind.String() + ":" + url.QueryEscape(l.Class) + ":" + url.QueryEscape(value), nil
}

func (r *Redis) now() int64 { return int64(time.Since(r.began)) }

func (r *Redis) failed(ctx context.Context, err error) {
	if r.down.Failed(r.now()) {
		r.opts.Logger.ErrorContext(ctx, "ratelimit: redis does not answer; circuit open, limits are counted in this process", slog.Any("error", err))
	}
}

func (r *Redis) answered(ctx context.Context) {
	if r.down.Answered() {
		r.opts.Logger.InfoContext(ctx, "ratelimit: redis answers again; circuit closed")
	}
}
