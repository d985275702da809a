package tenancytest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// MemoryBell is a [runs.Bell] for the runners of one process.
type MemoryBell struct {
	mu  sync.Mutex // guards all
	all []*listener
}

// listener is one that listens.
type listener struct {
	heard func([]byte)
	calls sync.WaitGroup // of heard; begin under the bell's lock
}

// NewMemoryBell returns a bell that nobody listens to yet.
func NewMemoryBell() *MemoryBell { return &MemoryBell{} }

// Ring implements [runs.Bell]. It returns when all have heard the message.
func (b *MemoryBell) Ring(_ context.Context, message []byte) error {
	b.mu.Lock()
	all := slices.Clone(b.all)
	b.mu.Unlock()
	for _, l := range all {
		b.call(l, message)
	}
	return nil
}

// call calls one that listens, unless that has left.
func (b *MemoryBell) call(l *listener, message []byte) {
	b.mu.Lock()
	there := slices.Contains(b.all, l)
	if there {
		l.calls.Add(1)
	}
	b.mu.Unlock()
	if there {
		defer l.calls.Done()
		l.heard(message)
	}
}

// Listen implements [runs.Bell].
func (b *MemoryBell) Listen(ctx context.Context, ready func(), heard func(message []byte)) error {
	me := &listener{heard: heard}
	b.mu.Lock()
	b.all = append(b.all, me)
	b.mu.Unlock()
	ready()
	<-ctx.Done()
	b.mu.Lock()
	b.all = slices.DeleteFunc(b.all, func(l *listener) bool { return l == me })
	b.mu.Unlock()
	me.calls.Wait()
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
