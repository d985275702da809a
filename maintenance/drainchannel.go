package maintenance

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
)

// DrainChannel carries drains between the instances of the application: one asks, the others say when they have done it. The package
// maintenance/drainredis has one in Redis; [MemoryDrains] is for one process.
//
// An instance is present from its first Heartbeat on, and gone when its last one is some time ago, at least ten seconds. Methods are called by
// many goroutines at once. An error means that nothing is known. Where the context has ended,
// it is the context's, unchanged. tenancytest.TestDrainChannel shows whether a channel conforms.
type DrainChannel interface {
	// Heartbeat says that an instance is present, and returns the drains that were requested lately.
	Heartbeat(ctx context.Context, instance string) ([]Drain, error)
	// Request asks all instances for a drain. The gate calls it again and again while somebody waits for the drain; a drain that was not
	// requested for some seconds ends.
	Request(ctx context.Context, d Drain) error
	// Done says that an instance has done a drain. The gate calls it again and again, too.
	Done(ctx context.Context, d Drain, instance string) error
	// Status returns the instances that are present, and those that have done the drain.
	Status(ctx context.Context, d Drain) (present, done []string, err error)
}

// Drain is what one instance asks the others for: admit no request with an older record than this one, and wait for the requests in flight,
// except those that this maintenance admitted.
type Drain struct {
	ID string `json:"id"`
	// Tenant is empty for the service.
	Tenant  tenancy.ID `json:"tenant,omitempty"`
	Version int64      `json:"version"`
	// CreatedAt is when the tenant was made: a tenant that is made again under its ID begins with version 1. BeganAt is when the
	// maintenance began. Both are in microseconds since 1970. CreatedAt is 0 for the service, and where it is not known.
	CreatedAt int64 `json:"created_at,omitempty"`
	BeganAt   int64 `json:"began_at"`
	// Generation is the maintenance's own.
	Generation string `json:"generation"`
}

// newest returns a record with the fields that tell it from older ones of the tenant.
func (d Drain) newest() *tenancy.Tenant {
	t := &tenancy.Tenant{ID: d.Tenant, Version: d.Version}
	if d.CreatedAt != 0 {
		t.CreatedAt = time.UnixMicro(d.CreatedAt).UTC()
	}
	return t
}

// admits reports whether the maintenance of the drain gave the pass. Another maintenance may refuse the request that an earlier one let pass,
// and so may this one after its bypass changed.
func (d Drain) admits(by pass) bool {
	if by.bypass && by.plan.Generation != d.Generation {
		return false
	}
	return by.plan.BeganAt.UnixMicro() == d.BeganAt
}

// How long a [MemoryDrains] remembers.
const (
	presentFor = 30 * time.Second // an instance, after its last heartbeat
	requestFor = 10 * time.Second // a drain, after its last request
)

// MemoryDrains is a [DrainChannel] between the gates of one process. The zero MemoryDrains is ready.
type MemoryDrains struct {
	mu        sync.Mutex // guards what follows
	instances map[string]time.Time
	drains    map[Drain]time.Time
	done      map[string][]string // by the drain's ID
}

// Heartbeat implements [DrainChannel].
func (m *MemoryDrains) Heartbeat(ctx context.Context, instance string) ([]Drain, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.instances == nil {
		m.instances = map[string]time.Time{}
	}
	m.instances[instance] = time.Now()
	maps.DeleteFunc(m.instances, func(_ string, at time.Time) bool { return time.Since(at) > presentFor })
	maps.DeleteFunc(m.drains, func(d Drain, at time.Time) bool {
		old := time.Since(at) > requestFor
		if old {
			delete(m.done, d.ID)
		}
		return old
	})
	return slices.Collect(maps.Keys(m.drains)), nil
}

// Request implements [DrainChannel].
func (m *MemoryDrains) Request(ctx context.Context, d Drain) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.drains == nil {
		m.drains, m.done = map[Drain]time.Time{}, map[string][]string{}
	}
	m.drains[d] = time.Now()
	return nil
}

// Done implements [DrainChannel]. It keeps nothing about a drain that nobody requests any more.
func (m *MemoryDrains) Done(ctx context.Context, d Drain, instance string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.drains[d]; ok && !slices.Contains(m.done[d.ID], instance) {
		m.done[d.ID] = append(m.done[d.ID], instance)
	}
	return nil
}

// Status implements [DrainChannel].
func (m *MemoryDrains) Status(ctx context.Context, d Drain) (present, done []string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for instance, at := range m.instances {
		if time.Since(at) <= presentFor {
			present = append(present, instance)
		}
	}
	return present, slices.Clone(m.done[d.ID]), nil
}
