package analytics

import (
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// watch makes rates of the pulses that follow each other.
type watch struct {
	instances map[int64]*watched
	infos     map[tenancy.ID]*TenantRow
	named     time.Time
	began     time.Time // when somebody began to watch
}

// watched is what was seen of one instance lately, the newest last.
type watched struct {
	pulses []Pulse
	seen   time.Time // when the newest was first seen
}

// forgetTime is how long an instance that is missing is named.
const forgetTime = time.Minute

// see returns the snapshot of the pulses, which are the newest of each instance.
func (w *watch) see(pulses []Pulse, now time.Time) *snapshot {
	for _, p := range pulses {
		i := w.instances[p.Instance]
		if i == nil {
			i = &watched{}
			w.instances[p.Instance] = i
		}
		i.add(p, now)
	}
	s := &snapshot{at: now.UTC(), tenants: map[tenancy.ID]*liveRates{}, instances: []LiveInstance{}}
	var all []*watched
	for id, i := range w.instances {
		if now.Sub(i.seen) > forgetTime {
			delete(w.instances, id)
			continue
		}
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b *watched) int { return comparePulses(&a.pulses[0], &b.pulses[0]) })
	for _, i := range all {
		newest := &i.pulses[len(i.pulses)-1]
		missing := now.Sub(i.seen) > silentTime
		s.partial = s.partial || missing
		s.instances = append(s.instances, i.report(now, missing))
		if missing {
			continue
		}
		oldest := &i.pulses[0]
		seconds := (newest.Uptime - oldest.Uptime).Seconds()
		for id, c := range newest.Tenants {
			rates := &liveRates{inFlight: float64(c.InFlight)}
			if before := oldest.Tenants[id]; seconds > 0 {
				rates.requests = float64(c.Requests-before.Requests) / seconds
				rates.errors = float64(c.Errors-before.Errors) / seconds
				rates.latencyTime = float64(c.LatencyTime-before.LatencyTime) / seconds
				rates.bytesOut = float64(c.BytesOut-before.BytesOut) / seconds
			}
			if *rates == (liveRates{}) {
				continue
			}
			if s.tenants[id] == nil {
				s.tenants[id] = &liveRates{}
			}
			s.tenants[id].add(rates)
		}
	}
	return s
}

// knows reports whether an instance has sent two pulses, of which a rate can be made. Until
// then nothing is known, and zero would be wrong.
func (w *watch) knows() bool {
	for _, i := range w.instances {
		if len(i.pulses) > 1 {
			return true
		}
	}
	return false
}

// add takes note of a pulse, and forgets those that are older than the window.
func (i *watched) add(p Pulse, now time.Time) {
	if n := len(i.pulses); n > 0 {
		newest := &i.pulses[n-1]
		switch {
		case newest.Epoch == p.Epoch && newest.Sequence >= p.Sequence:
			return
		case newest.Epoch != p.Epoch:
			i.pulses = nil // its sums begin again
		}
	}
	i.pulses, i.seen = append(i.pulses, p), now
	for len(i.pulses) > 2 && p.Uptime-i.pulses[1].Uptime >= liveWindow {
		i.pulses = i.pulses[1:]
	}
}

// report returns the instance as it is now.
func (i *watched) report(now time.Time, missing bool) LiveInstance {
	newest, oldest := &i.pulses[len(i.pulses)-1], &i.pulses[0]
	out := LiveInstance{Name: newest.Name, Missing: missing, Usage: map[string]*Figure{}}
	if newest.RSS > 0 {
		out.Usage["rss"] = &Figure{Value: float64(newest.RSS), Unit: UnitBytes, Method: Measured, MeasuredAt: i.seen.UTC()}
	}
	if d := newest.Uptime - oldest.Uptime; d > 0 && newest.CPU > 0 && !missing {
		out.Usage["cpu"] = &Figure{Value: float64(newest.CPU-oldest.CPU) / float64(d), Unit: UnitProcessors, Method: Measured, MeasuredAt: now.UTC()}
	}
	return out
}
