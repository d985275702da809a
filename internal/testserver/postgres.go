//go:build unix

package testserver

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

func postgres(home string) (*recipe, error) {
	initdb, err := find("initdb", "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
	if err != nil {
		return nil, err
	}
	// The server must be of the version that wrote the data folder.
	if initdb, err = filepath.EvalSymlinks(initdb); err != nil {
		return nil, err
	}
	server := filepath.Join(filepath.Dir(initdb), "postgres")
	if server, err = find(server); err != nil {
		return nil, err
	}
	backup := filepath.Join(filepath.Dir(initdb), "pg_basebackup")
	data := filepath.Join(home, "data")
	return &recipe{
		user: "postgres",
		data: data,
		install: []string{
			initdb, "-D", data, "-U", "postgres", "--auth=trust",
			"--encoding=UTF8", "--no-locale", "--no-sync",
		},
		serve: []string{
			server, "-D", data,
			"-c", "listen_addresses=127.0.0.1",
			"-c", "unix_socket_directories=.", // the data folder; absolute paths may be too long
			"-c", "max_connections=200",
			"-c", "fsync=off",
			"-c", "synchronous_commit=off",
			"-c", "full_page_writes=off",
			"-c", "dynamic_shared_memory_type=mmap", // in the data folder, which is removed
		},
		durable: []string{"-c", "synchronous_commit=on"},
		primary: []string{"-c", "full_page_writes=on"}, // replicas of replicas need it
		replica: []string{"-c", "wal_retrieve_retry_interval=100ms"},
		ports:   []string{"--port="},
		url:     "postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable",
		dataOf:  postgresData,
		copyOf: func(primary *Server) []string {
			return []string{
				backup, "-D", data, "-d", primary.URL, "--checkpoint=fast", "--no-sync",
				// The slot keeps what the replica has not got yet, also while it is down.
				"--write-recovery-conf", "--create-slot", "--slot=" + slotName(home),
			}
		},
		killed:  func() { removeSegment(filepath.Join(data, pidFile)) },
		stop:    syscall.SIGINT,  // "fast": ends sessions, does not wait for them
		orphans: syscall.SIGQUIT, // "immediate": SIGKILL would leave shared memory behind
	}, nil
}

// pidFile is in the data folder of a server that runs, or was killed.
const pidFile = "postmaster.pid"

// removeSegment removes the segment of shared memory that the pid file of a killed
// server names, if no process has it. A server that ends by itself does so, and
// removes the file.
func removeSegment(file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 7 {
		return
	}
	var key, id int
	if n, _ := fmt.Sscan(lines[6], &key, &id); n == 2 {
		removeUnused(key, id)
	}
}

// RemoveSegments removes the segments of shared memory of killed PostgreSQL servers
// whose data is below dir. Segments that a process uses stay.
func RemoveSegments(dir string) {
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == pidFile {
			removeSegment(path)
		}
		return nil
	})
}

func postgresData(ctx context.Context, url string) (dir string, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	err = conn.QueryRow(ctx, "SHOW data_directory").Scan(&dir)
	return dir, err
}

// slotName returns a name that no other server below the same folder has, of the
// letters that PostgreSQL allows.
func slotName(home string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, filepath.Base(home))
}
