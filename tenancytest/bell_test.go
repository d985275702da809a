package tenancytest_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy/tenancytest"
)

// Who hears a message may ring, and stop listening, and hears nothing more when Listen has returned.
func TestMemoryBellInCalls(t *testing.T) {
	t.Parallel()
	bell := tenancytest.NewMemoryBell()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan struct{})
	var heard []string
	go func() {
		defer close(done)
		_ = bell.Listen(ctx, func() { close(ready) }, func(message []byte) {
			heard = append(heard, string(message))
			if string(message) == "question" {
				_ = bell.Ring(ctx, []byte("answer"))
				cancel()
			}
		})
	}()
	<-ready
	rang := make(chan error, 1)
	go func() { rang <- bell.Ring(t.Context(), []byte("question")) }()
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		t.Fatal("got no end of Listen within 2 minutes: a call waits for a lock that Ring holds")
	}
	if err := <-rang; err != nil {
		t.Error(err)
	}
	if want := []string{"question", "answer"}; !slices.Equal(heard, want) {
		t.Errorf("got %q, want %q", heard, want)
	}
}
