package maintenance_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestMemoryDrains(t *testing.T) {
	t.Parallel()
	tenancytest.TestDrainChannel(t, func(*testing.T) (a, b maintenance.DrainChannel) {
		m := new(maintenance.MemoryDrains)
		return m, m
	})
}

// What nobody asks for any more, and who has been silent, is forgotten.
func TestMemoryDrainsForget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := new(maintenance.MemoryDrains)
		d := maintenance.Drain{ID: "d1", Version: 1}
		if _, err := r.Heartbeat(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if err := r.Request(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		if got, err := r.Heartbeat(t.Context(), "b"); err != nil || len(got) != 0 {
			t.Errorf("nobody asks any more: got %v, %v", got, err)
		}
		if err := r.Done(t.Context(), d, "a"); err != nil {
			t.Fatal(err)
		}
		if _, done, err := r.Status(t.Context(), d); err != nil || len(done) != 0 {
			t.Errorf("done after nobody asks any more: got %v, %v, want it kept nowhere", done, err)
		}
		time.Sleep(20 * time.Second)
		if there, _, err := r.Status(t.Context(), d); err != nil || !slices.Equal(there, []string{"b"}) {
			t.Errorf("got %v, %v, want the one that beat lately", there, err)
		}
	})
}
