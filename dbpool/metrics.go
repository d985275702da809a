package dbpool

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/artflow-studio/tenancy/dbpool/internal/sched"
)

// metrics are the instruments of a pool. Those that are only observed are not
// here.
type metrics struct {
	create, wait metric.Float64Histogram // seconds
	unregister   func() error
}

// observed are instruments that show what [Stat] has, by budget.
var observed = []struct {
	name, unit, about string
	gauge             bool
	value             func(Stat) int64
}{
	{"db.client.connection.max", "{connection}", "The most connections there may be.", true, func(s Stat) int64 { return int64(s.Budget + s.Borrowed) }},
	{"db.client.connection.pending_requests", "{request}", "Requests that wait for a connection.", true, func(s Stat) int64 { return int64(s.Waiting) }},
	{"db.client.connection.timeouts", "{timeout}", "Requests that timed out waiting for a connection.", false, func(s Stat) int64 { return s.GaveUp }},
	{"tenancy.dbpool.borrowed", "{connection}", "Connections borrowed by this instance beyond its budget.", true, func(s Stat) int64 { return int64(s.Borrowed) }},
	{"tenancy.dbpool.requests", "{request}", "Connections asked for.", false, func(s Stat) int64 { return s.Requests }},
	{"tenancy.dbpool.waits", "{request}", "Connections asked for that were not there at once.", false, func(s Stat) int64 { return s.Waits }},
	{"tenancy.dbpool.hand_overs", "{connection}", "Connections given to a request that waited.", false, func(s Stat) int64 { return s.HandOvers }},
	{"tenancy.dbpool.refused", "{request}", "Requests that did not wait because it was hopeless.", false, func(s Stat) int64 { return s.Refused }},
	{"tenancy.dbpool.dials", "{connection}", "Connections begun.", false, func(s Stat) int64 { return s.Dials }},
	{"tenancy.dbpool.dial.failures", "{connection}", "Connections begun that failed.", false, func(s Stat) int64 { return s.Failures }},
	{"tenancy.dbpool.evictions", "{connection}", "Idle connections that gave their place to another tenant's.", false, func(s Stat) int64 { return s.Evictions }},
	{"tenancy.dbpool.switches", "{connection}", "Evicted connections that were switched to the other tenant's database.", false, func(s Stat) int64 { return s.Switches }},
}

// newMetrics makes the instruments, which read the pool's figures when somebody
// collects them.
func (p *Pool) newMetrics(provider metric.MeterProvider) (*metrics, error) {
	m := provider.Meter(sched.Scope)
	var err error
	keep := func(e error) {
		if err == nil {
			err = e
		}
	}
	out := &metrics{}
	var e error
	buckets := metric.WithExplicitBucketBoundaries(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)
	out.create, e = m.Float64Histogram("db.client.connection.create_time", metric.WithUnit("s"),
		metric.WithDescription("The time it took to make a connection and to check whose it is."), buckets)
	keep(e)
	out.wait, e = m.Float64Histogram("db.client.connection.wait_time", metric.WithUnit("s"),
		metric.WithDescription("How long requests waited that found no idle connection."), buckets)
	keep(e)

	all := make([]metric.Int64Observable, len(observed))
	var instruments []metric.Observable
	for i, o := range observed {
		if o.gauge { // one that may fall, and adds up over instances
			all[i], e = m.Int64ObservableUpDownCounter(o.name, metric.WithUnit(o.unit), metric.WithDescription(o.about))
		} else {
			all[i], e = m.Int64ObservableCounter(o.name, metric.WithUnit(o.unit), metric.WithDescription(o.about))
		}
		keep(e)
		instruments = append(instruments, all[i])
	}
	count, e := m.Int64ObservableUpDownCounter("db.client.connection.count", metric.WithUnit("{connection}"),
		metric.WithDescription("Connections by state: idle, used, and dialing."))
	keep(e)
	tripped, e := m.Int64ObservableGauge("tenancy.dbpool.breaker", metric.WithUnit("1"),
		metric.WithDescription("Whether a server is taken to be down: 1, or 0."))
	keep(e)
	lag, e := m.Float64ObservableGauge("tenancy.dbpool.replica.lag", metric.WithUnit("s"),
		metric.WithDescription("How far a read replica is behind at the most."))
	keep(e)
	byTenant, e := m.Int64ObservableUpDownCounter("tenancy.dbpool.tenant.connections", metric.WithUnit("{connection}"),
		metric.WithDescription("Connections of one of the busiest tenants, in use or idle."))
	keep(e)
	pending, e := m.Int64ObservableUpDownCounter("tenancy.dbpool.tenant.pending_requests", metric.WithUnit("{request}"),
		metric.WithDescription("Requests of one of the busiest tenants that wait for a connection."))
	keep(e)
	if err != nil {
		return nil, err
	}
	registration, err := m.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		for _, b := range p.budgets() {
			s, budget := statOf(b), poolName(b.Name())
			for i, o := range observed {
				to.ObserveInt64(all[i], o.value(s), metric.WithAttributeSet(budget))
			}
			for state, n := range map[string]int{"idle": s.Idle, "used": s.InUse, "dialing": s.Dialing} {
				to.ObserveInt64(count, int64(n), metric.WithAttributes(append(budget.ToSlice(), attribute.String("db.client.connection.state", state))...))
			}
		}
		now := time.Now()
		for _, s := range p.allServers() {
			name := metric.WithAttributes(attribute.String("tenancy.server", s.Name()))
			to.ObserveInt64(tripped, b2i(!s.Up()), name)
			if d, ok := s.progress.Load().lag(now); ok {
				to.ObserveFloat64(lag, d.Seconds(), name)
			}
		}
		if p.opts.TenantMetrics > 0 {
			for _, t := range p.Tenants(p.opts.TenantMetrics) {
				tenant := metric.WithAttributes(attribute.String("tenancy.server", t.Server), attribute.String("tenancy.tenant.id", string(t.Tenant)))
				to.ObserveInt64(byTenant, int64(t.Conns), tenant)
				to.ObserveInt64(pending, int64(t.Waiting), tenant)
			}
		}
		return nil
	}, append(instruments, count, tripped, lag, byTenant, pending)...)
	if err != nil {
		return nil, err
	}
	out.unregister = registration.Unregister
	return out, nil
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// poolName returns the attribute of the metrics of a budget.
func poolName(budget string) attribute.Set {
	return attribute.NewSet(attribute.String("db.client.connection.pool.name", budget))
}

// timings returns what records how long the requests and dials of a budget took.
func (m *metrics) timings(budget string) sched.Timings {
	if m == nil {
		return sched.Timings{}
	}
	name := metric.WithAttributeSet(poolName(budget))
	record := func(to metric.Float64Histogram) func(time.Duration) {
		return func(d time.Duration) { to.Record(context.Background(), d.Seconds(), name) }
	}
	return sched.Timings{Waited: record(m.wait), Dialed: record(m.create)}
}
