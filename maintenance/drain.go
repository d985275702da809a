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

const (
	// countEvery is how often requests in flight are counted while somebody waits.
	countEvery = 10 * time.Millisecond
	// channelTimeout bounds a call of the [DrainChannel].
	channelTimeout = 2 * time.Second
	// maxHeartbeat bounds the time between two heartbeats, and between two requests for a drain: an instance that is silent for longer
	// is gone, and a drain that nobody requests is over.
	maxHeartbeat = 2 * time.Second
	// goneAfter is how long a drain waits for an instance that was present and no longer is: the channel may have lost what it knew,
	// and hears it again.
	goneAfter = 10 * time.Second
	// sureBeats is for how many heartbeats in a row all instances must have done a drain. An instance that the channel does not know
	// yet is present by then.
	sureBeats = 2
)

// DrainError says which requests were still in flight when a drain's context ended. It wraps the context's error.
type DrainError struct {
	// InFlight is the number of requests in flight on this instance.
	InFlight int
	// Missing are the other instances that have not said that they are done, by the names that they chose at their start. It is empty if
	// the context ended before they were asked.
	Missing []string
	Err     error
}

// Error returns the text for logs.
func (e *DrainError) Error() string {
	return fmt.Sprintf("%d requests in flight here, %d other instances not done: %v", e.InFlight, len(e.Missing), e.Err)
}

// Unwrap returns the context's error.
func (e *DrainError) Unwrap() error { return e.Err }

// InFlight returns the number of requests of the scope that are in flight on this instance, leaving out those
// that maintenance has admitted.
func (s Scope) InFlight() int {
	if !s.service && s.tenant == "" {
		return 0
	}
	return s.gate.flights.count(s.tenant, func(pass) bool { return true })
}

// Drain waits until no instance serves a request of the scope that maintenance would refuse now. It waits for
// requests that were admitted with an older tenant record, or by an earlier maintenance. It does not wait for
// reads during read-only maintenance, nor for allowed addresses and paths.
//
// The other instances report through [GateOptions.Drains] when they are done; each must run [Gate.Run]. Without
// that channel, Drain waits for [GateOptions.Settle], and does not know what is still in flight elsewhere.
//
// Drain returns an error that wraps [tenancy.ErrInvalid] if maintenance is not in force. If the context ends
// first, requests go on as before, and the error is a [*DrainError].
func (s Scope) Drain(ctx context.Context) error {
	return tenancy.Wrap("maintenance.Scope.Drain", s.tenant, s.drain(ctx))
}

func (s Scope) drain(ctx context.Context) error {
	g := s.gate
	m, of, err := s.get(ctx)
	if ended := ctx.Err(); ended != nil && errors.Is(err, ended) {
		return &DrainError{InFlight: s.InFlight(), Err: ended}
	}
	if err != nil {
		return err
	}
	inForce := m != nil
	if inForce {
		p, _ := newPlan(m, s.tenant)
		inForce = p.look(time.Now().Round(0)).open
	}
	if !inForce {
		return errNotInForce()
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
		return &DrainError{InFlight: g.flights.count(d.Tenant, d.admits), Missing: missing, Err: ended}
	}
	return err
}

// drainHere admits no request with an older record from now on, and waits until none is in flight here.
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
	for g.flights.count(d.Tenant, d.admits) > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
	return nil
}

// knows reports whether this gate enforces the service's record of that version or of a later one.
func (g *Gate) knows(version int64) bool {
	p := g.service.Load()
	return p != nil && p.version >= version
}

// drainThere waits for the other instances, and returns those that are missing.
func (g *Gate) drainThere(ctx context.Context, d Drain) (missing []string, err error) {
	if g.opts.Drains == nil {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(g.opts.Settle):
			return nil, nil
		}
	}
	t := time.NewTicker(min(g.opts.Poll, maxHeartbeat))
	defer t.Stop()
	sure, all := 0, map[string]asked{}
	for {
		err := g.askAll(ctx, d, all)
		switch {
		case err != nil:
			sure = 0
			g.opts.Logger.WarnContext(ctx, "maintenance: drain request failed; trying again", slog.Any("error", err))
		default:
			missing = missing[:0]
			for instance, its := range all {
				if !its.done && time.Since(its.seen) < goneAfter {
					missing = append(missing, instance)
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

// asked is what is known of an instance that was asked to drain.
type asked struct {
	seen time.Time // when it was present last
	done bool
}

// askAll asks the other instances once, and notes what they say.
func (g *Gate) askAll(ctx context.Context, d Drain, all map[string]asked) error {
	ctx, cancel := context.WithTimeout(ctx, channelTimeout)
	defer cancel()
	if err := g.opts.Drains.Request(ctx, d); err != nil {
		return err
	}
	present, done, err := g.opts.Drains.Status(ctx, d)
	if err != nil {
		return err
	}
	for _, instance := range present {
		all[instance] = asked{time.Now(), all[instance].done || instance == g.instance} // drainHere waits for this one
	}
	for _, instance := range done {
		all[instance] = asked{done: true}
	}
	return nil
}

// attend does the drains that other instances ask for, until the context ends.
func (g *Gate) attend(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	type attendance struct {
		cancel context.CancelFunc
		done   atomic.Bool
	}
	attended := map[string]*attendance{}
	defer func() {
		for _, each := range attended {
			each.cancel()
		}
	}()
	failing := false
	t := time.NewTicker(min(g.opts.Poll, maxHeartbeat))
	defer t.Stop()
	for {
		drains, err := g.heartbeat(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			g.opts.Logger.WarnContext(ctx, "maintenance: heartbeat failed; drains of other instances do not wait for this one", slog.Any("error", err))
		}
		failing = err != nil
		asked := map[string]bool{}
		for _, d := range drains {
			asked[d.ID] = true
			its := attended[d.ID]
			if its == nil {
				its = new(attendance)
				var waiting context.Context
				waiting, its.cancel = context.WithCancel(ctx)
				attended[d.ID] = its
				work.Go(func() {
					if g.drainHere(waiting, d) == nil {
						its.done.Store(true)
						g.sayDone(waiting, d)
					}
				})
			} else if its.done.Load() {
				g.sayDone(ctx, d) // the channel may have lost it
			}
		}
		if err == nil {
			maps.DeleteFunc(attended, func(id string, its *attendance) bool {
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

func (g *Gate) heartbeat(ctx context.Context) ([]Drain, error) {
	ctx, cancel := context.WithTimeout(ctx, channelTimeout)
	defer cancel()
	return g.opts.Drains.Heartbeat(ctx, g.instance)
}

func (g *Gate) sayDone(ctx context.Context, d Drain) {
	ctx, cancel := context.WithTimeout(ctx, channelTimeout)
	defer cancel()
	if err := g.opts.Drains.Done(ctx, d, g.instance); err != nil && !errors.Is(err, context.Canceled) {
		g.opts.Logger.WarnContext(ctx, "maintenance: a drain is done here, but the other instances could not be told; trying again", slog.Any("error", err))
	}
}
