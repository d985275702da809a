//go:build unix

package analytics

import (
	"syscall"
	"time"
)

// processorTime returns the processor time of the process, or 0.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
