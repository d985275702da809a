package tenancytest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/artflow-studio/tenancy/maintenance"
)

// TestDrainChannel is the conformance suite for a [maintenance.DrainChannel]. The function returns two ends of one
// channel, as two processes have them, that nobody has used yet.
func TestDrainChannel(t *testing.T, open func(t *testing.T) (a, b maintenance.DrainChannel)) {
	one := maintenance.Drain{ID: "d1", Tenant: "acme", Version: 1, CreatedAt: 1_700_000_000_000_000, BeganAt: 1_800_000_000_000_000, Generation: "g"}
	two := maintenance.Drain{ID: "d2", Version: 1 << 60}
	wantStatus := func(t *testing.T, r maintenance.DrainChannel, d maintenance.Drain, wantPresent, wantDone []string) {
		t.Helper()
		present, done, err := r.Status(t.Context(), d)
		slices.Sort(present)
		slices.Sort(done)
		if err != nil || !slices.Equal(present, wantPresent) || !slices.Equal(done, wantDone) {
			t.Errorf("Status: got %v and %v, %v, want %v and %v", present, done, err, wantPresent, wantDone)
		}
	}
	wantHeartbeat := func(t *testing.T, r maintenance.DrainChannel, instance string, want ...maintenance.Drain) {
		t.Helper()
		got, err := r.Heartbeat(t.Context(), instance)
		slices.SortFunc(got, func(a, b maintenance.Drain) int { return cmp.Compare(a.ID, b.ID) })
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Heartbeat: got %+v, %v, want %+v", got, err, want)
		}
	}
	t.Run("Drains", func(t *testing.T) {
		t.Parallel()
		a, b := open(t)
		wantStatus(t, a, one, nil, nil)
		wantHeartbeat(t, a, "a")
		wantHeartbeat(t, b, "b")
		wantHeartbeat(t, b, "b")
		wantStatus(t, a, one, []string{"a", "b"}, nil)
		for range 2 { // each call comes again and again
			if err := errors.Join(a.Request(t.Context(), one), b.Request(t.Context(), two)); err != nil {
				t.Fatal(err)
			}
		}
		wantHeartbeat(t, a, "a", one, two)
		wantHeartbeat(t, b, "c", one, two)
		for range 2 {
			if err := errors.Join(b.Done(t.Context(), one, "b"), b.Done(t.Context(), one, "c")); err != nil {
				t.Fatal(err)
			}
		}
		wantStatus(t, a, one, []string{"a", "b", "c"}, []string{"b", "c"})
		wantStatus(t, a, two, []string{"a", "b", "c"}, nil)
	})
	t.Run("RequestFirst", func(t *testing.T) {
		t.Parallel()
		a, b := open(t)
		if err := a.Request(t.Context(), one); err != nil {
			t.Fatal(err)
		}
		wantHeartbeat(t, b, "b", one)
	})
	t.Run("ContextEnds", func(t *testing.T) {
		t.Parallel()
		a, b := open(t)
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		expired, cancel := context.WithTimeout(t.Context(), -1)
		defer cancel()
		for want, ctx := range map[error]context.Context{context.Canceled: canceled, context.DeadlineExceeded: expired} {
			_, heartbeat := a.Heartbeat(ctx, "a")
			_, _, status := a.Status(ctx, one)
			for what, err := range map[string]error{
				"Heartbeat": heartbeat, "Request": a.Request(ctx, one), "Done": a.Done(ctx, one, "a"), "Status": status,
			} {
				if err != want { //nolint:errorlint // unchanged
					t.Errorf("%s: got %v, want %v", what, err, want)
				}
			}
		}
		wantHeartbeat(t, b, "b")
		wantStatus(t, b, one, []string{"b"}, nil)
	})
}
