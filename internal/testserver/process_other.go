//go:build unix && !linux

package testserver

import (
	"os/exec"
	"strconv"
	"syscall"
)

// dieWithParent does nothing: only Linux can do this.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}

// commandLine returns the arguments of a process, separated by spaces, or
// nothing when there is no such process.
func commandLine(pid int) string {
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return ""
	}
	return string(out)
}

// removeUnused does nothing: only on Linux do we know how.
func removeUnused(int, int) {}
