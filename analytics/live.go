package analytics

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
)

// Live is what happens now: rates of the last seconds.
type Live struct {
	// Sequence is that of the snapshot: ask for the next with it.
	Sequence int64     `json:"sequence"`
	At       time.Time `json:"at"`
	// Total is that of all tenants of the scope, by the names below.
	Total map[string]*Figure `json:"total"`
	// Tenants are those of the scope that do something, the busiest first, at most
	// [ReportsOptions.LiveTenants].
	Tenants []LiveTenant `json:"tenants"`
	// Instances are all of them, those that are missing, too. Set only for the scope of
	// all tenants.
	Instances []LiveInstance `json:"instances,omitempty"`
	// Application is work without a tenant. Only the scope of all tenants has it.
	Application map[string]*Figure `json:"application,omitempty"`
}

// LiveTenant is what one tenant does now.
type LiveTenant struct {
	ID   tenancy.ID `json:"id"`
	Slug string     `json:"slug"`
	Name string     `json:"name"`
	// Usage has requests, errors and bytes_out per second, the mean latency, and the
	// requests in flight.
	Usage map[string]*Figure `json:"usage"`
}

// LiveInstance is what one instance does now.
type LiveInstance struct {
	Name string `json:"name"`
	// Missing is set when it has been silent for three seconds.
	Missing bool `json:"missing"`
	// Usage has the process's processors and resident memory, as cpu and rss.
	Usage map[string]*Figure `json:"usage"`
}

// FigureLatencyMean is the name of a mean latency, in what is [Live].
const FigureLatencyMean = "latency_mean"

// liveWindow is how far back rates go.
const liveWindow = 2 * time.Second

// hub builds one snapshot for all who watch.
type hub struct {
	mu      sync.Mutex // guards what follows
	asked   time.Time  // when somebody last waited
	current *snapshot
	next    chan struct{} // is closed when there is a newer snapshot
}

// snapshot is what was seen at one time, of all tenants.
type snapshot struct {
	sequence  int64
	at        time.Time
	partial   bool
	tenants   map[tenancy.ID]*liveRates
	infos     map[tenancy.ID]*TenantRow
	instances []LiveInstance
}

// liveRates are rates per second, and what is now.
type liveRates struct{ requests, errors, latencyTime, bytesOut, inFlight float64 }

func (r *liveRates) add(o *liveRates) {
	r.requests += o.requests
	r.errors += o.errors
	r.latencyTime += o.latencyTime
	r.bytesOut += o.bytesOut
	r.inFlight += o.inFlight
}

// figures returns the rates as figures.
func (r *liveRates) figures(at time.Time, partial bool) map[string]*Figure {
	of := func(value float64, unit string) *Figure {
		return &Figure{Value: value, Unit: unit, Method: Measured, MeasuredAt: at, Partial: partial}
	}
	out := map[string]*Figure{
		Requests.String(): of(r.requests, UnitPerSecond), FigureErrors: of(r.errors, UnitPerSecond),
		BytesOut.String(): of(r.bytesOut, UnitPerSecond), InFlight.String(): of(r.inFlight, UnitCount),
	}
	if r.requests > 0 {
		out[FigureLatencyMean] = of(r.latencyTime/r.requests, UnitMicroseconds)
	}
	return out
}

