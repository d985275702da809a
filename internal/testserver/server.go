//go:build unix

package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	stopTimeout = 20 * time.Second       // for a clean end, and again for a killed one
	askTimeout  = 2 * time.Second        // for one look whether the server answers
	askInterval = 20 * time.Millisecond  // between two looks
	retryPause  = 100 * time.Millisecond // between two tries of Restart
)

// errPortTaken says that the server ended because it could not listen.
var errPortTaken = errors.New("port is in use")

// Server is a running server. [Server.Stop] and [Server.Kill] may be
// called from several goroutines; [Server.Restart] and reading the fields while
// it runs may not.
type Server struct {
	Engine Engine
	// URL is the address of the superuser's connection, who has no password:
	// postgres://postgres@127.0.0.1:PORT/postgres?sslmode=disable,
	// mysql://root@127.0.0.1:PORT/ or redis://127.0.0.1:PORT.
	URL string
	// PID is the server's process.
	PID int
	// Dir holds the server's data and its log, server.log.
	Dir string

	port   int
	recipe *recipe
	cred   *syscall.Credential
	opts   Options
	proc   *process
}

// Stop ends the server cleanly: sessions are cut off, data is written. After 20
// seconds it kills the server and returns an error. Stopping a server that has
// ended does nothing.
func (s *Server) Stop() error {
	if s.proc.end(s.recipe.stop, stopTimeout) {
		return nil
	}
	s.Kill()
	return fmt.Errorf("testserver: %s did not stop within %v and was killed", s.Engine, stopTimeout)
}

// Kill ends the server as a crash does, with SIGKILL, and waits until its
// processes are gone. Killing a server that has ended does nothing.
func (s *Server) Kill() {
	if s.proc.end(syscall.SIGKILL, stopTimeout) && s.recipe.killed != nil {
		s.recipe.killed()
	}
}

// Restart starts the server again on its data, of which Redis has none, and with
// the same URL, after stopping it if it runs. [Server.PID] changes. ctx and a
// limit of two minutes bound the start. After an error the server is down, and
// Restart may be called again.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := s.launch(ctx, s.port)
		if err == nil {
			return nil
		}
		// A connection of ours may have the port for a moment.
		if !errors.Is(err, errPortTaken) || !sleep(ctx, retryPause) {
			return fmt.Errorf("testserver: restart %s: %w", s.Engine, err)
		}
	}
}

// launch runs the server on the port until it answers. After an error the
// server has ended; errPortTaken invites another try.
func (s *Server) launch(ctx context.Context, port int) error {
	log := filepath.Join(s.Dir, "server.log")
	proc, err := spawn(s.recipe.command(port), s.Dir, log, s.cred, s.recipe.orphans, s.opts)
	if err != nil {
		return err
	}
	url := fmt.Sprintf(s.recipe.url, port)
	s.proc, s.port, s.URL, s.PID = proc, port, url, proc.cmd.Process.Pid
	for {
		if err = s.ask(ctx); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			break
		}
		select {
		case <-proc.gone:
			return errors.Join(errors.New("the server has ended"), proc.err, lastWords(log))
		case <-time.After(askInterval):
		}
	}
	s.Kill()
	return errors.Join(errors.New("the server does not answer"), ctx.Err(), err, lastWords(log))
}

// ask returns nil when the server answers, and not another one on its port.
func (s *Server) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	dir, err := s.recipe.dataOf(ctx, s.URL)
	if err == nil && dir != s.recipe.data {
		err = fmt.Errorf("%s answers with the data folder %s", s.URL, dir)
	}
	return err
}

// lastWords makes an error of the end of a server's log.
func lastWords(log string) error {
	text, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	if strings.Contains(string(text), "ddress already in use") {
		return errPortTaken
	}
	return fmt.Errorf("its log ends with:\n%s", tail(text))
}

// sleep reports whether ctx lasted as long as d.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
