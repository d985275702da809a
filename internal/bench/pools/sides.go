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
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/internal/testserver"
)

func contains(list, name string) bool {
	for _, each := range strings.Fields(list) {
		if each == name {
			return true
		}
	}
	return false
}

func newSide(ctx context.Context, name string, server *testserver.Server, dir string, engine *postgres.Engine, budget, dials int) (side, error) {
	switch name {
	case "dbpool":
		pool, err := dbpool.New(map[string]dbpool.Engine{"main": engine}, &dbpool.Options{
			Budget: budget, MaxWait: 30 * time.Second, MaxQueue: 10_000, MaxDials: dials,
		})
		return &ours{pool}, err
	case "pgbouncer":
		return startBouncer(ctx, server, dir, budget)
	case "naive": // what database/sql gives: pools that know nothing of each other
		return &perTenant{url: server.URL, idle: 2}, nil
	default:
		return &perTenant{url: server.URL, idle: -1, slots: make(chan struct{}, budget)}, nil
	}
}

// perTenant is a *sql.DB for each tenant, with or without idle connections.
type perTenant struct {
	url   string
	mode  pgx.QueryExecMode
	idle  int
	slots chan struct{} // bounds the requests, if not nil
	stop  func()

	mu  sync.Mutex // guards dbs
	dbs map[tenancy.ID]*sqlx.DB
}

func (s *perTenant) db(t *tenancy.Tenant) (*sqlx.DB, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if db, ok := s.dbs[t.ID]; ok {
		return db, nil
	}
	config, err := pgx.ParseConfig(s.url)
	if err != nil {
		return nil, err
	}
	config.Database = t.Placement.Database
	config.DefaultQueryExecMode = s.mode
	db := sqlx.NewDb(stdlib.OpenDB(*config), "pgx")
	db.SetMaxIdleConns(s.idle)
	if s.slots != nil {
		db.SetMaxOpenConns(1 + cap(s.slots)/30)
	}
	if s.dbs == nil {
		s.dbs = map[tenancy.ID]*sqlx.DB{}
	}
	s.dbs[t.ID] = db
	return db, nil
}

func (s *perTenant) close() {
	for _, db := range s.dbs {
		_ = db.Close()
	}
	if s.stop != nil {
		s.stop()
	}
}

// startBouncer starts a PgBouncer in transaction mode in front of the server,
// with the budget as the limit of its one user over all databases.
func startBouncer(ctx context.Context, server *testserver.Server, dir string, budget int) (side, error) {
	bin, err := exec.LookPath("pgbouncer")
	if err != nil {
		if bin, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			return nil, errors.New("pgbouncer is not installed: apt-get install pgbouncer")
		}
	}
	config, err := pgx.ParseConfig(server.URL)
	if err != nil {
		return nil, err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := ln.Addr().(*net.TCPAddr).Port
	_ = ln.Close()
	ini := filepath.Join(dir, "pgbouncer.ini")
	users := filepath.Join(dir, "users.txt")
	text := fmt.Sprintf(`[databases]
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
max_user_connections = %d
server_idle_timeout = 600
query_wait_timeout = 60
log_connections = 0
log_disconnections = 0
log_pooler_errors = 0
ignore_startup_parameters = extra_float_digits
`, config.Port, port, users, budget, budget)
	if err := errors.Join(os.WriteFile(ini, []byte(text), 0o644), os.WriteFile(users, []byte("\"postgres\" \"\"\n"), 0o644)); err != nil { //nolint:gosec // read by another user
		return nil, err
	}
	cmd := exec.CommandContext(ctx, bin, "-q", ini) //nolint:gosec // found above
	cmd.Stderr = nil
	if os.Getuid() == 0 { // it refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}} //nolint:gosec // small
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	for until := time.Now().Add(10 * time.Second); ; {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(until) {
			return nil, err
		}
	}
	return &perTenant{
		url: "postgres://postgres@" + addr + "/postgres?sslmode=disable", mode: pgx.QueryExecModeSimpleProtocol, idle: 1000,
		stop: func() { _ = cmd.Process.Kill(); _ = cmd.Wait() },
	}, nil
}
