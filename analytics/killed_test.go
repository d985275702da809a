package analytics_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// An instance that is killed loses what it counted since its last flush, and nothing
// counts twice.
func TestKilled(t *testing.T) {
	if path := os.Getenv("USAGE_KILLED"); path != "" {
		countUntilKilled(t, path)
		return
	}
	t.Parallel()
	kills := 3
	if os.Getenv("TENANCY_SOAK") != "" {
		kills = 100
	}
	path := filepath.Join(t.TempDir(), "usage.db")
	store := openSQLite(t, path)
	var least, most int64
	for range kills {
		flushed, started := killOne(t, path)
		least, most = least+flushed, most+started
		if got := jobs(t, store); got < least || got > most {
			t.Fatalf("got %d, want %d that were flushed to %d that were begun", got, least, most)
		}
		least = jobs(t, store) // a flush whose end was not printed counts
		most = least
	}
}

func openSQLite(t testing.TB, path string) *analytics.SQL {
	t.Helper()
	db, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return migratedIn(t, db)
}

// killOne starts an instance and kills it after some lines. It returns what the instance
// said that it had flushed, and begun.
func killOne(t *testing.T, path string) (flushed, started int64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKilled$") // this program
	cmd.Env = append(os.Environ(), "USAGE_KILLED="+path)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	after := 5 + rand.IntN(40) // a test
	seen := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var n int64
		if k, _ := fmt.Sscanf(lines.Text(), "started %d", &n); k == 1 {
			started = n
		} else if k, _ := fmt.Sscanf(lines.Text(), "flushed %d", &n); k == 1 {
			flushed = n
		}
		if seen++; seen == after {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait() // it was killed
	if flushed == 0 && after > 10 {
		t.Errorf("it flushed nothing in %d lines", seen)
	}
	return flushed, started
}

// countUntilKilled says before each job, and after each flush, how many there were.
func countUntilKilled(t *testing.T, path string) {
	rec := newRecorder(t, openSQLite(t, path), &analytics.Options{Flush: time.Hour})
	ctx := tenancy.NewContext(context.Background(), tenancytest.NewTenant("acme"))
	for n := int64(1); ; n++ {
		fmt.Printf("started %d\n", n)
		_ = rec.Do(ctx, func(context.Context) error { return nil })
		if n%3 == 0 {
			if err := rec.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			fmt.Printf("flushed %d\n", n)
		}
	}
}
