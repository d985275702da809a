package testserver

import (
	"testing"
	"time"
)

// patience bounds [Await]. Nothing but a condition that never holds takes so long, however
// busy the machine is.
const patience = 3 * time.Minute

// Await polls until a condition holds. If it never does, the test ends.
func Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
