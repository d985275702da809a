package runredis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/maintenance/runredis"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func newBell(t *testing.T, client rueidis.Client, namespace string) *runredis.Bell {
	t.Helper()
	b, err := runredis.New(client, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBell(t *testing.T) {
	t.Parallel()
	tenancytest.TestBell(t, func(t *testing.T) (a, b runs.Bell) {
		one, namespace := tenancytest.Redis(t)
		other, _ := tenancytest.Redis(t)
		return newBell(t, one, namespace), newBell(t, other, namespace)
	})
}

func TestCheck(t *testing.T) {
	t.Parallel()
	client, namespace := tenancytest.Redis(t)
	bell := newBell(t, client, namespace)
	if err := bell.Check(t.Context()); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := bell.Check(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended: got %v, want Canceled", err)
	}
}

// Two processes and one that follows share a run through Redis: nobody looks into the
// database by itself.
func TestFollow(t *testing.T) {
	t.Parallel()
	_, namespace := tenancytest.Redis(t)
	cat := tenancytest.NewCatalog(t, tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex"), tenancytest.NewTenant("initech"))
	db := tenancytest.NewServer(t, "sqlite").Database(t)
	steps := make(chan struct{})
	process := func() *runs.Runner {
		client, _ := tenancytest.Redis(t)
		r, err := runs.New(db, cat, &runs.Options{Poll: time.Hour, Lease: time.Hour, Bell: newBell(t, client, namespace), Tasks: runs.Tasks{
			"work": {Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { <-steps; return nil }},
		}})
		if err == nil {
			err = r.Migrate(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for range 2 {
		r := process()
		done := make(chan struct{})
		working, stop := context.WithCancel(ctx)
		go func() { defer close(done); _ = r.Run(working) }()
		defer func() { stop(); <-done }()
	}
	follower := process()
	plan, err := follower.Plan(ctx, "work", runs.Spec{Parallel: 1})
	if err == nil {
		_, err = follower.Start(ctx, plan.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	last := runs.Progress{}
	for p, err := range follower.Follow(ctx, plan.ID) {
		if err != nil {
			t.Fatalf("%v; last %+v", err, last.Run)
		}
		last = p
		if !p.State.Ended() {
			go func() {
				select {
				case steps <- struct{}{}:
				case <-ctx.Done():
				}
			}()
		}
	}
	if last.Done != 3 {
		t.Errorf("got %+v, want 3 done", last.Counts)
	}
}

// The channel is called after the package, as its ACL must name it.
func TestChannel(t *testing.T) {
	t.Parallel()
	client, namespace := tenancytest.Redis(t)
	bell := newBell(t, client, namespace)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- bell.Listen(ctx, func() { close(ready) }, func([]byte) {}) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	channels, err := client.Do(ctx, client.B().PubsubChannels().Pattern("*"+namespace+"*").Build()).AsStrSlice()
	if want := "tenancy:runredis:" + namespace + ":bell"; err != nil || len(channels) != 1 || channels[0] != want {
		t.Errorf("got the channels %q, %v, want %q", channels, err, want)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Listen: got %v, want Canceled", err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := runredis.New(nil, "x"); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("without a client: got %v, want ErrInvalid", err)
	}
}

// While the client dials for another caller, which takes as long as it takes, calls end with their contexts.
func TestRedisIsDialing(t *testing.T) {
	t.Parallel()
	bell := newBell(t, testserver.DialingRedis(t), "dialing")
	for name, call := range map[string]func(context.Context) error{
		"Ring":   func(ctx context.Context) error { return bell.Ring(ctx, []byte("hello")) },
		"Listen": func(ctx context.Context) error { return bell.Listen(ctx, func() {}, func([]byte) {}) },
		"Check":  bell.Check,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := testserver.WantReturn(t, name, call); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want Canceled", err)
			}
		})
	}
}
