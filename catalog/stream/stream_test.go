//go:build unix

package stream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/stream"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// entries are the events in the stream, read as another service would.
func entries(t *testing.T, client rueidis.Client, key string) (out []catalog.Event) {
	t.Helper()
	all, err := client.Do(t.Context(), client.B().Xrange().Key(key).Start("-").End("+").Build()).AsXRange()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range all {
		var e catalog.Event
		if err := json.Unmarshal([]byte(entry.FieldValues["event"]), &e); err != nil || len(entry.FieldValues) != 1 {
			t.Fatalf("entry %v: %v", entry, err)
		}
		out = append(out, e)
	}
	return out
}

func TestAppend(t *testing.T) {
	t.Parallel()
	client, namespace := tenancytest.Redis(t)
	s, err := stream.New(client, namespace, &stream.Options{Length: 100})
	if err != nil {
		t.Fatal(err)
	}
	if want := "tenancy:stream:" + namespace + ":events"; s.Key() != want {
		t.Errorf("Key: got %q, want %q", s.Key(), want)
	}
	first := catalog.Event{
		ID: string(tenancy.NewID()), Tenant: "acme", Version: 1, Kind: "tenant.create", Time: time.Now().UTC().Truncate(time.Microsecond),
		Actor:   tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ada \"ü\"", Address: netip.MustParseAddr("192.0.2.1")},
		Changes: []tenancy.FieldChange{{Field: "slug", After: json.RawMessage(`"a\"\\b"`)}},
	}
	if err := s.Append(t.Context(), []catalog.Event{first, {Tenant: "acme", Version: 2}}); err != nil {
		t.Fatal(err)
	}
	got := entries(t, client, s.Key())
	if len(got) != 2 || got[1].Version != 2 {
		t.Fatalf("got %+v", got)
	}
	if d := cmp.Diff(first, got[0], cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Error(d)
	}
	for range 20 { // trimmed by whole nodes of the stream, of 100 entries by default
		if err := s.Append(t.Context(), make([]catalog.Event, 50)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(entries(t, client, s.Key())); n > 250 {
		t.Errorf("got %d entries, want about 100", n)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	client, _ := tenancytest.Redis(t)
	for name, make := range map[string]func() (*stream.Stream, error){
		"no client":        func() (*stream.Stream, error) { return stream.New(nil, "shop", nil) },
		"no namespace":     func() (*stream.Stream, error) { return stream.New(client, "", nil) },
		"negative length":  func() (*stream.Stream, error) { return stream.New(client, "shop", &stream.Options{Length: -1}) },
		"negative timeout": func() (*stream.Stream, error) { return stream.New(client, "shop", &stream.Options{Timeout: -1}) },
	} {
		if _, err := make(); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

// Redis is gone and comes back: no event is lost, and the order holds.
func TestRedisGone(t *testing.T) {
	t.Parallel()
	redis := testserver.ForTest(t, testserver.Redis, nil)
	opts, err := rueidis.ParseURL(redis.URL)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rueidis.NewClient(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s, err := stream.New(client, "shop", &stream.Options{Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	db := tenancytest.NewServer(t, "sqlite").Database(t)
	box, err := catalog.NewOutbox(db, &catalog.OutboxOptions{
		Stream: s, RetryFrom: 10 * time.Millisecond, RetryMost: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.New(db, &catalog.Options{Events: box})
	if err != nil {
		t.Fatal(err)
	}
	if err := cat.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- box.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	acme, err := cat.Create(t.Context(), &tenancy.Tenant{Slug: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	change := func(n int) {
		for i := range n {
			_, err := cat.Edit(t.Context(), acme.ID, func(t *tenancy.Tenant) error { t.Plan = fmt.Sprint(t.Version, i); return nil })
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	pending := func(want func(catalog.OutboxStat) bool) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
			stat, err := box.Stat(t.Context())
			if err == nil && want(stat) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("it did not happen in two minutes: %+v, %v", stat, err)
			}
		}
	}
	change(5)
	pending(func(s catalog.OutboxStat) bool { return s.Stream.Pending == 0 })
	redis.Kill()
	change(5)
	pending(func(s catalog.OutboxStat) bool { return s.StreamFailed > 1 && s.Stream.Pending == 5 })
	if err := redis.Restart(t.Context()); err != nil { // it has forgotten the first six
		t.Fatal(err)
	}
	change(5)
	pending(func(s catalog.OutboxStat) bool { return s.Stream.Pending == 0 })
	last := int64(6)
	for _, e := range entries(t, client, s.Key()) {
		if e.Version > last+1 {
			t.Fatalf("version %d follows %d", e.Version, last)
		}
		last = max(last, e.Version)
	}
	if last != 16 {
		t.Errorf("got events up to %d, want 16", last)
	}
}
