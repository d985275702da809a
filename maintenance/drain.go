package maintenance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Replicas is how the replicas of the host tell each other what they have drained.
// The package maintenance/replicas has one in Redis and one in memory.
//
// A replica is there from its first Beat on, and gone when it has not beaten for
// some time, at least ten seconds. Methods are called by many goroutines at once. An
// error means that nothing is known.
type Replicas interface {
	// Beat says that a replica is there, and returns the drains that were asked for
	// lately.
	Beat(ctx context.Context, replica string) ([]Drain, error)
	// Ask asks all replicas for a drain. It is called again and again while
	// somebody waits; what nobody asks for any more ends after some seconds.
	Ask(ctx context.Context, d Drain) error
	// Ack says that a replica has done a drain. It is called again and again, too.
	Ack(ctx context.Context, d Drain, replica string) error
	// Who returns the replicas that are there, and those that have done the drain.
	Who(ctx context.Context, d Drain) (there, done []string, err error)
}

// Drain is what replicas are asked for: to let nobody in by an older record than
// that one, and to wait for those who are in, unless this maintenance let them.
type Drain struct {
	ID string `json:"id"`
	// Tenant is empty for the service.
	Tenant  tenancy.ID `json:"tenant,omitempty"`
	Version int64      `json:"version"`
	// CreatedAt is when the tenant was made, as one that is made again under its ID
	// begins with version 1, and BeganAt when the maintenance began, both in
	// microseconds since 1970. CreatedAt is 0 for the service, and where it is not known.
	CreatedAt int64 `json:"created_at,omitempty"`
	BeganAt   int64 `json:"began_at"`
	// Generation is the maintenance's own.
	Generation string `json:"generation"`
}

// newest returns a record with what tells it from older ones of the tenant.
func (d Drain) newest() *tenancy.Tenant {
	t := &tenancy.Tenant{ID: d.Tenant, Version: d.Version}
	if d.CreatedAt != 0 {
		t.CreatedAt = time.UnixMicro(d.CreatedAt).UTC()
	}
	return t
}

// lets reports whether a pass is of the maintenance for which the drain is: another
// one may refuse what it let pass, and who came by a bypass that is none any more.
func (d Drain) lets(by pass) bool {
	if by.bypass && by.plan.Generation != d.Generation {
		return false
	}
	return by.plan.BeganAt.UnixMicro() == d.BeganAt
}

const (
	// countEvery is how often requests in flight are counted while somebody waits.
	countEvery = 10 * time.Millisecond
	// askTimeout bounds a question to the other replicas.
	askTimeout = 2 * time.Second
	// mostBeat bounds the time between two beats, and between two questions: who is
	// not heard of for longer is gone, and what is not asked for is over.
	mostBeat = 2 * time.Second
	// goneAfter is for how long a replica that was there is waited for when it is not:
	// what the replicas share may have been lost, and is told again.
	goneAfter = 10 * time.Second
	// sureBeats is for how many beats all replicas that are there must have done a
	// drain: one of which nobody knows yet is there by then.
	sureBeats = 2
)

// DrainError says what was still under way when a drain's context ended. It unwraps
// to the context's error.
type DrainError struct {
	// InFlight is how many requests were in flight on this replica.
	InFlight int
	// Missing are replicas that had not told that they are done, by names that they
	// chose for themselves at their start.
	Missing []string
	Err     error
}

// Error returns the text for logs.
func (e *DrainError) Error() string {
	return fmt.Sprintf("%d requests in flight here, %d replicas not done: %v", e.InFlight, len(e.Missing), e.Err)
}

// Unwrap returns the context's error.
func (e *DrainError) Unwrap() error { return e.Err }

// InFlight returns how many requests of the scope are in flight on this replica,
// those that maintenance let pass aside.
func (s Scope) InFlight() int {
	if !s.service && s.tenant == "" {
		return 0
	}
	return s.gate.flights.count(s.tenant, func(pass) bool { return true })
}

// Drain waits until no request of the scope is in flight that maintenance would
// refuse now, on any replica. Those that came by a record from before count, and those
// that another maintenance let pass, such as a read-only one before; those that read
// only, while this one is read-only, and those that it allows do not.
//
// Other replicas tell when they are done through [GateOptions.Replicas]; each must
// be running [Gate.Run]. Without, Drain waits for [GateOptions.Settle], and what is
// in flight elsewhere after that is not known.
//
// Maintenance that is not in force is an error that unwraps to [tenancy.ErrInvalid].
// When the context ends before, requests are let go on, and the error is a
// [*DrainError].
func (s Scope) Drain(ctx context.Context) error {
	return tenancy.Wrap("maintenance.Drain", s.tenant, s.drain(ctx))
}

func (s Scope) drain(ctx context.Context) error {
	g := s.gate
	m, of, err := s.get(ctx)
	if err != nil {
		return err
	}
	inForce := m != nil
	if inForce {
		p, _ := newPlan(m, s.tenant)
		inForce = p.look(time.Now().Round(0)).open
	}
	if !inForce {
		return fmt.Errorf("%w: maintenance is not in force", tenancy.ErrInvalid)
	}
	d := Drain{ID: rand.Text(), Tenant: s.tenant, Version: of.Version, BeganAt: m.BeganAt.UnixMicro(), Generation: m.Generation}
	if !of.CreatedAt.IsZero() {
		d.CreatedAt = of.CreatedAt.UnixMicro()
	}
	here := make(chan error, 1)
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	go func() { here <- g.drainHere(waiting, d) }()
	missing, err := g.drainThere(ctx, d)
	if err == nil {
		err = <-here
	}
	if ended := ctx.Err(); ended != nil && err != nil {
		return &DrainError{InFlight: g.flights.count(d.Tenant, d.lets), Missing: missing, Err: ended}
	}
	return err
}

