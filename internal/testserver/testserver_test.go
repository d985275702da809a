//go:build unix

package testserver

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/rueidis"
)

var engines = []Engine{Postgres, MariaDB, Redis}

// parentEnv names the engine that a child process of these tests starts, to be
// killed by the test.
const parentEnv = "TESTSERVER_PARENT_OF"

func TestMain(m *testing.M) {
	if engine := os.Getenv(parentEnv); engine != "" {
		parent(Engine(engine))
	}
	os.Exit(m.Run())
}

func parent(engine Engine) {
	s, err := Start(context.Background(), engine, os.Getenv("TESTSERVER_DIR"), nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.PID)
	select {}
}

// need skips a test whose programs are missing, or fails it where the project's
// own test command has promised them.
func need(t *testing.T, engine Engine) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a server")
	}
	err := engine.Find()
	if err == nil {
		return
	}
	if os.Getenv("TENANCY_TEST_REQUIRE") == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}

func begin(t *testing.T, engine Engine) *Server {
	t.Helper()
	need(t, engine)
	s, err := Start(t.Context(), engine, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

func each(t *testing.T, test func(*testing.T, Engine)) {
	t.Parallel()
	for _, engine := range engines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			test(t, engine)
		})
	}
}

func open(t *testing.T, s *Server) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", s.URL
	if s.Engine == MariaDB {
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		driver, dsn = "mysql", u.User.Username()+"@tcp("+u.Host+")/mysql"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func openRedis(t *testing.T, s *Server) rueidis.Client {
	t.Helper()
	client, err := rueidis.NewClient(rueidis.MustParseURL(s.URL))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// alive reports whether the process exists and is not a zombie.
func alive(pid int) bool { return commandLine(pid) != "" }

// One server of each engine is started, and all is done to it that can be.
func TestLife(t *testing.T) {
	each(t, func(t *testing.T, engine Engine) {
		s := begin(t, engine)
		if !alive(s.PID) {
			t.Fatalf("process %d: not found", s.PID)
		}
		if engine == Redis {
			queryRedis(t, s)
		} else {
			query(t, s)
		}
		knowsItself(t, s)
		stop(t, s) // the queries still hold a connection
		refusesTakenPort(t, s)
		restart(t, s)
		kill(t, s)
		hasNoReplica(t, s)
	})
}

// knowsItself takes the answer of another server for that.
func knowsItself(t *testing.T, s *Server) {
	t.Helper()
	other := *s
	elsewhere := *s.recipe
	elsewhere.data = t.TempDir()
	other.recipe = &elsewhere
	if err := other.ask(t.Context()); err == nil {
		t.Error("took the answer of another server for its own")
	}
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	for range 2 {
		if err := s.Stop(); err != nil {
			t.Fatalf("Stop: %v", err)
		}
	}
	if alive(s.PID) {
		t.Errorf("process %d runs after Stop", s.PID)
	}
}

func refusesTakenPort(t *testing.T, s *Server) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	other := *s
	if err := other.launch(t.Context(), l.Addr().(*net.TCPAddr).Port); !errors.Is(err, errPortTaken) {
		t.Errorf("got %v, want %v", err, errPortTaken)
	}
}

// restart starts a server that was stopped, killed, and is running.
func restart(t *testing.T, s *Server) {
	t.Helper()
	before := *s
	for _, state := range []string{"stopped", "killed", "running"} {
		if state == "killed" {
			s.Kill()
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatalf("Restart of a %s server: %v", state, err)
		}
		switch {
		case s.Engine == Redis:
			client := openRedis(t, s)
			if n, err := client.Do(t.Context(), client.B().Dbsize().Build()).AsInt64(); n != 0 || err != nil {
				t.Errorf("got %d keys, %v, want an empty server", n, err)
			}
			queryRedis(t, s)
		case state == "running":
			if _, err := open(t, s).ExecContext(t.Context(), "DROP DATABASE another"); err != nil {
				t.Errorf("data was lost: %v", err)
			}
		}
	}
	if s.URL != before.URL {
		t.Errorf("URL: got %s, want %s as before", s.URL, before.URL)
	}
	if s.PID == before.PID {
		t.Errorf("PID: got %d, want another than before", s.PID)
	}
}

// kill kills a server and looks for what it leaves.
func kill(t *testing.T, s *Server) {
	t.Helper()
	key := segmentKey(t, s)
	if s.Engine == Postgres && runtime.GOOS == "linux" && !hasSegment(t, key) {
		t.Errorf("got no segment of shared memory with the key %s, want that of the server", key)
	}
	for range 2 {
		s.Kill()
	}
	if alive(s.PID) {
		t.Errorf("process %d runs after Kill", s.PID)
	}
	if s.Engine == Postgres && runtime.GOOS == "linux" && hasSegment(t, key) {
		t.Errorf("the segment of shared memory with the key %s is left", key)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("Stop after Kill: %v", err)
	}
	if err := os.RemoveAll(s.Dir); err != nil {
		t.Errorf("a process still writes: %v", err)
	}
}

// segmentKey returns the key of the shared memory that a PostgreSQL has said it uses.
func segmentKey(t *testing.T, s *Server) string {
	t.Helper()
	if s.Engine != Postgres {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(s.recipe.data, pidFile))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(strings.Split(string(text), "\n")[6])[0]
}

// hasSegment looks for the key in the kernel's list of segments.
func hasSegment(t *testing.T, key string) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == key {
			return true
		}
	}
	return false
}

