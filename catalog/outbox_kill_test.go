//go:build unix

package catalog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// killEnv is set for the processes of TestOutboxKilled: engine, DSN, tenant, database, the
// file that events go to, and behind how many of them the process kills itself.
const killEnv = "CATALOG_TEST_KILLED"

func TestMain(m *testing.M) {
	if env := os.Getenv(killEnv); env != "" {
		if err := deliverAndDie(strings.Split(env, "\n")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// deliverAndDie appends each event to the file, and ends the process without a word
// before the last one is there, or before it could be marked.
func deliverAndDie(args []string) error {
	ctx := context.Background()
	var most int
	if _, err := fmt.Sscan(args[5], &most); err != nil {
		return err
	}
	var engine driver.Engine
	var err error
	switch args[0] {
	case "sqlite":
		engine, err = sqlite.New(args[1])
	case "postgres":
		engine, err = postgres.New(args[1], nil)
	default:
		engine, err = mysql.New(args[1], nil)
	}
	if err != nil {
		return err
	}
	pool, err := dbpool.New(map[string]driver.Engine{args[0]: engine}, nil)
	if err != nil {
		return err
	}
	t := &tenancy.Tenant{ID: tenancy.ID(args[2]), Slug: "x", Status: tenancy.StatusActive, Placement: tenancy.Placement{Server: args[0], Database: args[3]}}
	db, err := pool.For(ctx, t)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(args[4], os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	n := 0
	box, err := catalog.NewOutbox(db, &catalog.OutboxOptions{Parallel: 1, Deliver: func(_ context.Context, e catalog.Event) error {
		n++
		die := func() error {
			return errors.Join(syscall.Kill(os.Getpid(), syscall.SIGKILL), errors.New("still alive"))
		}
		if n == most && most%2 == 0 {
			return die()
		}
		if _, err := fmt.Fprintf(file, "%s %d\n", e.Tenant, e.Version); err != nil {
			return err
		}
		if n == most {
			return die()
		}
		return nil
	}})
	if err != nil {
		return err
	}
	return box.Run(ctx)
}

// A process that is killed between a delivery and its mark loses no event, and delivers
// none before an earlier one of its tenant.
func TestOutboxKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts processes")
	}
	kills := 3
	if os.Getenv("TENANCY_SOAK") != "" {
		kills = 40
	}
	tenancytest.EachEngine(t, func(t *testing.T, server *tenancytest.Server) {
		control := server.Tenant(t, "control")
		db, err := server.Pool(t, nil).For(t.Context(), control)
		if err != nil {
			t.Fatal(err)
		}
		s := join(t, db, catalog.OutboxOptions{Deliver: func(context.Context, catalog.Event) error { return nil }}, catalog.Options{})
		log := filepath.Join(t.TempDir(), "events")
		ids := []tenancy.ID{s.create(t, "acme"), s.create(t, "globex")}
		changes := 1
		for kill := range kills {
			for i := range 40 {
				for _, id := range ids {
					s.plan(t, id, fmt.Sprint(kill, i))
				}
				changes++
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), killEnv+"="+strings.Join([]string{
				server.Name, server.DSN, string(control.ID), control.Placement.Database, log, fmt.Sprint(1 + kill*37%80),
			}, "\n"))
			var said bytes.Buffer
			cmd.Stderr = &said
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("got %v, want the process killed: %s", err, said.String())
			}
			// As if the time of its lease were over.
			if _, err := db.ExecContext(t.Context(), `UPDATE tenancy_outbox_leases SET expires_at = 0`); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		before := versionsIn(t, string(text))
		events := &tenancytest.Events{}
		rest := join(t, db, catalog.OutboxOptions{Deliver: events.Deliver}, catalog.Options{})
		rest.run(t)
		rest.settled(t)
		for _, id := range ids {
			seen := map[int64]bool{}
			last := int64(0)
			for _, v := range append(before[id], versions(events.All(), id)...) {
				if v > last+1 {
					t.Fatalf("tenant %s: version %d was delivered before %d", id, v, last+1)
				}
				last = max(last, v)
				seen[v] = true
			}
			if len(seen) != changes {
				t.Errorf("tenant %s: got %d events, want %d", id, len(seen), changes)
			}
		}
	})
}

func versionsIn(t *testing.T, text string) map[tenancy.ID][]int64 {
	t.Helper()
	out := map[tenancy.ID][]int64{}
	for line := range strings.Lines(text) {
		var id tenancy.ID
		var v int64
		if _, err := fmt.Sscan(line, &id, &v); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		out[id] = append(out[id], v)
	}
	if len(out) == 0 {
		t.Fatal("no process delivered anything")
	}
	return out
}
