package tenancytest

import (
	"context"
	"sync"
	"testing"

	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// MemoryBell is a [runs.Bell] for the runners of one process.
type MemoryBell struct {
	mu   sync.Mutex // guards all
	all  map[int]func([]byte)
	next int
}

// NewMemoryBell returns a bell that nobody listens to yet.
func NewMemoryBell() *MemoryBell { return &MemoryBell{all: map[int]func([]byte){}} }

// Ring implements [runs.Bell].
func (b *MemoryBell) Ring(_ context.Context, message []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, heard := range b.all {
		heard(message)
	}
	return nil
}

// Listen implements [runs.Bell].
func (b *MemoryBell) Listen(ctx context.Context, ready func(), heard func(message []byte)) error {
	b.mu.Lock()
	me := b.next
	b.next++
	b.all[me] = heard
	b.mu.Unlock()
	ready()
	<-ctx.Done()
	b.mu.Lock()
	delete(b.all, me)
	b.mu.Unlock()
	return ctx.Err()
}

// TestBell is the conformance suite for a [runs.Bell]. The function returns two ends of
// one bell, as two processes have them, that nobody listens to yet.
func TestBell(t *testing.T, open func(t *testing.T) (a, b runs.Bell)) {
	listen := func(t *testing.T, b runs.Bell) (heard chan string, stop func()) {
		t.Helper()
		heard, ready := make(chan string, 1000), make(chan struct{}, 100)
		ctx, cancel := context.WithTimeout(t.Context(), runBound)
		done := make(chan error, 1)
		go func() {
			done <- b.Listen(ctx, func() { ready <- struct{}{} }, func(message []byte) { heard <- string(message) })
		}()
		stop = func() {
			cancel()
			if err := <-done; err == nil {
				t.Error("Listen: got no error after the end of its context")
			}
		}
		select {
		case <-ready:
		case err := <-done:
			t.Fatalf("Listen: %v", err)
		}
		return heard, stop
	}
	t.Run("AllHear", func(t *testing.T) {
		t.Parallel()
		a, b := open(t)
		first, stopFirst := listen(t, a)
		second, stopSecond := listen(t, b)
		defer stopSecond()
		for _, message := range []string{`{"run":"one"}`, "\x00\xff"} {
			if err := a.Ring(t.Context(), []byte(message)); err != nil {
				t.Fatal(err)
			}
			for _, heard := range []chan string{first, second} {
				if got := <-heard; got != message {
					t.Errorf("got %q, want %q", got, message)
				}
			}
		}
		stopFirst()
		if err := b.Ring(t.Context(), []byte("late")); err != nil {
			t.Fatal(err)
		}
		if got := <-second; got != "late" {
			t.Errorf("got %q, want what was sent after another one had left", got)
		}
		select {
		case got := <-first:
			t.Errorf("got %q after the end of Listen", got)
		default:
		}
	})
	t.Run("NobodyHears", func(t *testing.T) {
		t.Parallel()
		a, _ := open(t)
		if err := a.Ring(t.Context(), []byte("hello")); err != nil {
			t.Errorf("got %v, want no error", err)
		}
	})
}
