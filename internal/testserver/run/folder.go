//go:build unix

package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/artflow-studio/tenancy/internal/testserver"
)

// folderPrefix begins the names of the folders of runs, below TMPDIR.
const folderPrefix = "tenancy-test-"

// folder holds what one run makes. Its lock says that the run is alive.
type folder struct {
	path string
	temp string // for the command
	lock *os.File
}

// newFolder removes the folders of runs that were killed, and makes one.
func newFolder() (*folder, error) {
	sweep()
	path, err := os.MkdirTemp("", folderPrefix)
	if err != nil {
		return nil, err
	}
	f := &folder{path: path, temp: filepath.Join(path, "tmp")}
	if f.lock, err = lock(path, os.O_CREATE); err == nil {
		err = errors.Join(os.Mkdir(f.temp, 0o711), os.Chmod(path, 0o711), os.Chmod(f.temp, 0o711)) // servers run as other users
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return f, nil
}

// remove removes the folder. Servers of a command that was killed may end a moment
// later, and write until then.
func (f *folder) remove() (err error) {
	testserver.RemoveSegments(f.path)
	for range 50 {
		if err = os.RemoveAll(f.path); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.Join(err, f.lock.Close())
}

// sweep removes the folders of runs that have ended without doing so. A folder that
// it cannot lock belongs to a run that is alive, or to somebody else.
func sweep() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	for _, path := range left {
		if held, err := lock(path, 0); err == nil {
			_ = (&folder{path: path, lock: held}).remove()
		}
	}
}

// lock takes the lock of a folder, which the end of this process gives back. The
// children of the process do not have it.
func lock(path string, flag int) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|flag, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
