package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A second process with the same flags is the second instance: it accepts the cookie of the first, sees its tenants and changes, and goes on
// when the first has ended. So it is on each server, with and without Redis.
func TestSecondInstance(t *testing.T) {
	t.Parallel()
	redis := strings.TrimPrefix(os.Getenv(tenancytest.RedisEnv), "redis://")
	for _, engine := range []string{"postgres", "mysql"} {
		for name, at := range map[string]string{engine: "", engine + " and Redis": redis} {
			if name != engine && at == "" {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				server := tenancytest.NewServer(t, engine).DSN
				dir := t.TempDir()
				f := flags{lockTTL: lockTTL, server: server, redis: at, control: "control_" + strings.ToLower(string(tenancy.NewID())), addr: "127.0.0.1:0", appAddr: "127.0.0.1:0", tenants: 3}
				t.Cleanup(func() { dropControl(t, server, f.control) })
				first, end := start(t, dir, "one", f)
				token := regexp.MustCompile(`"token":"([^"]+)"`).FindStringSubmatch(first)
				if token == nil {
					t.Fatalf("got %s, want a setup token", first)
				}
				one := address(t, first)
				curl := func(args ...string) string {
					t.Helper()
					cmd := exec.CommandContext(t.Context(), "curl", append([]string{"-sS"}, args...)...)
					cmd.Dir = dir
					out, err := cmd.CombinedOutput()
					if err != nil {
						t.Fatalf("curl %q: %v: %s", args, err, out)
					}
					return string(out)
				}
				curl("-c", "jar", "--json", fmt.Sprintf(`{"token":%q,"email":"you@example.com","password":"correct horse battery staple"}`, token[1]), one+"auth/setup")
				second, endSecond := start(t, dir, "two", f)
				defer endSecond()
				two := address(t, second)
				if strings.Contains(second, "setup?token") {
					t.Errorf("got %s, want no setup token: there is an owner", second)
				}
				if got := curl("-b", "jar", two+"tenants"); !strings.Contains(got, `"total":3`) {
					t.Errorf("got %s, want the three tenants", got)
				}
				id := regexp.MustCompile(`"id":"([^"]+)","slug":"acme"`).FindStringSubmatch(curl("-b", "jar", two+"tenants"))
				if id == nil {
					t.Fatal("no tenant acme")
				}
				curl("-b", "jar", "-X", "POST", two+"tenants/"+id[1]+"/suspend")
				if got := curl("-b", "jar", one+"tenants/"+id[1]); !strings.Contains(got, `"suspended"`) {
					t.Errorf("got %s, want what the other changed", got)
				}
				end()
				if got := curl("-b", "jar", two+"me"); !strings.Contains(got, `"email":"you@example.com"`) {
					t.Errorf("after the first has ended: got %s, want to be signed in", got)
				}
				if got := curl("-b", "jar", "-X", "POST", two+"audit/verify"); !strings.Contains(got, `"whole":true`) {
					t.Errorf("got %s, want the audit whole", got)
				}
			})
		}
	}
}

// address returns where the API of a program that printed this is.
func address(t *testing.T, printed string) string {
	t.Helper()
	found := regexp.MustCompile(`console answers at (http://[^,]+),`).FindStringSubmatch(printed)
	if found == nil {
		t.Fatalf("got %s, want an address", printed)
	}
	return found[1] + "/api/tenancy/"
}

// start runs the program and returns what it printed.
func start(t *testing.T, dir, name string, f flags) (printed string, end func()) {
	t.Helper()
	f.data = filepath.Join(dir, name)
	out, err := os.Create(filepath.Join(dir, name+".out"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, &f, out) }()
	ended := false
	end = func() {
		if ended {
			return
		}
		ended = true
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = out.Close()
	}
	t.Cleanup(end)
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
	return printed, end
}

// dropControl removes the databases that the program made.
func dropControl(t *testing.T, server, control string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
	defer cancel()
	_, engine, err := engineOf("", server)
	if err != nil {
		t.Error(err)
		return
	}
	db, err := openControl(ctx, &flags{server: server, control: control}, engine)
	if err != nil {
		t.Error(err)
		return
	}
	cat, err := catalog.New(db, nil)
	if err != nil {
		t.Error(err)
		return
	}
	tenants, err := cat.List(ctx, tenancy.Filter{})
	if err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	databases := engine.(driver.Databases)
	for _, each := range tenants {
		if err := databases.Drop(ctx, each.Placement.Database, each.ID); err != nil && !errors.Is(err, tenancy.ErrNotFound) {
			t.Error(err)
		}
	}
	if err := databases.Drop(ctx, control, controlOwner); err != nil {
		t.Error(err)
	}
}
