package replicas_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/maintenance/replicas"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// conforms is what every [maintenance.Replicas] does.
func conforms(t *testing.T, r maintenance.Replicas) {
	ctx := t.Context()
	wantWho := func(d maintenance.Drain, wantThere, wantDone []string) {
		t.Helper()
		there, done, err := r.Who(ctx, d)
		slices.Sort(there)
		slices.Sort(done)
		if err != nil || !slices.Equal(there, wantThere) || !slices.Equal(done, wantDone) {
			t.Errorf("Who: got %v and %v, %v, want %v and %v", there, done, err, wantThere, wantDone)
		}
	}
	wantBeat := func(replica string, want ...maintenance.Drain) {
		t.Helper()
		got, err := r.Beat(ctx, replica)
		slices.SortFunc(got, func(a, b maintenance.Drain) int { return int(a.Version - b.Version) })
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Beat: got %+v, %v, want %+v", got, err, want)
		}
	}
	one, two := maintenance.Drain{ID: "d1", Tenant: "acme", Version: 1}, maintenance.Drain{ID: "d2", Version: 1 << 60}
	wantWho(one, nil, nil)
	wantBeat("a")
	wantBeat("b")
	wantBeat("b")
	wantWho(one, []string{"a", "b"}, nil)
	for range 2 {
		if err := errors.Join(r.Ask(ctx, one), r.Ask(ctx, two)); err != nil {
			t.Fatal(err)
		}
	}
	wantBeat("a", one, two)
	wantBeat("c", one, two)
	for range 2 {
		if err := errors.Join(r.Ack(ctx, one, "b"), r.Ack(ctx, one, "c")); err != nil {
			t.Fatal(err)
		}
	}
	wantWho(one, []string{"a", "b", "c"}, []string{"b", "c"})
	wantWho(two, []string{"a", "b", "c"}, nil)
}

func TestMemory(t *testing.T) {
	t.Parallel()
	conforms(t, new(replicas.Memory))
	synctest.Test(t, func(t *testing.T) {
		r := new(replicas.Memory)
		d := maintenance.Drain{ID: "d1", Version: 1}
		if _, err := r.Beat(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if err := r.Ask(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		if got, err := r.Beat(t.Context(), "b"); err != nil || len(got) != 0 {
			t.Errorf("nobody asks any more: got %v, %v", got, err)
		}
		if err := r.Ack(t.Context(), d, "a"); err != nil {
			t.Fatal(err)
		}
		if _, done, err := r.Who(t.Context(), d); err != nil || len(done) != 0 {
			t.Errorf("done after nobody asks any more: got %v, %v, want it kept nowhere", done, err)
		}
		time.Sleep(20 * time.Second)
		if there, _, err := r.Who(t.Context(), d); err != nil || !slices.Equal(there, []string{"b"}) {
			t.Errorf("got %v, %v, want the one that beat lately", there, err)
		}
	})
}

func TestRedis(t *testing.T) {
	t.Parallel()
	client, ns := tenancytest.Redis(t)
	prefix := "tenancy:replicas:" + ns + ":"
	r, err := replicas.NewRedis(client, ns)
	if err != nil {
		t.Fatal(err)
	}
	conforms(t, r)
	for key, most := range map[string]int64{"replicas": 30_000, "drains": 10_000, "done:d1": 60_000} {
		ttl, err := client.Do(t.Context(), client.B().Pttl().Key(prefix+"{maintenance}:"+key).Build()).AsInt64()
		if err != nil || ttl <= 0 || ttl > most {
			t.Errorf("%s: got a life of %d ms, %v, want it to expire within %d", key, ttl, err, most)
		}
	}
	// What is long over, or cannot be read, is not there.
	for _, command := range [][]string{
		{"ZADD", prefix + "{maintenance}:replicas", "1", "old"}, {"ZADD", prefix + "{maintenance}:drains", "1", `{"id":"old"}`},
		{"ZADD", prefix + "{maintenance}:drains", "9999999999999", "{"},
	} {
		if err := client.Do(t.Context(), client.B().Arbitrary(command...).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	if there, _, err := r.Who(t.Context(), maintenance.Drain{ID: "x"}); err != nil || slices.Contains(there, "old") {
		t.Errorf("got %v, %v, want nobody who is gone", there, err)
	}
	if got, err := r.Beat(t.Context(), "a"); err != nil || len(got) != 2 {
		t.Errorf("got %v, %v, want two drains", got, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = r.Beat(ended, "a")
	_, _, whoErr := r.Who(ended, maintenance.Drain{ID: "x"})
	for _, err := range []error{err, whoErr, r.Ask(ended, maintenance.Drain{ID: "x"}), r.Ack(ended, maintenance.Drain{ID: "x"}, "a")} {
		if !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("no answer: got %v, want ErrUnavailable", err)
		}
	}
	other, err := replicas.NewRedis(client, ns+".other")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Beat(t.Context(), "here"); err != nil {
		t.Fatal(err)
	}
	if there, _, err := other.Who(t.Context(), maintenance.Drain{ID: "x"}); err != nil || len(there) != 0 {
		t.Errorf("another namespace: got the replicas %q, %v, want none", there, err)
	}
	for _, odd := range []string{"", "a:b", "a{b}"} {
		if _, err := replicas.NewRedis(client, odd); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("namespace %q: got %v, want ErrInvalid", odd, err)
		}
	}
	if _, err := replicas.NewRedis(nil, "x"); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("no client: got %v, want ErrInvalid", err)
	}
}
