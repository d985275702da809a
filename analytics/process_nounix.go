//go:build !unix

package analytics

import "time"

// processorTime is not known.
func processorTime() time.Duration { return 0 }
