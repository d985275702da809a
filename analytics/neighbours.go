package analytics

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
)

// When neighbours are reported.
const (
	noisyPeriod  = 5 * time.Minute
	noisyShare   = 0.5 // of what is shared
	slowedFactor = 2.0
	slowedLeast  = 5    // tenants, or
	slowedShare  = 0.25 // of those that can be compared
)

// Neighbours names tenants that took most of what they share with others, while these
// became slow.
type Neighbours struct {
	// Period is the five minutes in which they did; Before are the 24 hours that latencies
	// are compared with, from the begin of an hour on.
	Period Period `json:"period"`
	Before Period `json:"before"`
	// Note says what the report does not say.
	Note  string        `json:"note"`
	Noisy []NoisyTenant `json:"noisy"`
}

// NoisyTenant is a tenant that took over half of something, and those that became slow
// meanwhile.
type NoisyTenant struct {
	TenantInfo
	// Resource is what it took: the statement time of a database server, or the processor
	// time of an instance.
	Resource Resource `json:"resource"`
	// On is the name of the server or of the instance. Names of instances appear in the
	// scope of all tenants only.
	On string `json:"on,omitempty"`
	// Share is its share of the total, of the tenants of the scope.
	Share float64 `json:"share"`
	Used  *Figure `json:"used"`
	Total *Figure `json:"total"`
	// Compared is how many others had 20 requests or more in both periods. SlowedTotal of
	// them became slow; Slowed are those that became slowest.
	Compared    int            `json:"compared"`
	SlowedTotal int            `json:"slowed_total"`
	Slowed      []SlowedTenant `json:"slowed"`
}

// SlowedTenant is a tenant whose p95 at least doubled.
type SlowedTenant struct {
	TenantInfo
	Requests *Figure `json:"requests"`
	P95      *Figure `json:"latency_p95"`
	Before   *Figure `json:"latency_p95_before"`
	Factor   float64 `json:"factor"`
}

// Resource is what tenants share.
type Resource string

// The resources.
const (
	ResourceStatements Resource = "statement_time" // of a database server
	ResourceProcessor  Resource = "cpu_time"       // of an instance
)

// neighboursNote is the report's note.
const neighboursNote = "This happened at the same time, which is no proof of a cause."

// Neighbours returns tenants of the scope that took over half of a server's statement time
// or of an instance's processor time in the five whole minutes before at, or before the
// present if at is zero, if others there became slow: at least five of them, or a quarter,
// had 20 requests or more whose p95 was at least twice that of the 24 hours before. Totals
// are sums over the tenants of the scope. In the scope of all tenants the total of an instance
// includes work that belongs to no tenant. Figures of instances are kept for three hours.
func (r *Reports) Neighbours(ctx context.Context, scope tenancy.Scope, at time.Time) (*Neighbours, error) {
	n, err := shared(ctx, r, "neighbours", scope, at, r.neighbours)
	return n, tenancy.Wrap("analytics.Reports.Neighbours", "", err)
}

func (r *Reports) neighbours(ctx context.Context, scope tenancy.Scope, at time.Time) (*Neighbours, error) {
	state, err := r.source.State(ctx)
	if err != nil {
		return nil, err
	}
	if at.IsZero() {
		at = state.Now
	}
	if at.After(state.Now) || at.Before(state.Now.Add(-keepMinutes)) {
		return nil, fmt.Errorf("%w: neighbours at %v, want a time of the last %v", tenancy.ErrInvalid, at, keepMinutes)
	}
	to := at.UTC().Truncate(time.Minute)
	report := &Neighbours{Period: Period{to.Add(-noisyPeriod), to}, Note: neighboursNote, Noisy: []NoisyTenant{}}
	report.Before = Period{report.Period.From.Add(-day).Truncate(time.Hour), report.Period.From}
	s := &neighbourhood{r: r, scope: scope, report: report, f: newFigures(state), before: map[tenancy.ID]*Counts{}}
	if err := s.servers(ctx); err != nil {
		return nil, err
	}
	names := map[int64]string{}
	for _, i := range state.Instances {
		if scope.IsAll() {
			names[i.ID] = i.Name
		}
	}
	if err := s.instances(ctx, names); err != nil {
		return nil, err
	}
	slices.SortStableFunc(report.Noisy, func(a, b NoisyTenant) int { return cmp.Compare(b.SlowedTotal, a.SlowedTotal) })
	return report, nil
}

