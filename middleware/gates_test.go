package middleware

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy"
)

// A gate that somebody waits at is nobody else's, also when nobody may pass it.
func TestGatesAreNotShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &newGates().shards[0]
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
				t.Errorf("%s: got %d gates in use and %d free, want %d and %d", what, len(s.open), len(s.free), open, free)
			}
		}
		s.leave("a", first)
		want("while one waits", 1, 0)
		time.Sleep(time.Minute)
		synctest.Wait()
		want("when nobody waits", 0, 1)
		both := [2]*gate{}
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
