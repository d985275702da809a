package circuit

import (
	"testing"
	"time"
)

// A pause doubles up to the longest, is never less than half of that, and differs.
func TestPause(t *testing.T) {
	t.Parallel()
	for n, most := range map[int]time.Duration{
		-1: 100 * time.Millisecond, 0: 100 * time.Millisecond, 1: 200 * time.Millisecond, 6: 6400 * time.Millisecond,
		7: 10 * time.Second, 1000: 10 * time.Second,
	} {
		seen := map[time.Duration]bool{}
		for range 100 {
			d := Pause(n, 10*time.Second)
			if d < most/2 || d >= most {
				t.Errorf("after %d more failures: got %v, want between %v and %v", n, d, most/2, most)
			}
			seen[d] = true
		}
		if len(seen) < 50 {
			t.Errorf("after %d more failures: got %d different pauses of 100", n, len(seen))
		}
	}
	if d := Pause(3, 200*time.Millisecond); d >= 200*time.Millisecond {
		t.Errorf("got %v, want less than the longest", d)
	}
}
