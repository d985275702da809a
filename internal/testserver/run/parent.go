//go:build unix

package main

import (
	"os"
	"syscall"
	"time"
)

// watchParent signals this process when its parent ends. The parent is usually
// "go run", which does not pass on the signal that ends it.
func watchParent() {
	parent := os.Getppid()
	for range time.Tick(time.Second) {
		if os.Getppid() != parent {
			_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
			return
		}
	}
}
