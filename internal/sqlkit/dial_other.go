//go:build !linux

package sqlkit

import "syscall"

// userTimeout does nothing: the system has no such time, and keep-alive alone
// finds connections that are dead.
func userTimeout(string, string, syscall.RawConn) error { return nil }