// ServerSource is an optional interface for a [Source] that can say of many tenants at once
// where they are.
type ServerSource interface {
	// Servers returns the servers of the scope's tenants that have one.
	Servers(ctx context.Context, scope tenancy.Scope) (map[tenancy.ID]string, error)
}

// serversOf returns the servers of those tenants, and perhaps of others in the scope.
func (r *Reports) serversOf(ctx context.Context, scope tenancy.Scope, rows []SumRow) (map[tenancy.ID]string, error) {
	if s, ok := r.source.(ServerSource); ok {
		return s.Servers(ctx, scope)
	}
	ids := make([]tenancy.ID, len(rows))
	for i := range rows {
		ids[i] = rows[i].Tenant
	}
	infos, err := r.infos(ctx, scope, ids)
	servers := make(map[tenancy.ID]string, len(infos))
	for id, info := range infos {
		servers[id] = info.Server
	}
	return servers, err
}

// neighbourhood looks for neighbours.
type neighbourhood struct {
	r      *Reports
	scope  tenancy.Scope
	report *Neighbours
	f      figures
	before map[tenancy.ID]*Counts // nil: it is known that there are none
}

// group is what tenants did on one server or in one instance.
type neighbourGroup struct {
	counts map[tenancy.ID]*Counts
	total  int64
}

// noisy returns the tenant that took over half of the total.
func (g *neighbourGroup) noisy(by Column) (tenancy.ID, bool) {
	for id, c := range g.counts {
		if v := c.Get(by); v > 0 && float64(v) > noisyShare*float64(g.total) && id != Application && id != Unattributed {
			return id, true
		}
	}
	return "", false
}

