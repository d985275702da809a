//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy/internal/testserver"
)

// need skips a test whose servers are missing, or fails it where the project's
// own test command has promised them.
func need(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts servers")
	}
	for _, engine := range engines() {
		if err := engine.Find(); err != nil && os.Getenv("TENANCY_TEST_REQUIRE") == "1" {
			t.Fatal(err)
		} else if err != nil {
			t.Skip(err)
		}
	}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{
		"exit 0":        0,
		"exit 7":        7,
		"kill -TERM $$": 128 + int(syscall.SIGTERM),
	} {
		got, err := runCommand([]string{"sh", "-c", script}, nil, nil)
		if got != want || err != nil {
			t.Errorf("%s: got %d, %v, want %d", script, got, err, want)
		}
	}
	if got, err := runCommand([]string{"/no/such/program"}, nil, nil); got != 127 || err == nil {
		t.Errorf("no program: got %d, %v, want 127 and an error", got, err)
	}
}

func TestSignalIsPassedOn(t *testing.T) {
	t.Parallel()
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	got, err := runCommand([]string{"sleep", "60"}, nil, signals)
	if want := 128 + int(syscall.SIGTERM); got != want || err != nil {
		t.Errorf("got %d, %v, want %d", got, err, want)
	}
}

func TestAround(t *testing.T) {
	need(t)
	t.Setenv("TMPDIR", openTemp(t))
	script := `
		case $TENANCY_TEST_POSTGRES in postgres://postgres@127.0.0.1:*/postgres?sslmode=disable) ;; *) exit 11;; esac
		case $TENANCY_TEST_MYSQL in mysql://root@127.0.0.1:*/) ;; *) exit 12;; esac
		case $TENANCY_TEST_REDIS in redis://127.0.0.1:*) ;; *) exit 15;; esac
		test "$TENANCY_TEST_REQUIRE" = 1 || exit 13
		test "$(find "$TMPDIR/.." -name server.log | wc -l)" -eq 3 || exit 14
		mkdir -p "$TMPDIR/left/behind" || exit 16
		exit 7`
	got, err := around(t.Context(), []string{"sh", "-c", script}, nil)
	if got != 7 || err != nil {
		t.Errorf("got %d, %v, want 7", got, err)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestUpAndDown(t *testing.T) {
	need(t)
	t.Setenv("TMPDIR", openTemp(t))
	dir := filepath.Join(t.TempDir(), servicesDir)
	some := engines()
	if os.Getenv("TENANCY_SOAK") == "" {
		some = some[2:] // the one that starts fast
	}
	if err := up(t.Context(), dir, some); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = down(dir) })
	if err := up(t.Context(), dir, some); err == nil {
		t.Error("second up: got no error")
	}

	script := `. "$1" && env | grep ^TENANCY_TEST_ | sort | cut -d: -f1`
	out, err := exec.CommandContext(t.Context(), "env", "-i", "PATH="+os.Getenv("PATH"),
		"sh", "-c", script, "sh", filepath.Join(dir, "env")).CombinedOutput()
	want := "TENANCY_TEST_MYSQL=mysql\nTENANCY_TEST_POSTGRES=postgres\nTENANCY_TEST_REDIS=redis\nTENANCY_TEST_REQUIRE=1\n"
	if len(some) == 1 {
		want = "TENANCY_TEST_REDIS=redis\nTENANCY_TEST_REQUIRE=1\n"
	}
	if string(out) != want || err != nil {
		t.Errorf("env: got %q, %v, want %q", out, err, want)
	}

	for range 2 {
		if err := down(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{dir, os.TempDir()} {
		if left, _ := os.ReadDir(folder); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// A record that names a process or a folder of others is not obeyed.
func TestForeignRecord(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()

	precious := filepath.Join(t.TempDir(), "precious", "data")
	if err := os.MkdirAll(precious, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"", "postgres", "postgres x /tmp", "postgres 1 " + precious} {
		if err := stopRecorded(line); err == nil {
			t.Errorf("%q: got no error", line)
		}
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
	_ = testserver.StopDetached(testserver.Postgres, cmd.Process.Pid, precious)
	select {
	case <-ended:
		t.Error("a process that is no server was ended")
	case <-time.After(100 * time.Millisecond):
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--"}, {"sideways"}, {"up", "more"}} {
		if got, err := dispatch(t.Context(), args, nil); got != 2 || err != nil {
			t.Errorf("%s: got %d, %v, want 2", strings.Join(args, " "), got, err)
		}
	}
}

// openTemp returns an empty folder below TMPDIR for the data of servers. The
// folders above it are opened first: with this folder as TMPDIR, they no longer
// lie below it.
func openTemp(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}
