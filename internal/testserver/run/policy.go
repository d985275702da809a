//go:build unix

package main

import (
	"errors"
	"io/fs"
	"os"
)

// policyFile is the program that Debian's packages ask before they start a server. If
// there is none, they start it.
const policyFile = "/usr/sbin/policy-rc.d"

// policy answers that the administrator forbids it.
const policy = "#!/bin/sh\n# Written by the tests of tenancy while they install servers; it may be removed.\nexit 101\n"

// forbidStarts keeps packages that are installed from starting servers, until allow is
// called. A policy that somebody else has made stays as it is; one that a killed run
// has left is our own.
func forbidStarts(file string) (allow func(), err error) {
	there, err := os.ReadFile(file) // the caller's
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = os.WriteFile(file, []byte(policy), 0o755) // a program
	case err == nil && string(there) != policy:
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	return func() { _ = os.Remove(file) }, nil
}
