package maintenance

import (
	"sync"
	"sync/atomic"
	"weak"

	"github.com/artflow-studio/tenancy"
)

// flights knows which tenants' requests are in flight. A request writes to memory
// that no other processor does at that time, and takes no lock.
type flights struct {
	pool sync.Pool // of *flight, those nobody has

	mu   sync.Mutex // guards what follows
	all  []weak.Pointer[flight]
	look int // at how many those that are gone are taken out
}

// flight is a request in flight, or the place for one.
type flight struct {
	tenant atomic.Pointer[tenancy.Tenant] // nil: none that anybody waits for
	passed atomic.Pointer[passes]         // nil: no maintenance was in force
	_      [112]byte                      // what another processor writes is not on the same cache line
}

// passes say why a request may go on: under the maintenance of the service, and under that of its tenant.
type passes struct{ service, tenant pass }

// pass says why a request may go on under maintenance.
type pass struct {
	plan   *plan // nil: it was not in force
	bypass bool  // by a cookie
}

// of returns the pass for the tenant's maintenance, or for the service's if the ID is
// empty.
func (p *passes) of(id tenancy.ID) pass {
	switch {
	case p == nil:
		return pass{}
	case id == "":
		return p.service
	}
	return p.tenant
}

// nobody is the tenant of requests without one.
var nobody = &tenancy.Tenant{}

// enter notes a request. A count after enter has returned sees it.
func (f *flights) enter(t *tenancy.Tenant) *flight {
	p, _ := f.pool.Get().(*flight)
	if p == nil {
		p = f.add()
	}
	p.tenant.Store(t)
	return p
}

// leave ends what enter began.
func (f *flights) leave(p *flight) {
	p.tenant.Store(nil)
	if p.passed.Load() != nil {
		p.passed.Store(nil)
	}
	f.pool.Put(p)
}

func (f *flights) add() *flight {
	p := new(flight)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.all) >= f.look {
		f.clean()
		f.look = max(64, 2*len(f.all))
	}
	f.all = append(f.all, weak.Make(p))
	return p
}

// clean takes out the places that the pool let go. The caller has the lock.
func (f *flights) clean() {
	kept := f.all[:0]
	for _, each := range f.all {
		if each.Value() != nil {
			kept = append(kept, each)
		}
	}
	clear(f.all[len(kept):])
	f.all = kept
}

// count returns the number of requests in flight for the tenant (for all tenants if id is empty), leaving out those whose pass satisfies exempt.
func (f *flights) count(id tenancy.ID, exempt func(pass) bool) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, each := range f.all {
		p := each.Value()
		if p == nil {
			continue
		}
		t := p.tenant.Load() // before the pass, which is then of the same request, or a later one's
		if t == nil || id != "" && t.ID != id {
			continue
		}
		if by := p.passed.Load().of(id); by.plan == nil || !exempt(by) {
			n++
		}
	}
	return n
}