// servers looks at what the tenants of each server did.
func (s *neighbourhood) servers(ctx context.Context) error {
	if s.f.of(StatementTime, 0) == nil {
		return nil
	}
	rows, err := s.r.source.Sum(ctx, &SumQuery{Scope: s.scope, Period: s.report.Period, ByTenant: true, Columns: []Column{Requests, StatementTime}})
	if err != nil {
		return err
	}
	servers, err := s.r.serversOf(ctx, s.scope, rows)
	if err != nil {
		return err
	}
	groups := map[string]*neighbourGroup{}
	for i := range rows {
		id := rows[i].Tenant
		server := servers[id]
		if server == "" {
			continue
		}
		g := groups[server]
		if g == nil {
			g = &neighbourGroup{counts: map[tenancy.ID]*Counts{}}
			groups[server] = g
		}
		g.counts[id] = &rows[i].Counts
		g.total = add(g.total, rows[i].Counts.Get(StatementTime))
	}
	for server, g := range sortedGroups(groups) {
		id, ok := g.noisy(StatementTime)
		if !ok {
			continue
		}
		busy := []tenancy.ID{}
		for other, c := range g.counts {
			if other != id && c.Get(Requests) >= minRequests {
				busy = append(busy, other)
			}
		}
		now, err := s.latencies(ctx, busy, &SumQuery{Period: s.report.Period})
		if err == nil {
			err = s.finding(ctx, g, id, ResourceStatements, server, now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// instances looks at what the tenants of each instance did there.
func (s *neighbourhood) instances(ctx context.Context, names map[int64]string) error {
	if s.f.of(CPUTime, 0) == nil {
		return nil
	}
	queries := []*SumQuery{{}}
	if s.scope.IsAll() {
		queries = append(queries, &SumQuery{Tenants: []tenancy.ID{Application, Unattributed}})
	}
	groups := map[int64]*neighbourGroup{}
	for _, q := range queries {
		q.Scope, q.Period, q.ByTenant, q.BySource = s.scope, s.report.Period, true, true
		q.Columns = []Column{Requests, CPUTime}
		rows, err := s.r.source.Sum(ctx, q)
		if err != nil {
			return err
		}
		for i := range rows {
			g := groups[rows[i].Source]
			if g == nil {
				g = &neighbourGroup{counts: map[tenancy.ID]*Counts{}}
				groups[rows[i].Source] = g
			}
			g.counts[rows[i].Tenant] = &rows[i].Counts
			g.total = add(g.total, rows[i].Counts.Get(CPUTime))
		}
	}
	for source, g := range sortedGroups(groups) {
		id, ok := g.noisy(CPUTime)
		if !ok {
			continue
		}
		busy := []tenancy.ID{}
		for other, c := range g.counts {
			if other != id && other != Application && c.Get(Requests) >= minRequests {
				busy = append(busy, other)
			}
		}
		now, err := s.latencies(ctx, busy, &SumQuery{Period: s.report.Period, BySource: true}, source)
		if err == nil {
			err = s.finding(ctx, g, id, ResourceProcessor, names[source], now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// latencies returns the counts of those tenants, with latencies: of one source, if it is
// given.
func (s *neighbourhood) latencies(ctx context.Context, ids []tenancy.ID, q *SumQuery, source ...int64) (map[tenancy.ID]*Counts, error) {
	out := map[tenancy.ID]*Counts{}
	for chunk := range slices.Chunk(ids, 500) {
		q.Scope, q.Tenants, q.ByTenant, q.Latency = s.scope, chunk, true, true
		rows, err := s.r.source.Sum(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			if len(source) == 0 || rows[i].Source == source[0] {
				out[rows[i].Tenant] = &rows[i].Counts
			}
		}
	}
	return out, nil
}

// finding adds the noisy tenant to the report, if enough of the others became slow.
func (s *neighbourhood) finding(ctx context.Context, g *neighbourGroup, id tenancy.ID, what Resource, on string, now map[tenancy.ID]*Counts) error {
	var unknown []tenancy.ID
	for other := range now {
		if _, ok := s.before[other]; !ok {
			unknown = append(unknown, other)
		}
	}
	slices.Sort(unknown)
	found, err := s.latencies(ctx, unknown, &SumQuery{Period: s.report.Before})
	if err != nil {
		return err
	}
	for _, other := range unknown {
		s.before[other] = found[other]
	}
	n := NoisyTenant{Resource: what, On: on, Slowed: []SlowedTenant{}}
	factors := map[tenancy.ID]float64{}
	for other, c := range now {
		was, is := percentileOf(s.before[other], 0.95), percentileOf(c, 0.95)
		if was == 0 || is == 0 {
			continue
		}
		n.Compared++
		if is >= slowedFactor*was {
			factors[other] = is / was
		}
	}
	n.SlowedTotal = len(factors)
	if n.SlowedTotal == 0 || n.SlowedTotal < slowedLeast && float64(n.SlowedTotal) < slowedShare*float64(n.Compared) {
		return nil
	}
	worst := &ranking{s.r, s.scope, s.f, now}
	ids := worst.order(func(id tenancy.ID) float64 { return factors[id] })
	infos, err := s.r.infos(ctx, s.scope, append([]tenancy.ID{id}, ids...))
	if err != nil || infos[id] == nil {
		return err
	}
	column := StatementTime
	if what == ResourceProcessor {
		column = CPUTime
	}
	n.TenantInfo = infos[id].TenantInfo
	n.Used, n.Total = s.f.of(column, g.counts[id].Get(column)), s.f.of(column, g.total)
	n.Share = n.Used.Value / n.Total.Value
	for _, other := range ids {
		if info := infos[other]; info != nil {
			n.Slowed = append(n.Slowed, SlowedTenant{
				info.TenantInfo, s.f.of(Requests, now[other].Get(Requests)), s.f.usage(now[other])[FigureP95], s.f.usage(s.before[other])[FigureP95], factors[other],
			})
		}
	}
	s.report.Noisy = append(s.report.Noisy, n)
	return nil
}

// sortedGroups returns groups in ascending order of their keys.
func sortedGroups[K cmp.Ordered](groups map[K]*neighbourGroup) func(yield func(K, *neighbourGroup) bool) {
	return func(yield func(K, *neighbourGroup) bool) {
		keys := make([]K, 0, len(groups))
		for key := range groups {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			if !yield(key, groups[key]) {
				return
			}
		}
	}
}
