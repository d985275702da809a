package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every curl line of docs/console.md, in order, gets the status that it says.
func TestConsoleWalkThrough(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/console.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "out")) // of this test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, &flags{lockTTL: lockTTL, addr: "127.0.0.1:0", appAddr: "127.0.0.1:0", data: filepath.Join(dir, "data"), tenants: 3}, out)
	}()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	token, address := regexp.MustCompile(`"token":"([^"]+)"`), regexp.MustCompile(`console answers at http://([^,]+),`)
	var printed string
	until(t, "the lines are printed", func() bool {
		select {
		case err := <-done:
			t.Fatalf("the program ended: %v", err)
		default:
		}
		b, err := os.ReadFile(out.Name())
		printed = string(b)
		return err == nil && token.MatchString(printed)
	})
	script := strings.Builder{}
	script.WriteString("set -eu\nTOKEN=" + token.FindStringSubmatch(printed)[1] + "\ncurl() { command curl -w '%{stderr}<%{http_code}>' \"$@\"; }\n")
	var want []string
	for _, block := range strings.Split(string(text), "```sh\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		script.WriteString(strings.ReplaceAll(block, "127.0.0.1:8081", address.FindStringSubmatch(printed)[1]))
		for line := range strings.Lines(block) {
			if _, status, ok := strings.Cut(line, " # "); ok {
				want = append(want, "<"+strings.TrimSpace(status)+">")
			} else if strings.Contains(line, "curl ") {
				t.Errorf("%s: no status", line)
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script.String()) // of the documentation
	cmd.Dir = dir
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("%v: %s", err, stderr.String())
	}
	if got := regexp.MustCompile(`<\d+>`).FindAllString(stderr.String(), -1); !slices.Equal(got, want) || len(want) < 20 {
		t.Errorf("got %q, want %q\n%s%s", got, want, stdout.String(), stderr.String())
	}
	if !strings.Contains(stdout.String(), `"whole":true`) {
		t.Errorf("got %s, want a whole audit", stdout.String())
	}
}
