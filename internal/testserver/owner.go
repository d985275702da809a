//go:build unix

package testserver

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// credential returns the identity under which a server runs: nil, our own,
// unless we are root, as whom no server should run and PostgreSQL does not.
func credential(name string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("root needs another user to run the server: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// handOver gives a new, empty folder to the user who runs the server and lets
// that user through the folders above it.
func handOver(home, name string, cred *syscall.Credential) error {
	if cred == nil {
		return nil
	}
	if err := os.Chown(home, int(cred.Uid), int(cred.Gid)); err != nil {
		return err
	}
	temp, err := filepath.EvalSymlinks(os.TempDir())
	if err != nil {
		return err
	}
	for dir := filepath.Dir(home); ; dir = filepath.Dir(dir) {
		if err := letThrough(dir, name, temp); err != nil {
			return err
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// letThrough lets all users pass through dir. It changes folders below temp
// only, and reports others that are closed.
func letThrough(dir, name, temp string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode()&0o001 != 0 {
		return nil
	}
	if !strings.HasPrefix(dir, temp+string(filepath.Separator)) {
		return fmt.Errorf("user %s cannot pass through %s: set TMPDIR to a folder that all users can reach", name, dir)
	}
	return os.Chmod(dir, info.Mode()|0o001)
}
