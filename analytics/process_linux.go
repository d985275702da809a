package analytics

import (
	"bytes"
	"os"
	"strconv"
)

// residentMemory returns the bytes of the process's resident memory, or 0.
// Source: proc_pid_statm(5).
func residentMemory() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64) // 0 if it is not a number
	return pages * int64(os.Getpagesize())
}
