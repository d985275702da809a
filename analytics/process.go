package analytics

import (
	"runtime/metrics"
	"time"
)

// process is what the operating system and Go's runtime say of this process.
type process struct {
	cpu  time.Duration
	rss  int64
	heap int64
}

func ownProcess() process {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	p := process{cpu: processorTime(), rss: residentMemory()}
	if sample[0].Value.Kind() == metrics.KindUint64 {
		p.heap = int64(sample[0].Value.Uint64()) // nobody has so much
	}
	return p
}
