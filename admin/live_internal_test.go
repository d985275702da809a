package admin

import (
	"context"
	"testing"
	"time"
)

// A frame that nobody has looked at for a while is dropped when another one is made.
func TestOldFramesAreDropped(t *testing.T) {
	t.Parallel()
	l := &live{frames: map[string]*frame{"old": {at: time.Now().Add(-time.Hour)}, "present": {at: time.Now().Add(time.Hour)}}}
	if _, err := l.get(t.Context(), "new", func(context.Context) (any, error) { return 1, nil }); err != nil {
		t.Fatal(err)
	}
	if l.frames["old"] != nil || l.frames["present"] == nil || l.frames["new"] == nil {
		t.Errorf("got frames %v, want those of the present", l.frames)
	}
}
