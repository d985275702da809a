package middleware

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
)

// A slot in which somebody waits is no other tenant's, also when it has no place.
func TestSlotsAreNotShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &newSlots().shards[0]
		first, err := s.enter(t.Context(), "a", 1, 1, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if _, err := s.enter(t.Context(), "a", 1, 1, time.Minute); err == nil {
				t.Error("got a place of a limit of zero")
			}
		}()
		synctest.Wait()
		if _, err := s.enter(t.Context(), "a", 0, 1, time.Minute); err == nil {
			t.Error("got a place of a limit of zero")
		}
		want := func(what string, open, free int) {
			t.Helper()
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.open) != open || len(s.free) != free {
				t.Errorf("%s: got %d slots in use and %d free, want %d and %d", what, len(s.open), len(s.free), open, free)
			}
		}
		s.leave("a", first)
		want("while one waits", 1, 0)
		time.Sleep(time.Minute)
		synctest.Wait()
		want("when nobody waits", 0, 1)
		if _, err := s.enter(t.Context(), "a", 0, 1, time.Minute); err == nil {
			t.Error("got a place of a limit of zero")
		}
		want("when all were refused", 0, 1)
		both := [2]*slot{}
		for i := range both {
			if both[i], err = s.enter(t.Context(), "a", 2, 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		s.leave("a", both[0])
		want("while one is served", 1, 0)
		s.leave("a", both[1])
		for i := range 100 {
			if _, err := s.enter(t.Context(), tenancy.ID(rune('b'+i)), 1, 0, 0); err != nil {
				t.Errorf("tenant %d: %v", i, err)
			}
		}
	})
}

// A place that comes while its client goes away is not lost.
func TestGatesPlaceAndEndAtOnce(t *testing.T) {
	t.Parallel()
	s := &newSlots().shards[0]
	for range 200 {
		first, err := s.enter(t.Context(), "a", 1, 1, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			g, err := s.enter(ctx, "a", 1, 1, time.Minute)
			switch {
			case err == nil:
				s.leave("a", g)
			case !errors.Is(err, context.Canceled):
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
		}()
		waits := func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(first.waiting) == 1
		}
		for !waits() {
			runtime.Gosched()
		}
		cancel()
		s.leave("a", first)
		<-done
		s.mu.Lock()
		left := len(s.open)
		s.mu.Unlock()
		if left > 0 {
			t.Fatal("a place was not given back")
		}
	}
}
