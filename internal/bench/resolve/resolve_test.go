//go:build unix

package main

import (
	"context"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

func TestMain(m *testing.M) {
	if os.Getenv(replicaEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// Everything is measured, for a moment.
func TestRun(t *testing.T) {
	for _, engine := range []testserver.Engine{testserver.Postgres, testserver.Redis} {
		err := engine.Find()
		if err != nil && os.Getenv("TENANCY_TEST_REQUIRE") == "1" {
			t.Fatal(err)
		}
		if err != nil {
			t.Skip(err)
		}
	}
	err := run(t.Context(), config{
		rounds: 2, length: time.Millisecond, sizes: []int{3, 20}, memory: 20, warm: 1000, unknown: 1000,
		changes: 8, late: 1, idle: 50 * time.Millisecond, dir: t.TempDir(),
	})
	if err != nil {
		t.Error(err)
	}
}

// What is asked for is at other addresses than what is known.
func TestDraw(t *testing.T) {
	t.Parallel()
	names := []string{"acme", "globex", "initech"}
	list := draw(names)
	if len(list) != 4096 {
		t.Errorf("got %d names, want 4096", len(list))
	}
	seen := map[*byte]bool{}
	for _, name := range names {
		seen[unsafe.StringData(name)] = true
	}
	for _, name := range list {
		if !slices.Contains(names, name) {
			t.Fatalf("got %q, want one of %q", name, names)
		}
		if seen[unsafe.StringData(name)] {
			t.Fatalf("%q shares its memory", name)
		}
		seen[unsafe.StringData(name)] = true
	}
}

// A side that finds another tenant than the request names, or none, is not measured.
func TestCheck(t *testing.T) {
	t.Parallel()
	tenants := []*tenancy.Tenant{{Slug: "acme", Status: tenancy.StatusActive}, {Slug: "globex", Status: tenancy.StatusActive}}
	of := func(find func(slug string) *tenancy.Tenant) side {
		return side{name: "x", who: byHand, wrap: found(func(_ context.Context, slug string) (*tenancy.Tenant, error) {
			if tenant := find(slug); tenant != nil {
				return tenant, nil
			}
			return nil, tenancy.ErrNotFound
		})}
	}
	right := func(slug string) *tenancy.Tenant {
		return tenants[slices.IndexFunc(tenants, func(t *tenancy.Tenant) bool { return t.Slug == slug })]
	}
	for name, c := range map[string]struct {
		find func(string) *tenancy.Tenant
		want string
	}{
		"right": {right, ""},
		"wrong": {func(string) *tenancy.Tenant { return tenants[0] }, `the tenant of globex.example.com is "acme"`},
		"none":  {func(string) *tenancy.Tenant { return nil }, "answer 503"},
	} {
		s := of(c.find)
		err := s.check(tenants)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	refusing := of(func(string) *tenancy.Tenant { return nil }).wrap(nothing)
	if _, err := measure(time.Millisecond, 2, 1, []string{"acme" + base}, func() func(*worker, int) { return serve(refusing) }); err == nil {
		t.Error("refused while it is measured: got no error")
	}
	if codes := flood(refusing, 3, 10, func(int) string { return "acme" + base }); len(codes) != 1 || codes[http.StatusServiceUnavailable] != 10 {
		t.Errorf("got answers %v, want ten of 503", codes)
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	c := quick()
	c.only, c.dir = []string{"memory", "magic"}, t.TempDir()
	if err := run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "magic") {
		t.Errorf("got %v, want that nothing is called magic", err)
	}
}
