package analytics

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Feed carries the present counts of all instances to those who watch. It holds the
// newest [Pulse] of each instance, so a pulse that is lost or missed costs resolution and
// never a count. Methods are called by many goroutines at once.
type Feed interface {
	// Watched reports whether somebody watched within the last five seconds.
	Watched(ctx context.Context) (bool, error)
	// Put replaces the pulse of p's instance, and keeps it for at least three seconds.
	Put(ctx context.Context, p *Pulse) error
	// Pulses marks that somebody watches, and returns the newest pulse of each instance.
	Pulses(ctx context.Context) ([]Pulse, error)
}

const (
	watchTime  = 5 * time.Second // how long a look counts as watching
	silentTime = 3 * time.Second // after which an instance is missing
	pulseTime  = 500 * time.Millisecond
)

// Pulse is what one instance says of the present.
type Pulse struct {
	// Instance is the instance's number, Name its name.
	Instance int64  `json:"instance"`
	Name     string `json:"name"`
	// Epoch grows each time the instance is watched again. Sums are those since then.
	Epoch int64 `json:"epoch"`
	// Sequence grows with each pulse of an epoch.
	Sequence int64 `json:"sequence"`
	// Uptime is the time since the epoch began.
	Uptime time.Duration `json:"uptime_ns"`
	// CPU is the processor time of the process since it began, RSS its resident memory.
	CPU time.Duration `json:"cpu_ns"`
	RSS int64         `json:"rss"`
	// Tenants are those that did something since the epoch began.
	Tenants map[tenancy.ID]PulseCounts `json:"tenants"`
}

// PulseCounts are the counts of one tenant since an epoch began.
type PulseCounts struct {
	Requests    int64 `json:"requests,omitempty"`
	Errors      int64 `json:"errors,omitempty"`
	LatencyTime int64 `json:"latency_time,omitempty"`
	BytesOut    int64 `json:"bytes_out,omitempty"`
	// InFlight is the number of requests now.
	InFlight int64 `json:"in_flight,omitempty"`
}

// MemoryFeed is a [Feed] within one process.
type MemoryFeed struct {
	mu     sync.Mutex // guards what follows
	until  time.Time
	pulses map[int64]memoryPulse
}

type memoryPulse struct {
	pulse Pulse
	at    time.Time
}

// NewMemoryFeed returns a feed for one process.
func NewMemoryFeed() *MemoryFeed { return &MemoryFeed{pulses: map[int64]memoryPulse{}} }

// Watched implements [Feed].
func (f *MemoryFeed) Watched(ctx context.Context) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Before(f.until), ctx.Err()
}

// Put implements [Feed].
func (f *MemoryFeed) Put(ctx context.Context, p *Pulse) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pulses[p.Instance] = memoryPulse{*p, time.Now()}
	return nil
}

// Pulses implements [Feed].
func (f *MemoryFeed) Pulses(ctx context.Context) ([]Pulse, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = time.Now().Add(watchTime)
	var all []Pulse
	for id, p := range f.pulses {
		if time.Since(p.at) > 2*silentTime {
			delete(f.pulses, id)
			continue
		}
		all = append(all, p.pulse)
	}
	slices.SortFunc(all, func(a, b Pulse) int { return comparePulses(&a, &b) })
	return all, nil
}
