package dbpool_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/tenancytest"
)

const lockedFile = "TENANCY_TEST_LOCKED_FILE"

// A process that closes any descriptor of a file drops all locks that it has on
// it (see https://sqlite.org/howtocorrupt.html), and another one then takes the
// write-ahead log away. So nothing here may open a tenant's file but SQLite.
func TestNothingDropsLocks(t *testing.T) {
	t.Parallel()
	if path := os.Getenv(lockedFile); path != "" {
		tellLock(t, path) // in a process of its own
		return
	}
	dir := t.TempDir()
	engine, err := sqlite.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	tenant := tenancytest.NewTenant("acme")
	ctx, name := tenancy.NewContext(t.Context(), tenant), tenant.Placement.Database
	servers := map[string]driver.Engine{tenant.Placement.Server: engine}
	pool, err := dbpool.New(servers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	other, err := dbpool.New(servers, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name+".db")
	steps := []struct {
		name string
		do   func() error
	}{
		{"create", func() error { return pool.Create(ctx, tenant) }},
		{"query", func() error {
			db, err := pool.DB(ctx)
			if err != nil {
				return err
			}
			_, err = db.Exec(`CREATE TABLE notes (id INT)`)
			return err
		}},
		{"create again", func() error { _ = pool.Create(ctx, tenant); return nil }},
		{"claim", func() error { return pool.Claim(ctx, tenant) }},
		{"exists", func() error { _, err := pool.Exists(ctx, tenant); return err }},
		{"size", func() error { _, err := pool.Size(ctx, tenant); return err }},
		{"file", func() error { _, err := engine.File(name); return err }},
		{"another pool", func() error {
			db, err := other.DB(ctx)
			if err != nil {
				return err
			}
			_, err = db.Exec(`INSERT INTO notes VALUES (1)`)
			return err
		}},
		{"that pool's end", other.Close},
		{"drop by another tenant", func() error {
			foreign := tenant.Clone()
			foreign.ID = "other"
			_ = pool.Drop(ctx, archived(foreign))
			return nil
		}},
	}
	for i, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if want := i > 0; locked(t, path) != want {
			t.Fatalf("after %s: got locked %v, want %v", step.name, !want, want)
		}
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
	if locked(t, path) {
		t.Error("after Close: the file is locked, want it free")
	}
}

// locked asks another process whether this one has SQLite's shared lock.
func locked(t *testing.T, path string) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNothingDropsLocks$", "-test.v")
	cmd.Env = append(os.Environ(), lockedFile+"="+path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.Contains(string(out), "the file is locked")
}

func tellLock(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	// The bytes that readers lock. Source: https://sqlite.org/src/file/src/os.h
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: 0x40000002, Len: 510}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock); err != nil {
		t.Fatal(err)
	}
	if lock.Type != syscall.F_UNLCK {
		t.Log("the file is locked")
	}
}
