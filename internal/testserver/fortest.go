//go:build unix

package testserver

import (
	"errors"
	"os"
	"testing"
)

// requireEnv is tenancytest.RequireEnv.
const requireEnv = "TENANCY_TEST_REQUIRE"

// ForTest starts a server for one test, which ends with it. With -short the test is skipped, and where the engine is
// not installed, too, unless TENANCY_TEST_REQUIRE is set.
func ForTest(t testing.TB, e Engine, opts *Options) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a server")
	}
	s, err := Start(t.Context(), e, Dir(t), opts)
	if errors.Is(err, ErrNotInstalled) && os.Getenv(requireEnv) == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if e == Redis {
			s.Kill() // it has no files
			return
		}
		_ = s.Stop()
	})
	return s
}

// Dir returns a new folder for servers, which is removed when the test ends.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "server")
	if err == nil {
		err = os.Chmod(dir, 0o755) // the server runs as another user
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
