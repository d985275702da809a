// Package replicas is how replicas of a service tell each other what they have
// drained, for [maintenance.GateOptions].Replicas: through Redis, or in memory for
// one process.
package replicas

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/rediskit"
	"github.com/artflow-studio/tenancy/maintenance"
)

const (
	// there is for how long a replica is there after a beat.
	there = 30 * time.Second
	// asked is for how long a drain is asked for.
	asked = 10 * time.Second
	// acked is for how long it is known who has done a drain.
	acked = time.Minute
)

// Redis is a [maintenance.Replicas] in Redis 5 or later, alone or a cluster. Its
// keys are tenancy:replicas:NAMESPACE:{maintenance}:replicas, :drains, and :done:ID; all expire. What
// Redis loses is told again within some beats. A replica that does not reach Redis
// for half a minute is gone for the others.
type Redis struct {
	client rueidis.Client
	prefix string
}

// NewRedis returns replicas that share a Redis and a namespace, that of
// catalog.Catalog.Namespace. It asks Redis for nothing. The caller closes the client.
// Without a client, or with a malformed namespace, the error unwraps to
// [tenancy.ErrInvalid].
func NewRedis(client rueidis.Client, namespace string) (*Redis, error) {
	const op = "replicas.NewRedis"
	if client == nil {
		return nil, tenancy.Wrap(op, "", fmt.Errorf("%w: no client", tenancy.ErrInvalid))
	}
	prefix, err := rediskit.Prefix("replicas", namespace)
	if err != nil {
		return nil, tenancy.Wrap(op, "", err)
	}
	return &Redis{client, prefix + "{maintenance}:"}, nil
}

//go:embed beat.lua
var beatScript string

//go:embed ask.lua
var askScript string

//go:embed who.lua
var whoScript string

var (
	beat = rueidis.NewLuaScript(beatScript)
	ask  = rueidis.NewLuaScript(askScript)
	who  = rueidis.NewLuaScript(whoScript)
)

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// Beat implements [maintenance.Replicas]. A drain that cannot be read is left out:
// whoever asks for it waits in vain.
func (r *Redis) Beat(ctx context.Context, replica string) ([]maintenance.Drain, error) {
	texts, err := beat.Exec(ctx, r.client, []string{r.prefix + "replicas", r.prefix + "drains"}, []string{replica, millis(there)}).AsStrSlice()
	if err != nil {
		return nil, failure("Beat", err)
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

// Ask implements [maintenance.Replicas].
func (r *Redis) Ask(ctx context.Context, d maintenance.Drain) error {
	text, err := json.Marshal(d)
	if err == nil {
		err = ask.Exec(ctx, r.client, []string{r.prefix + "drains"}, []string{string(text), millis(asked)}).Error()
	}
	return failure("Ask", err)
}

// Ack implements [maintenance.Replicas].
func (r *Redis) Ack(ctx context.Context, d maintenance.Drain, replica string) error {
	key := r.prefix + "done:" + d.ID
	for _, answer := range r.client.DoMulti(ctx,
		r.client.B().Sadd().Key(key).Member(replica).Build(),
		r.client.B().Pexpire().Key(key).Milliseconds(acked.Milliseconds()).Build(),
	) {
		if err := answer.Error(); err != nil {
			return failure("Ack", err)
		}
	}
	return nil
}

// Who implements [maintenance.Replicas].
func (r *Redis) Who(ctx context.Context, d maintenance.Drain) (replicas, done []string, err error) {
	answers, err := who.Exec(ctx, r.client, []string{r.prefix + "replicas", r.prefix + "done:" + d.ID}, []string{millis(there)}).ToArray()
	if err == nil && len(answers) != 2 {
		err = fmt.Errorf("%d answers", len(answers))
	}
	if err == nil {
		replicas, err = answers[0].AsStrSlice()
	}
	if err == nil {
		done, err = answers[1].AsStrSlice()
	}
	return replicas, done, failure("Who", err)
}

// failure is an error of Redis. The text alone: a context that ended there is the
// client's own.
func failure(op string, err error) error {
	if err == nil {
		return nil
	}
	return tenancy.Wrap("replicas."+op, "", fmt.Errorf("%w: redis: %v", tenancy.ErrUnavailable, err)) //nolint:errorlint // see above
}

// Memory is a [maintenance.Replicas] for gates of one process. The zero Memory is
// ready.
type Memory struct {
	mu       sync.Mutex // guards what follows
	replicas map[string]time.Time
	drains   map[maintenance.Drain]time.Time
	done     map[string][]string // by the drain's ID
}

// Beat implements [maintenance.Replicas].
func (m *Memory) Beat(_ context.Context, replica string) ([]maintenance.Drain, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.replicas == nil {
		m.replicas, m.drains, m.done = map[string]time.Time{}, map[maintenance.Drain]time.Time{}, map[string][]string{}
	}
	m.replicas[replica] = time.Now()
	maps.DeleteFunc(m.replicas, func(_ string, at time.Time) bool { return time.Since(at) > there })
	maps.DeleteFunc(m.drains, func(d maintenance.Drain, at time.Time) bool {
		over := time.Since(at) > asked
		if over {
			delete(m.done, d.ID)
		}
		return over
	})
	return slices.Collect(maps.Keys(m.drains)), nil
}

// Ask implements [maintenance.Replicas].
func (m *Memory) Ask(_ context.Context, d maintenance.Drain) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.drains != nil {
		m.drains[d] = time.Now()
	}
	return nil
}

// Ack implements [maintenance.Replicas].
func (m *Memory) Ack(_ context.Context, d maintenance.Drain, replica string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.drains[d]; ok && !slices.Contains(m.done[d.ID], replica) { // or nobody would forget it
		m.done[d.ID] = append(m.done[d.ID], replica)
	}
	return nil
}

// Who implements [maintenance.Replicas].
func (m *Memory) Who(_ context.Context, d maintenance.Drain) (replicas, done []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for replica, at := range m.replicas {
		if time.Since(at) <= there {
			replicas = append(replicas, replica)
		}
	}
	return replicas, slices.Clone(m.done[d.ID]), nil
}
