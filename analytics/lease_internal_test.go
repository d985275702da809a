package analytics

import "time"

// A slow machine does not renew a lease in time.
func init() { leaseTime = 5 * time.Minute }
