//go:build unix

package testserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// recipe is all that differs between the engines.
type recipe struct {
	user    string   // the Unix user who runs the server when we are root
	data    string   // the data folder
	install []string // the command that makes an empty data folder
	serve   []string // the server's command, without what follows
	durable []string // its options for a server whose commits a SIGKILL does not lose
	primary []string // its options for a server that may have replicas
	replica []string // its options for a replica
	ports   []string // its options that end with the number of the port
	url     string   // with %d for the port

	// dataOf returns the data folder of the server at url, without a final slash.
	dataOf func(ctx context.Context, url string) (string, error)
	// copyOf returns the command that makes the data folder of a replica. It is
	// nil where there are none.
	copyOf func(primary *Server) []string
	// follow makes a server that copyOf's folder does not tell so the replica of
	// another. It may be nil.
	follow func(ctx context.Context, url string, primary *Server) error

	// killed removes what a killed server leaves outside of its folder. It may be
	// nil.
	killed func()

	stop    syscall.Signal // asks for a quick and clean end
	orphans syscall.Signal // sent to the server when its parent dies
}

func (r *recipe) command(port int) []string {
	command := slices.Clone(r.serve)
	for _, option := range r.ports {
		command = append(command, option+strconv.Itoa(port))
	}
	return command
}

// find returns the path of a program: from PATH, else the last one in order
// that matches one of the patterns.
func find(program string, patterns ...string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return filepath.Abs(path)
	}
	for _, pattern := range patterns {
		matches, err := filepath.Glob(filepath.Join(pattern, program))
		if err != nil {
			return "", err
		}
		slices.SortFunc(matches, byVersion)
		for _, path := range slices.Backward(matches) {
			if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("%s: %w", program, ErrNotInstalled)
}

// byVersion orders paths such as /usr/lib/postgresql/9/bin/postgres by length
// first, so that version 9 comes before version 15.
func byVersion(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return slices.Compare([]byte(a), []byte(b))
}

// freePort returns a port of 127.0.0.1 on which nobody listens now.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