func query(t *testing.T, s *Server) {
	t.Helper()
	db := open(t, s)
	var limit int
	query := "SELECT current_setting('max_connections')"
	if s.Engine == MariaDB {
		query = "SELECT @@max_connections"
	}
	if err := db.QueryRowContext(t.Context(), query).Scan(&limit); err != nil {
		t.Fatal(err)
	}
	if limit != 200 {
		t.Errorf("max_connections: got %d, want 200", limit)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE another"); err != nil {
		t.Errorf("the user of URL cannot create a database: %v", err)
	}
}

func queryRedis(t *testing.T, s *Server) {
	t.Helper()
	client := openRedis(t, s)
	got, err := client.Do(t.Context(), client.B().ConfigGet().Parameter("*").Build()).AsStrMap()
	if err != nil || got["save"] != "" || got["appendonly"] != "no" || got["bind"] != "127.0.0.1" {
		t.Errorf("got save %q, appendonly %q, bind %q, %v, want nothing saved, and the loopback interface",
			got["save"], got["appendonly"], got["bind"], err)
	}
	if err := client.Do(t.Context(), client.B().Set().Key("k").Value("v").Build()).Error(); err != nil {
		t.Error(err)
	}
}

func TestDiesWithParent(t *testing.T) {
	each(t, func(t *testing.T, engine Engine) {
		need(t, engine)
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), parentEnv+"="+string(engine), "TESTSERVER_DIR="+t.TempDir())
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("the parent says %q", line)
		}
		for deadline := time.Now().Add(2 * time.Minute); alive(pid); time.Sleep(askInterval) {
			if time.Now().After(deadline) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				t.Fatalf("process %d runs two minutes after its parent was killed", pid)
			}
		}
	})
}

func TestStopDetached(t *testing.T) {
	each(t, func(t *testing.T, engine Engine) {
		need(t, engine)
		s, err := Start(t.Context(), engine, t.TempDir(), &Options{Detached: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Kill)
		if err := StopDetached(engine, s.PID, t.TempDir()); err != nil {
			t.Fatal(err)
		}
		if !alive(s.PID) {
			t.Fatal("a process of another folder was stopped")
		}
		if err := StopDetached(engine, s.PID, s.Dir); err != nil {
			t.Fatal(err)
		}
		if alive(s.PID) {
			t.Errorf("process %d runs after StopDetached", s.PID)
		}
	})
}

func TestCanceledStart(t *testing.T) {
	each(t, func(t *testing.T, engine Engine) {
		need(t, engine)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		dir := t.TempDir()
		if engine == Redis { // which starts at once
			cancel()
		}
		go func() { // in the midst of it
			for ctx.Err() == nil {
				if made, _ := filepath.Glob(filepath.Join(dir, "*", "data")); len(made) > 0 {
					cancel()
				}
			}
		}()
		_, err := Start(ctx, engine, dir, nil)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestNotInstalled(t *testing.T) {
	t.Parallel()
	if _, err := find("no-such-program", "/usr/bin"); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("got %v, want %v", err, ErrNotInstalled)
	}
}

func TestFindNewest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, version := range []string{"9", "15", "17"} {
		if err := os.MkdirAll(dir+"/"+version+"/bin", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+version+"/bin/no-such-program", nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	got, err := find("no-such-program", dir+"/*/bin")
	if want := dir + "/17/bin/no-such-program"; got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestClosedFolder(t *testing.T) {
	t.Parallel()
	temp, outside := t.TempDir(), t.TempDir()
	for _, dir := range []string{temp + "/inside", outside + "/closed"} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := letThrough(temp+"/inside", "someone", temp); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(temp + "/inside"); err != nil || info.Mode().Perm() != 0o701 {
		t.Errorf("inside: got %v, %v, want mode 0701", info.Mode(), err)
	}
	if err := letThrough(outside+"/closed", "someone", temp); err == nil {
		t.Error("outside: got no error")
	}
	if info, err := os.Stat(outside + "/closed"); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("outside: got %v, %v, want mode 0700", info.Mode(), err)
	}
}
