package testserver

import (
	"os"
	"strconv"
	"syscall"
)

// dieWithParent has the kernel send sig to the process when its parent dies.
func dieWithParent(attr *syscall.SysProcAttr, sig syscall.Signal) {
	attr.Pdeathsig = sig
}

// commandLine returns the arguments of a process, separated by zero bytes, or
// nothing when there is no such process.
func commandLine(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return ""
	}
	return string(b)
}
