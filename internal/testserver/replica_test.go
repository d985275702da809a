//go:build unix

package testserver

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// wait returns when the query's result is true, and fails the test when that
// takes minutes.
func wait(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		var ok bool
		err := db.QueryRowContext(ctx, query).Scan(&ok)
		if err == nil && ok {
			return
		}
		if !sleep(ctx, askInterval) {
			t.Fatalf("%s: got %v, %v for two minutes, want true", query, ok, err)
		}
	}
}

// hasDatabase asks whether there is a database of that name.
func hasDatabase(engine Engine, name string) string {
	if engine == MariaDB {
		return "SELECT COUNT(*) > 0 FROM information_schema.schemata WHERE schema_name = '" + name + "'"
	}
	return "SELECT COUNT(*) > 0 FROM pg_database WHERE datname = '" + name + "'"
}

func must(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func beginPrimary(t *testing.T, engine Engine) *Server {
	t.Helper()
	need(t, engine)
	s, err := Start(t.Context(), engine, t.TempDir(), &Options{Primary: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

func beginReplica(t *testing.T, primary *Server, opts *Options) *Server {
	t.Helper()
	s, err := StartReplica(t.Context(), primary, t.TempDir(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

func eachWithReplicas(t *testing.T, test func(*testing.T, Engine)) {
	t.Parallel()
	for _, engine := range []Engine{Postgres, MariaDB} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			test(t, engine)
		})
	}
}

func TestRedisHasNoReplicas(t *testing.T) {
	t.Parallel()
	need(t, Redis)
	dir := t.TempDir()
	if s, err := Start(t.Context(), Redis, dir, &Options{Primary: true}); err == nil {
		s.Kill()
		t.Error("got no error")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What is made on the primary appears on its replica and on that one's, what was
// there before at once.
func TestReplica(t *testing.T) {
	eachWithReplicas(t, func(t *testing.T, engine Engine) {
		primary := beginPrimary(t, engine)
		must(t, open(t, primary), "CREATE DATABASE before_it")
		replica := beginReplica(t, primary, &Options{Primary: true})
		var there bool
		err := open(t, replica).QueryRowContext(t.Context(), hasDatabase(engine, "before_it")).Scan(&there)
		if err != nil || !there {
			t.Errorf("a database that was there before: got %v, %v, want true", there, err)
		}
		second := beginReplica(t, replica, nil)
		must(t, open(t, primary), "CREATE DATABASE after_it")
		for _, s := range []*Server{replica, second} {
			wait(t, open(t, s), hasDatabase(engine, "after_it"))
		}
		if err := second.Stop(); err != nil {
			t.Error(err)
		}
		// A replica goes on after it was down, and after its primary was.
		replica.Kill()
		must(t, open(t, primary), "CREATE DATABASE meanwhile")
		if engine == Postgres { // which would remove what the replica has not got yet
			db := open(t, primary)
			must(t, db, "SELECT pg_switch_wal()")
			must(t, db, "CHECKPOINT")
			must(t, db, "SELECT pg_switch_wal()")
			must(t, db, "CHECKPOINT")
		}
		if err := replica.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		wait(t, open(t, replica), hasDatabase(engine, "meanwhile"))
		primary.Kill()
		if err := primary.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		must(t, open(t, primary), "CREATE DATABASE afterwards")
		wait(t, open(t, replica), hasDatabase(engine, "afterwards"))
		for _, s := range []*Server{primary, replica} {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
			if alive(s.PID) {
				t.Errorf("process %d runs after Stop", s.PID)
			}
		}
	})
}

// hasNoReplica asks for a replica of a server that was not started for that, and of
// one that is down.
func hasNoReplica(t *testing.T, s *Server) {
	t.Helper()
	dir := t.TempDir()
	if _, err := StartReplica(t.Context(), s, dir, nil); err == nil || !strings.Contains(err.Error(), "Options.Primary") {
		t.Errorf("got %v, want an error that names Options.Primary", err)
	}
	s.opts.Primary = true
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // it asks until then
	defer cancel()
	if _, err := StartReplica(ctx, s, dir, nil); err == nil {
		t.Error("a primary that is down: got no error")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	for _, process := range processes(t) {
		if strings.Contains(commandLine(process), dir) {
			_ = syscall.Kill(process, syscall.SIGKILL)
			t.Errorf("process %d was left behind", process)
		}
	}
}

// processes returns the numbers of all processes, on Linux.
func processes(t *testing.T) (pids []int) {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if pid, err := strconv.Atoi(filepath.Base(path)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
