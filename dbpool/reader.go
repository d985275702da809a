package dbpool

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

const (
	// followInterval is how often servers are asked how far they are, and
	// followTimeout how long one may take to answer.
	followInterval = 250 * time.Millisecond
	followTimeout  = 2 * time.Second
	// mostSamples bounds what is known of where a primary was when.
	mostSamples = 4096
)

// progress is how far a read replica is.
type progress struct {
	engine driver.Replication
	at     driver.Position
	fresh  time.Time // what was committed before, it has
}

type positionKey struct{}

// ReadAfter returns a context in which [Pool.Reader] uses a read replica only if it
// has everything that the primary had at the position: one that
// [Pool.Position] returned after a write, in this request or an earlier one.
func ReadAfter(ctx context.Context, p driver.Position) context.Context {
	return context.WithValue(ctx, positionKey{}, p)
}

// Reader returns the database of the context's tenant for reading: on a read replica
// of its server that is at most [Options.MaxLag] behind and has what [ReadAfter]
// asks for, or else what [Pool.DB] returns, on the primary. It also uses the primary for a
// tenant whose database at the replica could not be reached, until [Pool.Run] has reached it.
// Ask again for each piece of work: a handle that is kept uses its replica however far that
// falls behind.
//
// How far replicas are is known while [Pool.Run] runs; without it, Reader uses
// the primary. A replica refuses writes; do not try them, since the primary
// does not. The errors are those of DB.
func (p *Pool) Reader(ctx context.Context) (*sqlx.DB, error) {
	t, err := tenancy.Require(ctx)
	if err != nil {
		return nil, tenancy.Wrap("dbpool.Pool.Reader", "", err)
	}
	primary, err := p.For(ctx, t)
	if err != nil {
		return nil, err
	}
	replica := p.replicaFor(ctx, t.ID)
	if replica == nil {
		return primary, nil
	}
	readOnly := tenancy.IsReadOnly(ctx)
	p.mu.RLock()
	var reader *handle
	if h := p.handles[t.ID]; h != nil {
		reader = h.reader(replica, readOnly)
	}
	p.mu.RUnlock()
	switch {
	case reader == nil:
		return p.openReader(t, replica, primary, readOnly)
	case replica.misses(reader.connector):
		return primary, nil
	}
	return reader.db, nil
}

// reader returns the handle for reading at a server, or nil if none was opened, or
// none that can do nothing else.
func (h *handle) reader(s *server, readOnly bool) *handle {
	if r := h.readers[s.Name()]; r != nil && r.server == s && (r.readOnly || !readOnly) && !r.connector.closed.Load() {
		return r
	}
	return nil
}

func (p *Pool) openReader(t *tenancy.Tenant, replica *server, primary *sqlx.DB, readOnly bool) (*sqlx.DB, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.handles[t.ID]
	if p.closed || h == nil || !h.has(primary) || !slices.Contains(h.server.replicas, replica) {
		return primary, nil
	}
	if _, ok := replica.engine.Engine.(driver.ReadOnly); !ok && readOnly {
		return primary, nil
	}
	db, err := p.read(h, replica)
	return db, tenancy.Wrap("dbpool.Pool.Reader", t.ID, err)
}

// openReadOnly returns the database at the tenant's own server that cannot write.
func (p *Pool) openReadOnly(t *tenancy.Tenant) (*sqlx.DB, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.handles[t.ID]
	if p.closed || h == nil {
		return nil, tenancy.ErrClosed
	}
	if _, ok := h.server.engine.Engine.(driver.ReadOnly); !ok {
		return nil, errWrites()
	}
	return p.read(h, h.server)
}

// read returns the database for reading at a server. The caller has the lock.
func (p *Pool) read(h *handle, s *server) (*sqlx.DB, error) {
	if r := h.readers[s.Name()]; r != nil {
		switch {
		case r.connector.closed.Load():
			p.point(r, nil)
		case r.server == s:
			return r.db, nil
		default:
			return r.db, p.repoint(r, s) // it led elsewhere since a move
		}
	}
	at := &tenancy.Tenant{ID: h.tenant, Placement: h.placement, Version: h.version, SchemaVersion: h.schema, CreatedAt: h.created}
	r, err := p.newHandle(at, s, h.conns, true)
	if err != nil {
		return nil, err
	}
	if h.readers == nil {
		h.readers = map[string]*handle{}
	}
	h.readers[s.Name()] = r
	return r.db, nil
}

var seed = maphash.MakeSeed()

