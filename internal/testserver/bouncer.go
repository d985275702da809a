//go:build unix

package testserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// BouncerPackage is the Debian package of PgBouncer.
const BouncerPackage = "pgbouncer"

// bouncerConfig accepts any database of the server, and its user without a password.
// Settings of the caller come last and so win.
// Source: https://www.pgbouncer.org/config.html
const bouncerConfig = `[databases]
* = host=%s port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
%s
`

// Bouncer is a PgBouncer in front of a PostgreSQL server.
type Bouncer struct {
	URL     string // of the server's URL, with PgBouncer's address
	home    string
	process *process
}

// FindBouncer returns the path of PgBouncer's program, or an error that wraps
// [ErrNotInstalled].
func FindBouncer() (string, error) { return find("pgbouncer", "/usr/sbin", "/usr/local/bin") }

// StartBouncer starts a PgBouncer in front of the server at url, with its files in a
// new folder below dir. Each setting is a line of its configuration. The caller stops it.
func StartBouncer(ctx context.Context, dir, url string, settings ...string) (_ *Bouncer, err error) {
	program, err := FindBouncer()
	if err != nil {
		return nil, err
	}
	server, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	cred, err := credential("postgres")
	if err != nil {
		return nil, err
	}
	home, err := makeHome(dir, "pgbouncer-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(home)
		}
	}()
	if err := handOver(home, "postgres", cred); err != nil {
		return nil, err
	}
	config, users := filepath.Join(home, "pgbouncer.ini"), filepath.Join(home, "users.txt")
	if err := writeFor(users, fmt.Sprintf("%q \"\"\n", server.User)); err != nil {
		return nil, err
	}
	for {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		text := fmt.Sprintf(bouncerConfig, server.Host, server.Port, port, users, strings.Join(settings, "\n"))
		if err := writeFor(config, text); err != nil {
			return nil, err
		}
		p, err := spawn([]string{program, "-q", config}, home, filepath.Join(home, "log"), cred, syscall.SIGKILL, Options{})
		if err != nil {
			return nil, err
		}
		address := fmt.Sprintf("127.0.0.1:%d", port)
		err = p.listens(ctx, address)
		if err == nil {
			old := net.JoinHostPort(server.Host, fmt.Sprint(server.Port))
			return &Bouncer{URL: strings.Replace(url, old, address, 1), home: home, process: p}, nil
		}
		p.end(syscall.SIGKILL, startTimeout)
		log, _ := os.ReadFile(filepath.Join(home, "log"))
		if ctx.Err() == nil && strings.Contains(string(log), "in use") {
			continue // another process took the port first
		}
		return nil, fmt.Errorf("testserver: start pgbouncer: %w\n%s", err, tail(log))
	}
}

// Stop ends PgBouncer and removes its folder.
func (b *Bouncer) Stop() error {
	b.process.end(syscall.SIGKILL, startTimeout)
	return os.RemoveAll(b.home)
}

// writeFor writes a file that the user who runs the server can read.
func writeFor(path, text string) error {
	return os.WriteFile(path, []byte(text), 0o644) // read by another user, and no secret
}

// listens waits until the process accepts connections at the address.
func (p *process) listens(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			select {
			case <-p.gone: // somebody else has the port
				_ = conn.Close()
				return errors.New("it has ended")
			default:
				return conn.Close()
			}
		}
		select {
		case <-p.gone:
			return errors.Join(errors.New("it has ended"), p.err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
