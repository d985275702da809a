package tenancy_test

import (
	"testing"

	"github.com/artflow-studio/tenancy"
)

// Must returns the value of a constructor that succeeded, and panics with the error of one that failed.
func TestMust(t *testing.T) {
	if got := tenancy.Must(7, nil); got != 7 {
		t.Errorf("got %d, want 7", got)
	}
	defer func() {
		if got := recover(); got != any(tenancy.ErrInvalid) {
			t.Errorf("got a panic with %v, want the error", got)
		}
	}()
	tenancy.Must("unused", tenancy.ErrInvalid)
	t.Error("got a value, want a panic")
}