// replicaFor returns the read replica for a tenant, of the server that its handle
// uses, or nil. A tenant gets the same one as long as that is fit, so that
// its connections there are warm.
func (p *Pool) replicaFor(ctx context.Context, id tenancy.ID) *server {
	p.mu.RLock()
	var replicas []*server
	if h := p.handles[id]; h != nil {
		replicas = h.server.replicas
	}
	p.mu.RUnlock()
	if len(replicas) == 0 {
		return nil
	}
	want, _ := ctx.Value(positionKey{}).(driver.Position)
	now := time.Now()
	first := maphash.String(seed, string(id)) % uint64(len(replicas))
	for i := range replicas {
		r := replicas[(int(first)+i)%len(replicas)] // a few
		at := r.progress.Load()
		if lag, ok := at.lag(now); !ok || p.opts.MaxLag > 0 && lag > p.opts.MaxLag || want != "" && !at.engine.Reached(at.at, want) {
			continue
		}
		if r.Up() {
			return r
		}
	}
	return nil
}

// Position returns how far the server of the context's tenant is: everything
// committed before is included. An engine that cannot tell is an error that
// wraps [tenancy.ErrInvalid].
func (p *Pool) Position(ctx context.Context) (driver.Position, error) {
	const op = "dbpool.Pool.Position"
	t, err := tenancy.Require(ctx)
	if err != nil {
		return "", tenancy.Wrap(op, "", err)
	}
	if _, err := p.For(ctx, t); err != nil {
		return "", err
	}
	p.mu.RLock()
	h := p.handles[t.ID]
	p.mu.RUnlock()
	if h == nil {
		return "", tenancy.Wrap(op, t.ID, tenancy.ErrClosed)
	}
	pos, err := h.connector.position(ctx)
	return pos, tenancy.Wrap(op, t.ID, err)
}

// history is where a primary was at which times, ascending.
type history struct {
	mu      sync.Mutex // guards samples
	samples []sample
}

type sample struct {
	at       time.Time
	position driver.Position
}

func (h *history) add(at time.Time, p driver.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.samples) >= mostSamples {
		h.samples = append([]sample(nil), h.samples[mostSamples/4:]...)
	}
	h.samples = append(h.samples, sample{at, p})
}

// latest returns the last time at which the primary was no further than a
// replica is.
func (h *history) latest(e driver.Replication, replica driver.Position) (time.Time, bool) {
	h.mu.Lock()
	samples := h.samples
	h.mu.Unlock()
	for _, s := range slices.Backward(samples) { // they may be of several histories, before and after a failover
		if e.Reached(replica, s.position) {
			return s.at, true
		}
	}
	return time.Time{}, false
}

// follow keeps an eye on a primary and its replicas until the context ends.
//
// A replica that has what the primary had at a time was, at that time, not
// behind. So its lag is known without the servers' clocks, on an idle primary
// and when a replica has lost its primary, too.
func (p *Pool) follow(ctx context.Context, primary *server) {
	var past history
	var all sync.WaitGroup
	all.Go(func() {
		every(ctx, followInterval, func(ctx context.Context) {
			now := time.Now()
			if pos, err := primary.self.position(ctx); err == nil {
				past.add(now, pos)
			}
		})
	})
	for _, r := range primary.replicas {
		all.Go(func() { every(ctx, followInterval, r.findMissing) })
		all.Go(func() {
			every(ctx, followInterval, func(ctx context.Context) {
				if !r.Up() {
					r.self.renew() // nobody is led there: a connection that is new shows that it is up again
				}
				p.mu.RLock()
				engine, _ := r.engine.Engine.(driver.Replication)
				asked := r.self.to.Load()
				p.mu.RUnlock()
				at, err := r.self.position(ctx)
				if err != nil {
					return
				}
				fresh, ok := past.latest(engine, at)
				p.mu.RLock()
				if ok && r.self.to.Load() == asked { // or SetServer gave it another engine
					r.progress.Store(&progress{engine, at, fresh})
				}
				p.mu.RUnlock()
			})
		})
	}
	all.Wait()
}

// every calls fn again and again until the context ends. Each call has a time of
// its own.
func every(ctx context.Context, interval time.Duration, fn func(context.Context)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		short, cancel := context.WithTimeout(ctx, followTimeout)
		fn(short)
		cancel()
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// lag returns how far a replica is behind at the most, if that is known. Nil is not.
func (at *progress) lag(now time.Time) (time.Duration, bool) {
	if at == nil {
		return 0, false
	}
	return now.Sub(at.fresh), true
}

// misses reports whether a replica cannot serve one database, until findMissing finds it again.
func (s *server) misses(to *connector) bool {
	down, early := to.down()
	if early {
		s.missing.Store(to, true)
	}
	if down && !early {
		_, early = s.missing.Load(to) // or the server was down, and the next request tries
	}
	return early
}

// findMissing asks a replica for databases that could not be reached.
func (s *server) findMissing(ctx context.Context) {
	s.missing.Range(func(each, _ any) bool {
		to := each.(*connector) // nothing else is in there
		if to.closed.Load() {
			s.missing.Delete(to)
			return true
		}
		if c, _, err := to.connect(ctx); err == nil {
			_ = c.Close()
		}
		if down, _ := to.down(); !down {
			s.missing.Delete(to)
		}
		return ctx.Err() == nil
	})
}