// drainHere lets nobody in by an older record, and waits until nobody is.
func (g *Gate) drainHere(ctx context.Context, d Drain) error {
	t := time.NewTicker(countEvery)
	defer t.Stop()
	if d.Tenant != "" {
		g.mark(d.newest())
	}
	for d.Tenant == "" && !g.knows(d.Version) {
		if err := g.Refresh(ctx); err == nil && g.knows(d.Version) {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
	for g.flights.count(d.Tenant, d.lets) > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
	return nil
}

// knows reports whether the service's record of that version, or a later one, is in
// force here.
func (g *Gate) knows(version int64) bool {
	p := g.service.Load()
	return p != nil && p.version >= version
}

// drainThere waits for the other replicas, and returns those that are missing.
func (g *Gate) drainThere(ctx context.Context, d Drain) (missing []string, err error) {
	if g.opts.Replicas == nil {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(g.opts.Settle):
			return nil, nil
		}
	}
	t := time.NewTicker(min(g.opts.Poll, mostBeat))
	defer t.Stop()
	sure, all := 0, map[string]asked{}
	for {
		err := g.askAll(ctx, d, all)
		switch {
		case err != nil:
			sure = 0
			g.log().WarnContext(ctx, "maintenance: other replicas cannot be asked to drain", slog.Any("error", err))
		default:
			missing = missing[:0]
			for replica, its := range all {
				if !its.done && time.Since(its.there) < goneAfter {
					missing = append(missing, replica)
				}
			}
			slices.Sort(missing)
			if sure++; len(missing) > 0 {
				sure = 0
			}
		}
		if sure > sureBeats {
			return nil, nil
		}
		select {
		case <-ctx.Done():
			return missing, ctx.Err()
		case <-t.C:
		}
	}
}

// asked is what is known of a replica that was asked.
type asked struct {
	there time.Time // when it was there the last time
	done  bool
}

// askAll asks the other replicas once, and notes what they say.
func (g *Gate) askAll(ctx context.Context, d Drain, all map[string]asked) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := g.opts.Replicas.Ask(ctx, d); err != nil {
		return err
	}
	there, done, err := g.opts.Replicas.Who(ctx, d)
	if err != nil {
		return err
	}
	for _, replica := range there {
		all[replica] = asked{time.Now(), all[replica].done || replica == g.replica} // which waits for itself
	}
	for _, replica := range done {
		all[replica] = asked{done: true}
	}
	return nil
}

// attend does what other replicas ask for, until the context ends.
func (g *Gate) attend(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	type task struct {
		cancel context.CancelFunc
		done   atomic.Bool
	}
	tasks := map[string]*task{}
	defer func() {
		for _, each := range tasks {
			each.cancel()
		}
	}()
	failing := false
	t := time.NewTicker(min(g.opts.Poll, mostBeat))
	defer t.Stop()
	for {
		drains, err := g.beat(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			g.log().WarnContext(ctx, "maintenance: other replicas do not hear of this one; it is gone for their drains", slog.Any("error", err))
		}
		failing = err != nil
		asked := map[string]bool{}
		for _, d := range drains {
			asked[d.ID] = true
			its := tasks[d.ID]
			if its == nil {
				its = new(task)
				var waiting context.Context
				waiting, its.cancel = context.WithCancel(ctx)
				tasks[d.ID] = its
				work.Go(func() {
					if g.drainHere(waiting, d) == nil {
						its.done.Store(true)
						g.ack(waiting, d)
					}
				})
			} else if its.done.Load() {
				g.ack(ctx, d) // somebody may have lost it
			}
		}
		if err == nil {
			maps.DeleteFunc(tasks, func(id string, its *task) bool {
				if !asked[id] {
					its.cancel()
				}
				return !asked[id]
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (g *Gate) beat(ctx context.Context) ([]Drain, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return g.opts.Replicas.Beat(ctx, g.replica)
}

func (g *Gate) ack(ctx context.Context, d Drain) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := g.opts.Replicas.Ack(ctx, d, g.replica); err != nil && !errors.Is(err, context.Canceled) {
		g.log().WarnContext(ctx, "maintenance: a drain that is done cannot be told", slog.Any("error", err))
	}
}

// mark lets nobody in by an older record than this one, from now on.
func (g *Gate) mark(newest *tenancy.Tenant) {
	g.mu.Lock()
	defer g.mu.Unlock()
	marks := map[tenancy.ID]mark{}
	if now := g.drained.Load(); now != nil {
		marks = maps.Clone(*now)
	}
	if old, ok := marks[newest.ID]; ok && old.newest.Newer(newest) {
		newest = old.newest
	}
	marks[newest.ID] = mark{newest, time.Now()}
	g.drained.Store(&marks)
}

// tooOld reports whether a record is from before a drain.
func (g *Gate) tooOld(t *tenancy.Tenant) bool {
	marks := g.drained.Load()
	if marks == nil {
		return false
	}
	m, ok := (*marks)[t.ID]
	return ok && m.newest.Newer(t)
}

// forget lets go of drains of which no record of before is left.
func (g *Gate) forget(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	marks := g.drained.Load()
	if marks == nil {
		return
	}
	left := maps.Clone(*marks)
	maps.DeleteFunc(left, func(_ tenancy.ID, m mark) bool { return now.Sub(m.at) > markLife })
	if len(left) == len(*marks) {
		return
	}
	g.drained.Store(nil)
	if len(left) > 0 {
		g.drained.Store(&left)
	}
}
