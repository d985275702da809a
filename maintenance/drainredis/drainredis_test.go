package drainredis_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/drainredis"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestConforms(t *testing.T) {
	t.Parallel()
	tenancytest.TestDrainChannel(t, func(t *testing.T) (a, b maintenance.DrainChannel) {
		client, ns := tenancytest.Redis(t)
		other, _ := tenancytest.Redis(t)
		ends := [2]maintenance.DrainChannel{}
		for i, client := range []rueidis.Client{client, other} {
			r, err := drainredis.New(client, ns)
			if err != nil {
				t.Fatal(err)
			}
			ends[i] = r
		}
		return ends[0], ends[1]
	})
}

func TestRedis(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	prefix := "tenancy:drainredis:" + ns + ":"
	r, err := drainredis.New(client, ns)
	if err != nil {
		t.Fatal(err)
	}
	_, beat := r.Heartbeat(t.Context(), "a")
	one := maintenance.Drain{ID: "d1", Tenant: "acme", Version: 1}
	if err := errors.Join(beat, r.Request(t.Context(), one), r.Request(t.Context(), maintenance.Drain{ID: "d2"}), r.Done(t.Context(), one, "a")); err != nil {
		t.Fatal(err)
	}
	for key, most := range map[string]int64{"instances": 30_000, "drains": 10_000, "done:d1": 60_000} {
		ttl, err := client.Do(t.Context(), client.B().Pttl().Key(prefix+"{maintenance}:"+key).Build()).AsInt64()
		if err != nil || ttl <= 0 || ttl > most {
			t.Errorf("%s: got a life of %d ms, %v, want it to expire within %d", key, ttl, err, most)
		}
	}
	// What is long over, or cannot be read, is not there. Nor is what is from the time before the clock of Redis went back.
	clock, err := client.Do(t.Context(), client.B().Time().Build()).AsIntSlice()
	if err != nil {
		t.Fatal(err)
	}
	after := func(d time.Duration) string { return strconv.FormatInt(clock[0]*1000+d.Milliseconds(), 10) }
	for _, command := range [][]string{
		{"ZADD", prefix + "{maintenance}:instances", "1", "old"}, {"ZADD", prefix + "{maintenance}:drains", "1", `{"id":"old"}`},
		{"ZADD", prefix + "{maintenance}:instances", after(time.Hour), "ahead"}, {"ZADD", prefix + "{maintenance}:drains", after(time.Hour), `{"id":"ahead"}`},
		{"ZADD", prefix + "{maintenance}:drains", after(10 * time.Second), "{"},
	} {
		if err := client.Do(t.Context(), client.B().Arbitrary(command...).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	if there, _, err := r.Status(t.Context(), maintenance.Drain{ID: "x"}); err != nil || slices.Contains(there, "old") || slices.Contains(there, "ahead") {
		t.Errorf("got %v, %v, want nobody who is gone", there, err)
	}
	if got, err := r.Heartbeat(t.Context(), "a"); err != nil || len(got) != 2 {
		t.Errorf("got %v, %v, want two drains", got, err)
	}
	if err := r.Request(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"instances", "drains"} {
		left, err := client.Do(t.Context(), client.B().Zrange().Key(prefix+"{maintenance}:"+key).Min("0").Max("-1").Build()).AsStrSlice()
		if err != nil || slices.Contains(left, "old") || slices.Contains(left, "ahead") || slices.Contains(left, `{"id":"old"}`) || slices.Contains(left, `{"id":"ahead"}`) {
			t.Errorf("%s: got %v, %v, want what is over removed", key, left, err)
		}
	}
	if err := r.Check(t.Context()); err != nil {
		t.Errorf("Check: got %v, want nil", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Check(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Check in a context that ended: got %v, want Canceled", err)
	}
	other, err := drainredis.New(client, ns+".other")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Heartbeat(t.Context(), "here"); err != nil {
		t.Fatal(err)
	}
	if there, _, err := other.Status(t.Context(), maintenance.Drain{ID: "x"}); err != nil || len(there) != 0 {
		t.Errorf("another namespace: got the instances %q, %v, want none", there, err)
	}
	for _, odd := range []string{"", "a:b", "a{b}"} {
		if _, err := drainredis.New(client, odd); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("namespace %q: got %v, want ErrInvalid", odd, err)
		}
	}
	if _, err := drainredis.New(nil, "x"); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no client: got %v, want ErrInvalid", err)
	}
}

// While the client dials for another caller, which takes as long as it takes, calls end with their contexts.
func TestRedisIsDialing(t *testing.T) {
	t.Parallel()
	r, err := drainredis.New(testserver.DialingRedis(t), "dialing")
	if err != nil {
		t.Fatal(err)
	}
	d := maintenance.Drain{ID: "d1", Version: 1}
	for name, call := range map[string]func(context.Context) error{
		"Heartbeat": func(ctx context.Context) error { _, err := r.Heartbeat(ctx, "a"); return err },
		"Request":   func(ctx context.Context) error { return r.Request(ctx, d) },
		"Done":      func(ctx context.Context) error { return r.Done(ctx, d, "a") },
		"Status":    func(ctx context.Context) error { _, _, err := r.Status(ctx, d); return err },
		"Check":     r.Check,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := testserver.WantReturn(t, name, call); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want Canceled", err)
			}
		})
	}
}
