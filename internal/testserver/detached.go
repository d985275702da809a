//go:build unix

package testserver

import (
	"fmt"
	"strings"
	"syscall"
	"time"
)

// StopDetached ends a server that another process has started with
// [Options.Detached], given its [Server.PID] and [Server.Dir]. A process that
// does not name dir in its command line is another one and is left alone; then,
// as when there is no process, StopDetached does nothing.
//
// As [Server.Stop], it kills after 20 seconds and then returns an error.
func StopDetached(e Engine, pid int, dir string) error {
	rec, err := e.recipe(dir)
	if err != nil {
		return err
	}
	if endDetached(pid, rec.data, rec.stop) {
		return nil
	}
	endDetached(pid, rec.data, syscall.SIGKILL)
	return fmt.Errorf("testserver: %s, process %d, did not stop within %v and was killed", e, pid, stopTimeout)
}

func endDetached(pid int, data string, sig syscall.Signal) bool {
	if pid <= 1 || !strings.Contains(commandLine(pid), data) {
		return true
	}
	_ = syscall.Kill(pid, sig)
	for deadline := time.Now().Add(stopTimeout); time.Now().Before(deadline); time.Sleep(askInterval) {
		if !strings.Contains(commandLine(pid), data) {
			return true
		}
	}
	return false
}
