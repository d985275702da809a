// Package drainredis is a [maintenance.DrainChannel] in Redis: through it the instances of an application tell each other which drains of
// maintenance they have done.
package drainredis

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/rediskit"
	"github.com/artflow-studio/tenancy/maintenance"
)

// How long Redis remembers.
const (
	presentFor = 30 * time.Second // an instance, after its last heartbeat
	requestFor = 10 * time.Second // a drain, after its last request
	doneFor    = time.Minute      // the instances that have done a drain, after the last of them said so
	// aheadBy is how far Redis' clock may go back before an instance or a drain from before counts as gone, until it is heard of again.
	aheadBy = 5 * time.Second
)

// Channel is a [maintenance.DrainChannel] in Redis 5 or later, alone or a cluster. Its keys are
// tenancy:drainredis:NAMESPACE:{maintenance}:instances, :drains, and :done:ID; all expire. What Redis loses is said again within some
// heartbeats. An instance that does not reach Redis for half a minute is gone for the others. A call waits for Redis for up to 5 seconds, and no
// longer than its context.
type Channel struct {
	client rueidis.Client
	prefix string
}

// New returns a channel between the instances that share a Redis and a namespace, that of catalog.Catalog.Namespace. It sends nothing to
// Redis. The caller closes the client. Without a client, or with a malformed namespace, the error wraps [tenancy.ErrInvalid].
func New(client rueidis.Client, namespace string) (*Channel, error) {
	const op = "drainredis.New"
	if client == nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: no client", tenancy.ErrInvalid))
	}
	prefix, err := rediskit.Prefix("drainredis", namespace)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return &Channel{client, prefix + "{maintenance}:"}, nil
}

//go:embed heartbeat.lua
var heartbeatScript string

//go:embed request.lua
var requestScript string

//go:embed status.lua
var statusScript string

var (
	heartbeat = rueidis.NewLuaScript(heartbeatScript)
	request   = rueidis.NewLuaScript(requestScript)
	status    = rueidis.NewLuaScript(statusScript)
)

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// timeout bounds how long a call waits for Redis.
const timeout = 5 * time.Second

// exec runs a script.
func (c *Channel) exec(ctx context.Context, script *rueidis.Lua, keys, args []string) rueidis.RedisResult {
	return rediskit.Within(ctx, timeout, func(ctx context.Context) rueidis.RedisResult { return script.Exec(ctx, c.client, keys, args) })
}

// Check returns an error that wraps [tenancy.ErrUnavailable] if Redis does not answer within 5 seconds.
func (c *Channel) Check(ctx context.Context) error {
	err := rediskit.Within(ctx, timeout, func(ctx context.Context) rueidis.RedisResult {
		return c.client.Do(ctx, c.client.B().Zcard().Key(c.prefix+"instances").Build())
	}).Error()
	return tenancy.Wrap("drainredis.Channel.Check", "", rediskit.Failure(ctx, err))
}

// Heartbeat implements [maintenance.DrainChannel]. It leaves out a drain that it cannot read: the instance that requested it waits until its
// context ends.
func (c *Channel) Heartbeat(ctx context.Context, instance string) ([]maintenance.Drain, error) {
	texts, err := c.exec(ctx, heartbeat, []string{c.prefix + "instances", c.prefix + "drains"}, []string{instance, millis(presentFor), millis(requestFor), millis(aheadBy)}).AsStrSlice()
	if err != nil {
		return nil, tenancy.Wrap("drainredis.Channel.Heartbeat", "", rediskit.Failure(ctx, err))
	}
	var out []maintenance.Drain
	for _, text := range texts {
		var d maintenance.Drain
		if json.Unmarshal([]byte(text), &d) == nil && d.ID != "" {
			out = append(out, d)
		}
	}
	return out, nil
}

// Request implements [maintenance.DrainChannel].
func (c *Channel) Request(ctx context.Context, d maintenance.Drain) error {
	text, err := json.Marshal(d)
	if err == nil {
		err = c.exec(ctx, request, []string{c.prefix + "drains"}, []string{string(text), millis(requestFor), millis(aheadBy)}).Error()
	}
	return tenancy.Wrap("drainredis.Channel.Request", "", rediskit.Failure(ctx, err))
}

// Done implements [maintenance.DrainChannel].
func (c *Channel) Done(ctx context.Context, d maintenance.Drain, instance string) error {
	key := c.prefix + "done:" + d.ID
	err := rediskit.Within(ctx, timeout, func(ctx context.Context) rueidis.RedisResult {
		answers := c.client.DoMulti(ctx,
			c.client.B().Sadd().Key(key).Member(instance).Build(),
			c.client.B().Pexpire().Key(key).Milliseconds(doneFor.Milliseconds()).Build(),
		)
		if answers[0].Error() != nil {
			return answers[0]
		}
		return answers[1]
	}).Error()
	return tenancy.Wrap("drainredis.Channel.Done", "", rediskit.Failure(ctx, err))
}

// Status implements [maintenance.DrainChannel].
func (c *Channel) Status(ctx context.Context, d maintenance.Drain) (present, done []string, err error) {
	answers, err := c.exec(ctx, status, []string{c.prefix + "instances", c.prefix + "done:" + d.ID}, []string{millis(presentFor), millis(aheadBy)}).ToArray()
	if err == nil && len(answers) != 2 {
		err = fmt.Errorf("%d answers, want 2", len(answers))
	}
	if err == nil {
		present, err = answers[0].AsStrSlice()
	}
	if err == nil {
		done, err = answers[1].AsStrSlice()
	}
	return present, done, tenancy.Wrap("drainredis.Channel.Status", "", rediskit.Failure(ctx, err))
}
