//go:build !linux

package analytics

// residentMemory is not known.
func residentMemory() int64 { return 0 }
