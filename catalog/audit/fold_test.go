package audit

import (
	"fmt"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
)

func denial(t *testing.T, actor string) tenancy.Entry {
	t.Helper()
	e := tenancy.NewEntry(tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorToken, ID: actor}), "tenant.status", "acme")
	e.Result = tenancy.AuditDenied
	return e
}

// A flood of one denial is two entries a minute, and nothing of it is lost.
func TestFoldCounts(t *testing.T) {
	t.Parallel()
	f := newFolder()
	begin := time.Unix(1000, 0)
	atOnce := 0
	for i := range 1000 {
		if !f.fold(denial(t, "eve"), begin.Add(time.Duration(i)*time.Millisecond)) {
			atOnce++
		}
	}
	if atOnce != 1 {
		t.Errorf("got %d entries at once, want 1", atOnce)
	}
	if got := f.take(begin.Add(59*time.Second), false); got != nil {
		t.Errorf("within the minute: got %v", got)
	}
	got := f.take(begin.Add(time.Minute), false)
	if len(got) != 1 || got[0].Count != 999 || got[0].Actor.ID != "eve" || got[0].Validate() != nil {
		t.Errorf("got %+v, want one entry that counts 999", got)
	}
	if f.len() != 0 || f.take(begin.Add(time.Hour), true) != nil {
		t.Errorf("something is left")
	}
}

// A flood of different denials writes a bounded number of entries.
func TestFoldIsBounded(t *testing.T) {
	t.Parallel()
	f := newFolder()
	begin := time.Unix(1000, 0)
	atOnce := int64(0)
	const n = 5000 // in five seconds
	for i := range n {
		if !f.fold(denial(t, fmt.Sprint(i)), begin.Add(time.Duration(i)*time.Millisecond)) {
			atOnce++
		}
	}
	if atOnce > 50 || f.len() > maxFolds+1 {
		t.Errorf("got %d entries at once and %d kinds, want at most 50 and %d", atOnce, f.len(), maxFolds+1)
	}
	all := f.take(begin.Add(time.Minute), false)
	sum := atOnce
	for i := range all {
		sum += all[i].Count
		if err := all[i].Validate(); err != nil {
			t.Error(err)
		}
	}
	if sum != n {
		t.Errorf("got %d denials counted, want %d", sum, n)
	}
	if lost := f.back(all, begin); lost != 0 {
		t.Errorf("got %d lost, want none: there is room", lost)
	}
	if again := f.take(begin, true); len(again) != len(all) {
		t.Errorf("got %d entries again, want %d", len(again), len(all))
	}
}

// Strangers, who can send whatever they like, do not make what operators were refused anonymous.
func TestFoldOfStrangers(t *testing.T) {
	t.Parallel()
	f := newFolder()
	begin := time.Unix(1000, 0)
	for i := range 1000 {
		e := tenancy.NewEntry(t.Context(), "session.sign_in", "")
		e.Object, e.Result = fmt.Sprintf("%d@example.com", i), tenancy.AuditDenied
		f.fold(e, begin)
	}
	const operators = 100
	for i := range operators {
		f.fold(denial(t, fmt.Sprint(i)), begin)
	}
	known := 0
	for _, e := range f.take(begin.Add(time.Minute), false) {
		if e.Action == "tenant.status" && e.Actor.ID != "" {
			known++
		}
	}
	if known != operators {
		t.Errorf("got %d refusals that name their operator, want %d", known, operators)
	}
}
