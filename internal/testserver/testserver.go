//go:build unix

// Package testserver starts throw-away PostgreSQL, MariaDB and Redis servers for
// tests: on a free port of 127.0.0.1, with an empty data folder and with
// durability switched off. It touches no other server of the machine.
//
// The command in the folder run starts one of each around another command.
package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// startTimeout bounds the whole of a start: an empty data folder is written
// and a server opens it, on a busy machine with slow disks.
const startTimeout = 2 * time.Minute

// ErrNotInstalled says that an engine's programs are not on this machine.
var ErrNotInstalled = errors.New("not installed")

// Engine is a kind of server.
type Engine string

// The engines that can be started. Redis keeps its data in memory alone: a server
// that is started again is empty.
const (
	Postgres Engine = "postgres"
	MariaDB  Engine = "mariadb"
	Redis    Engine = "redis"
)

// Package returns the name of the Debian package that holds the engine's
// programs.
func (e Engine) Package() string {
	switch e {
	case Postgres:
		return "postgresql"
	case Redis:
		return "redis-server"
	}
	return "mariadb-server"
}

// Find reports whether the engine's programs are installed. If not, its error
// wraps [ErrNotInstalled] and says which program was missed.
func (e Engine) Find() error {
	_, err := e.recipe("")
	return err
}

func (e Engine) recipe(home string) (*recipe, error) {
	switch e {
	case Postgres:
		return postgres(home)
	case MariaDB:
		return mariadb(home)
	case Redis:
		return redis(home)
	}
	return nil, fmt.Errorf("testserver: unknown engine %q", string(e))
}

// Options change how a server is started.
type Options struct {
	// Detached lets the server outlive the process that starts it. Default:
	// false, the server dies with its parent (on Linux, even if that is killed).
	Detached bool
	// Primary lets the server have replicas; see [StartReplica]. Redis has none.
	// Default: false.
	Primary bool
	// Durable keeps what was committed when the server is killed: each commit is
	// written, though not forced to the disk. Redis keeps nothing. Default: false.
	Durable bool
}

// StartPostgres starts a PostgreSQL server. See [Start].
func StartPostgres(ctx context.Context, dir string) (*Server, error) {
	return Start(ctx, Postgres, dir, nil)
}

// StartMariaDB starts a MariaDB server. See [Start].
func StartMariaDB(ctx context.Context, dir string) (*Server, error) {
	return Start(ctx, MariaDB, dir, nil)
}

// StartRedis starts a Redis server. See [Start].
func StartRedis(ctx context.Context, dir string) (*Server, error) {
	return Start(ctx, Redis, dir, nil)
}

// Start starts a server and returns it when it answers queries. The caller must
// call [Server.Stop], and remove dir afterwards.
//
// The server's files are in a new folder below dir, so that several servers may
// share dir. A process of root starts the server as the engine's own user, who
// must be able to reach dir: folders below [os.TempDir] are opened for passage,
// others are not touched.
//
// ctx and a limit of two minutes bound the start, not the life of the server.
// After an error nothing is left behind. Programs that are missing make an error
// that wraps [ErrNotInstalled].
func Start(ctx context.Context, e Engine, dir string, opts *Options) (*Server, error) {
	return startIn(ctx, e, dir, nil, opts)
}

// StartReplica starts a replica of a server that was started with
// [Options.Primary], and returns it when it answers queries and has what the
// primary had before the call. It follows the primary from then on, also after
// each of them was down. A replica that has Primary set may have replicas
// itself. All else is as with [Start].
//
// The replica of MariaDB can be written to, and follows the primary's log from
// its beginning: nothing may have been removed from that.
func StartReplica(ctx context.Context, primary *Server, dir string, opts *Options) (*Server, error) {
	if !primary.opts.Primary {
		return nil, errors.New("testserver: a server that was started without Options.Primary has no replicas")
	}
	return startIn(ctx, primary.Engine, dir, primary, opts)
}

// startIn starts a server in a new folder below dir, as a replica unless primary
// is nil.
func startIn(ctx context.Context, e Engine, dir string, primary *Server, opts *Options) (*Server, error) {
	if opts == nil {
		opts = &Options{}
	}
	if err := e.Find(); err != nil {
		return nil, err
	}
	home, err := makeHome(dir, string(e)+"-")
	if err != nil {
		return nil, fmt.Errorf("testserver: %w", err)
	}
	s, err := start(ctx, e, home, primary, *opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("testserver: start %s: %w", e, err), os.RemoveAll(home))
	}
	return s, nil
}

func start(ctx context.Context, e Engine, home string, primary *Server, opts Options) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	rec, err := e.recipe(home)
	if err != nil {
		return nil, err
	}
	if rec.copyOf == nil && (opts.Primary || primary != nil) {
		return nil, errors.New("there are no replicas of it")
	}
	cred, err := credential(rec.user)
	if err != nil {
		return nil, err
	}
	if err := handOver(home, rec.user, cred); err != nil {
		return nil, err
	}
	install := rec.install
	if opts.Durable {
		rec.serve = append(rec.serve, rec.durable...)
	}
	if opts.Primary {
		rec.serve = append(rec.serve, rec.primary...)
	}
	if primary != nil {
		install, rec.serve = rec.copyOf(primary), append(rec.serve, rec.replica...)
	}
	if err := runOnce(ctx, install, home, cred); err != nil {
		return nil, err
	}
	s := &Server{Engine: e, Dir: home, recipe: rec, cred: cred, opts: opts}
	for {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		// Another process may take the port before the server does.
		err = s.launch(ctx, port)
		if errors.Is(err, errPortTaken) && ctx.Err() == nil {
			continue
		}
		if err == nil && primary != nil && rec.follow != nil {
			if err = rec.follow(ctx, s.URL, primary); err != nil {
				s.Kill()
			}
		}
		return s, err
	}
}

// makeHome makes a new folder below dir and returns its path without symbolic
// links, as the server itself would name it.
func makeHome(dir, prefix string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", err
	}
	return os.MkdirTemp(dir, prefix)
}
