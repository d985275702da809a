//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/artflow-studio/tenancy/internal/testserver"
)

const (
	servicesDir = ".services"         // in the current folder
	dataPrefix  = "tenancy-services-" // of the servers' data folder, below TMPDIR
)

// up starts servers of the engines that outlive this process and writes into dir what
// a shell and down need to know of them.
func up(ctx context.Context, dir string, engines []testserver.Engine) (err error) {
	pids := filepath.Join(dir, "pids")
	if _, err := os.Stat(pids); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s exists: stop its servers first, with down", pids), err)
	}
	if err := install(ctx); err != nil {
		return err
	}
	data, err := os.MkdirTemp("", dataPrefix)
	if err != nil {
		return err
	}
	servers, err := startAll(ctx, data, engines, &testserver.Options{Detached: true})
	if err == nil {
		err = record(dir, servers)
	}
	if err != nil {
		return errors.Join(err, stopAll(servers), os.RemoveAll(data), os.RemoveAll(dir))
	}
	fmt.Printf("servers are up; to use them: . %s\n", filepath.Join(dir, "env"))
	return nil
}

// record writes env, lines for a shell, and pids, lines of engine, process and
// folder.
func record(dir string, servers []*testserver.Server) error {
	var env, pids strings.Builder
	for _, variable := range environment(servers) {
		name, value, _ := strings.Cut(variable, "=")
		fmt.Fprintf(&env, "export %s='%s'\n", name, value)
	}
	for _, s := range servers {
		fmt.Fprintf(&pids, "%s %d %s\n", s.Engine, s.PID, s.Dir)
	}
	return errors.Join(
		os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "env"), []byte(env.String()), 0o644),
		os.WriteFile(filepath.Join(dir, "pids"), []byte(pids.String()), 0o644),
	)
}

// down stops the servers that up has recorded in dir and removes their data and
// dir. Without a record it does nothing.
func down(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "pids"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for line := range strings.Lines(string(text)) {
		errs = append(errs, stopRecorded(strings.TrimSuffix(line, "\n")))
	}
	return errors.Join(append(errs, os.RemoveAll(dir))...)
}

func stopRecorded(line string) error {
	var (
		engine string
		pid    int
	)
	if _, err := fmt.Sscan(line, &engine, &pid); err != nil {
		return fmt.Errorf("record %q: %w", line, err)
	}
	home := strings.TrimPrefix(line, fmt.Sprintf("%s %d ", engine, pid)) // may hold spaces
	data := filepath.Dir(home)
	if !strings.HasPrefix(filepath.Base(data), dataPrefix) {
		return fmt.Errorf("record %q: not a folder of test servers", line)
	}
	return errors.Join(
		testserver.StopDetached(testserver.Engine(engine), pid, home),
		os.RemoveAll(home),
		removeEmpty(data),
	)
}

// removeEmpty removes a folder unless something is left in it.
func removeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		return err
	}
	return os.Remove(dir)
}
