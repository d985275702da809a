//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestExitCode(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -TERM $$": 128 + int(syscall.SIGTERM)} {
		for _, share := range []float64{0.3, 1} {
			if got, err := run([]string{"sh", "-c", script}, share, nil); got != want || err != nil {
				t.Errorf("%s, share %v: got %d, %v, want %d", script, share, got, err, want)
			}
		}
	}
	if got, err := run([]string{"/no/such/program"}, 1, nil); got != 127 || err == nil {
		t.Errorf("no program: got %d, %v, want 127 and an error", got, err)
	}
}

// A command gets the signal, with all its children, also while it is stopped.
func TestSignalReachesTheGroup(t *testing.T) {
	t.Parallel()
	for _, share := range []float64{0.001, 1} { // with so small a share it is stopped nearly always
		signals, ready := make(chan os.Signal, 1), filepath.Join(t.TempDir(), "ready")
		go func() {
			for {
				if _, err := os.Stat(ready); err == nil {
					signals <- syscall.SIGTERM
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
		got, err := run([]string{"sh", "-c", `sleep 3600 & touch "$0"; wait`, ready}, share, signals)
		if want := 128 + int(syscall.SIGTERM); got != want || err != nil {
			t.Errorf("share %v: got %d, %v, want %d", share, got, err, want)
		}
	}
}

// A command with a share of the time is stopped and continued again and again: the
// shell ends when it was continued for the fifth time, and never before.
func TestShare(t *testing.T) {
	t.Parallel()
	script := `trap 'n=$((n+1)); [ $n -lt 5 ] || exit 9' CONT; while :; do :; done`
	if code, err := run([]string{"sh", "-c", script}, 0.1, nil); code != 9 || err != nil {
		t.Errorf("got %d, %v, want 9", code, err)
	}
}
