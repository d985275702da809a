package urlpath_test

import (
	"testing"

	"github.com/artflow-studio/tenancy/internal/urlpath"
)

func TestHasDots(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"": false, "/": false, ".": true, "..": true, "/a/..": true, "/a/./b": true, "../a": true, "/.well-known/x": false, "/a..b/...": false, "/a.b": false,
		`/..\a`: true, `\..`: true, `/a\.`: true, `/a\b.c`: false,
	} {
		if got := urlpath.HasDots(path); got != want {
			t.Errorf("%q: got %v, want %v", path, got, want)
		}
	}
}
