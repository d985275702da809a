//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jmoiron/sqlx"
)

// bouncerIni lets every tenant use the whole budget, as far as others leave it.
//
// What else there is, tried with version 1.18 and these requests, on two cores:
// default_pool_size = 1 answers 1.3 to 1.6 times as many where tenants outnumber
// the budget, because none takes the place of another for a second connection,
// and no more where they fit; a slow query then stops its tenant. Sizes of 2 to 5,
// server_round_robin, a short server_idle_timeout and larger buffers make no
// difference that shows. min_pool_size would dial for tenants that nobody asks
// for. In session mode each connection of a client would hold one of the server,
// and statement mode differs only where there are transactions. Clients use the
// simple protocol, which has the fewest messages; the extended one answers a tenth
// less. Prepared statements in transaction mode came with version 1.21, as
// max_prepared_statements.
// Source: https://www.pgbouncer.org/config.html
const bouncerIni = `[databases]
* = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
max_client_conn = 5000
default_pool_size = %d
max_user_connections = %[4]d
server_idle_timeout = 600
query_wait_timeout = 60
log_connections = 0
log_disconnections = 0
log_pooler_errors = 0
ignore_startup_parameters = extra_float_digits
%s
`

// findBouncer returns the path of PgBouncer's program, or "".
func findBouncer() string {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// isBouncer reports whether a side is PgBouncer, with settings of its own or not.
func isBouncer(name string) bool {
	name, _, _ = strings.Cut(name, ":")
	return name == "pgbouncer"
}

// startBouncer starts a PgBouncer in transaction mode in front of the server,
// with the budget as the limit of its one user over all databases. Its clients
// keep their connections to it.
func (g *ground) startBouncer(ctx context.Context, budget int, settings string) (side, error) {
	config, err := pgx.ParseConfig(g.server.URL)
	if err != nil {
		return nil, err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := ln.Addr().(*net.TCPAddr).Port
	_ = ln.Close()
	ini, users := filepath.Join(g.dir, "pgbouncer.ini"), filepath.Join(g.dir, "users.txt")
	text := fmt.Sprintf(bouncerIni, config.Port, port, users, budget, strings.ReplaceAll(settings, ";", "\n"))
	err = errors.Join(
		os.WriteFile(ini, []byte(text), 0o644),                    // read by another user
		os.WriteFile(users, []byte("\"postgres\" \"\"\n"), 0o644)) // likewise
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, findBouncer(), "-q", ini) // found, not told
	if cmd.SysProcAttr, err = asPostgres(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	address := fmt.Sprintf("127.0.0.1:%d", port)
	if err := waitFor(ctx, address); err != nil {
		stop()
		return nil, fmt.Errorf("PgBouncer does not answer: %w", err)
	}
	return &perTenant{
		idle: 1000, stop: stop,
		open: func(database string) (*sqlx.DB, error) {
			return openPostgres("postgres://postgres@"+address+"/postgres?sslmode=disable", database, true)
		},
	}, nil
}

// asPostgres lets a program that root starts, and that refuses to run as root,
// run as the user postgres.
func asPostgres() (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// waitFor returns when somebody listens at the address.
func waitFor(ctx context.Context, address string) error {
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(until) || ctx.Err() != nil {
			return err
		}
	}
}
