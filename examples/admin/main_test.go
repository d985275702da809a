package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The lines that the program prints work as printed, in order, in another terminal.
func TestWelcome(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	out, err := os.Create(filepath.Join(dir, "out")) // of this test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, &flags{lockTTL: lockTTL, addr: "127.0.0.1:0", appAddr: "127.0.0.1:0", data: data, tenants: 3, rate: 50, demo: true}, out)
	}()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	var printed string
	until(t, "the lines are printed", func() bool {
		select {
		case err := <-done:
			t.Fatalf("the program ended: %v", err)
		default:
		}
		b, err := os.ReadFile(out.Name())
		printed = string(b)
		return err == nil && strings.Contains(printed, "/audit?")
	})
	if info, err := os.Stat(filepath.Join(data, "welcome.txt")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want the lines in a file of mode 0600", info, err)
	}
	if info, err := os.Stat(data); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v, want a folder of mode 0700", info, err)
	}
	var commands []string
	for line := range strings.Lines(printed) {
		if strings.HasPrefix(line, "curl ") {
			commands = append(commands, strings.TrimSpace(line))
		}
	}
	if len(commands) != 7 {
		t.Fatalf("got %d commands, want 7:\n%s", len(commands), printed)
	}
	curl := func(command string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command) // printed by the program
		cmd.Dir = dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		b, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v: %s", command, err, stderr.String())
		}
		return string(b)
	}
	overview := commands[2]
	if got := curl(strings.Replace(overview, " -b jar", "", 1)); !strings.Contains(got, `"status":401`) {
		t.Errorf("without the cookie: got %s, want 401", got)
	}
	if got := curl(commands[0]); !strings.Contains(got, `"email":"you@example.com"`) {
		t.Fatalf("setup: got %s", got)
	}
	if got := curl(strings.Replace(commands[0], "-c jar", "-c other", 1)); !strings.Contains(got, `"status":401`) {
		t.Errorf("the token again: got %s, want 401", got)
	}
	if got := curl(commands[1]); !strings.Contains(got, `"email":"you@example.com"`) {
		t.Fatalf("sign-in: got %s", got)
	}
	requests := func() float64 {
		var o struct {
			Requests     *struct{ Value float64 }
			TotalTenants *struct{ Value float64 } `json:"total_tenants"`
		}
		if err := json.Unmarshal([]byte(curl(overview)), &o); err != nil {
			t.Fatal(err)
		}
		if o.Requests == nil || o.TotalTenants == nil || o.TotalTenants.Value != 3 {
			return 0
		}
		return o.Requests.Value
	}
	first := 0.0
	until(t, "three tenants with requests are shown", func() bool { first = requests(); return first > 0 })
	until(t, "the count grows", func() bool { return requests() > first })
	if got := curl(commands[4]); !strings.Contains(got, `"status":"suspended"`) {
		t.Fatalf("suspend: got %s", got)
	}
	if got := curl(commands[5]); !strings.HasPrefix(got, "HTTP/1.1 403 ") {
		t.Errorf("the tenant's next request: got %s, want 403", got)
	}
	if got := curl(commands[6]); !strings.Contains(got, `"name":"You"`) || !strings.Contains(got, `"reason":"unpaid"`) {
		t.Errorf("audit: got %s, want who did it, and why", got)
	}
	var frames string
	until(t, "two frames of the stream", func() bool {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", commands[3]) // as above
		cmd.Dir = dir
		b, _ := cmd.Output() // ends by its time
		frames = string(b)
		return strings.Count(frames, "event: overview\n") >= 2
	})
}

// A second instance with the same flags serves the tenants at a free port; an address that was asked for is not exchanged for another.
func TestUsualAddressIsTaken(t *testing.T) {
	t.Parallel()
	first, err := listenAt(t.Context(), "127.0.0.1:0", "", http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	defer first.stop()
	second, err := listenAt(t.Context(), "", first.addr, http.NotFoundHandler())
	if err != nil || second.addr == first.addr {
		t.Fatalf("got %+v, %v, want another address", second, err)
	}
	second.stop()
	if _, err := listenAt(t.Context(), first.addr, "127.0.0.1:0", http.NotFoundHandler()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v, want that the address is taken", err)
	}
}

const (
	patient = 10 * time.Minute // longer than anything takes on a slow machine
	lockTTL = 2 * time.Minute  // a slow machine does not renew in time; and what is not given up ends before patience does
)

// until waits for a condition, for minutes.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for end := time.Now().Add(patient); !met(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
