//go:build unix

package testserver

import (
	"context"
	"path/filepath"
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
		},
		port:    "--port=",
		url:     "postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable",
		dataOf:  postgresData,
		stop:    syscall.SIGINT,  // "fast": ends sessions, does not wait for them
		orphans: syscall.SIGQUIT, // "immediate": SIGKILL would leave shared memory behind
	}, nil
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