// Live returns the first snapshot behind the one with that sequence, of the tenants of the
// scope; with 0 the newest. It waits until there is one, or ctx ends. Snapshots are made
// twice a second, by [Reports.Run], while somebody waits for them. Without a feed the error
// wraps [tenancy.ErrInvalid].
func (r *Reports) Live(ctx context.Context, scope tenancy.Scope, after int64) (*Live, error) {
	if r.feed == nil {
		return nil, tenancy.Wrap("analytics.Reports.Live", "", fmt.Errorf("%w: the reports have no feed", tenancy.ErrInvalid))
	}
	for {
		r.hub.mu.Lock()
		r.hub.asked = time.Now()
		s, next := r.hub.current, r.hub.next
		r.hub.mu.Unlock()
		// One that was made before anybody watched is old.
		if s != nil && s.sequence > after && time.Since(s.at) < silentTime {
			l := s.live(scope, r.opts.LiveTenants)
			var err error
			l.Tenants, err = inScope(ctx, r, scope, l.Tenants, (*LiveTenant).tenant)
			return l, tenancy.Wrap("analytics.Reports.Live", "", err)
		}
		select {
		case <-next:
		case <-time.After(time.Second): // or Run may take it that nobody waits
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Instances returns the instances of the newest snapshot, those that are missing, too,
// without waiting for one. There are none without a feed, or while nobody has looked. A
// call counts as one of [Reports.Live] for [Reports.Run]. The caller must not change them.
func (r *Reports) Instances() []LiveInstance {
	if r.feed == nil {
		return nil
	}
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	r.hub.asked = time.Now()
	if s := r.hub.current; s != nil && time.Since(s.at) < silentTime {
		return s.instances
	}
	return nil
}

// Run makes the snapshots of [Reports.Live], while somebody waits for them, until ctx ends; then
// it returns nil.
func (r *Reports) Run(ctx context.Context) error {
	if r.feed == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(pulseTime)
	defer tick.Stop()
	w := &watch{instances: map[int64]*watched{}}
	failing := false
	for {
		r.hub.mu.Lock()
		wanted := time.Since(r.hub.asked) < watchTime
		r.hub.mu.Unlock()
		if !wanted { // instances send nothing meanwhile, and are not missing
			w.began = time.Time{}
			clear(w.instances)
		} else {
			if w.began.IsZero() {
				w.began = time.Now()
			}
			err := r.look(ctx, w)
			if err != nil && !failing && ctx.Err() == nil {
				r.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "analytics: the feed of present usage does not answer; it is asked again", slog.Any("error", err))
			}
			failing = err != nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// look makes the next snapshot.
func (r *Reports) look(ctx context.Context, w *watch) error {
	ctx, cancel := context.WithTimeout(ctx, silentTime)
	defer cancel()
	pulses, err := r.feed.Pulses(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	s := w.see(pulses, now)
	if !w.knows() && now.Sub(w.began) < silentTime {
		return nil // the next pulses say how fast
	}
	if err := r.name(ctx, w, s, now); err != nil {
		return err
	}
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	s.sequence = 1
	if r.hub.current != nil {
		s.sequence = r.hub.current.sequence + 1
	}
	r.hub.current = s
	close(r.hub.next)
	r.hub.next = make(chan struct{})
	return nil
}

// name finds out about the tenants of a snapshot: who they are, and their tags. What was
// found out is used for ten seconds.
func (r *Reports) name(ctx context.Context, w *watch, s *snapshot, now time.Time) error {
	if now.Sub(w.named) > 10*time.Second {
		w.infos, w.named = map[tenancy.ID]*TenantRow{}, now
	}
	var unknown []tenancy.ID
	for id := range s.tenants {
		if _, ok := w.infos[id]; !ok && id != Application {
			unknown = append(unknown, id)
		}
	}
	found, err := r.infos(ctx, tenancy.AllTenants(), unknown)
	if err != nil {
		return err
	}
	infos := make(map[tenancy.ID]*TenantRow, len(w.infos)+len(found)) // others read the old one
	for id, info := range w.infos {
		infos[id] = info
	}
	for _, id := range unknown {
		infos[id] = found[id] // nil: it is in no report
	}
	w.infos, s.infos = infos, infos
	return nil
}

// live returns what of the snapshot is in the scope.
func (s *snapshot) live(scope tenancy.Scope, most int) *Live {
	l := &Live{Sequence: s.sequence, At: s.at, Tenants: []LiveTenant{}}
	var total liveRates
	for id, rates := range s.tenants {
		info := s.infos[id]
		if info == nil || !scope.Includes(&tenancy.Tenant{ID: id, Tags: info.Tags}) {
			continue
		}
		total.add(rates)
		l.Tenants = append(l.Tenants, LiveTenant{id, info.Slug, info.Name, rates.figures(s.at, s.partial)})
	}
	slices.SortFunc(l.Tenants, func(a, b LiveTenant) int {
		ra, rb := s.tenants[a.ID], s.tenants[b.ID]
		return cmp.Or(cmp.Compare(rb.requests, ra.requests), cmp.Compare(rb.inFlight, ra.inFlight), cmp.Compare(a.ID, b.ID))
	})
	l.Tenants = l.Tenants[:min(len(l.Tenants), most)]
	l.Total = total.figures(s.at, s.partial)
	if scope.IsAll() {
		l.Instances = s.instances
		if rates := s.tenants[Application]; rates != nil {
			l.Application = rates.figures(s.at, s.partial)
		}
	}
	return l
}
