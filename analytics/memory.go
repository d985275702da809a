package analytics

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
)

// MemoryOptions are the options of [NewMemory].
type MemoryOptions struct {
	// MaxRows is how many rows of counts are kept, each of a tenant, a minute and an
	// instance. Of more, the oldest minutes are dropped. Default: 100,000.
	MaxRows int
	// MaxActivities is how many activities are kept. Default: 10,000.
	MaxActivities int
}

// complete fills in defaults.
func (o *MemoryOptions) complete() error {
	if o.MaxRows < 0 || o.MaxActivities < 0 {
		return fmt.Errorf("%w: MaxRows %d and MaxActivities %d, want neither negative", tenancy.ErrInvalid, o.MaxRows, o.MaxActivities)
	}
	o.MaxRows, o.MaxActivities = cmp.Or(o.MaxRows, 100_000), cmp.Or(o.MaxActivities, 10_000)
	return nil
}

// Memory is a store of usage in the memory of this process, for tests and for services of
// one process. It is bounded, keeps minutes for two days, and loses everything when the
// process ends. Its methods may be called by many goroutines at once.
type Memory struct {
	opts MemoryOptions

	mu         sync.Mutex // guards what follows
	tenants    map[tenancy.ID]*memoryTenant
	minutes    map[int64]map[partKey]*Part // by their start
	rows       int
	instances  map[int64]Instance
	recorded   int64
	activities []Activity // the oldest first
	keys       map[string]bool
	catalog    time.Time
	patterns   map[patternKey]*PatternPart
	statements map[statementKey]*StatementPart
}

type patternKey struct {
	tenant  tenancy.ID
	start   int64
	source  int64
	pattern string
}

type partKey struct {
	tenant tenancy.ID
	source int64
}

type memoryTenant struct {
	record  *tenancy.Tenant
	listed  time.Time
	gone    bool
	storage int64
	sizedAt time.Time
	triedAt time.Time       // to measure it
	days    map[int64]int64 // the last size of each day
}

var (
	_ Sink     = (*Memory)(nil)
	_ Source   = (*Memory)(nil)
	_ Keepable = (*Memory)(nil)

	_ StorageSource = (*Memory)(nil)
	_ LoginSource   = (*Memory)(nil)
	_ PatternSource = (*Memory)(nil)

	_ StatementSource = (*Memory)(nil)
)

// NewMemory returns an empty store.
func NewMemory(opts *MemoryOptions) (*Memory, error) {
	m := &Memory{
		tenants: map[tenancy.ID]*memoryTenant{}, minutes: map[int64]map[partKey]*Part{}, instances: map[int64]Instance{}, keys: map[string]bool{}, patterns: map[patternKey]*PatternPart{},
		statements: map[statementKey]*StatementPart{},
	}
	if opts != nil {
		m.opts = *opts
	}
	if err := m.opts.complete(); err != nil {
		return nil, tenancy.Wrap("analytics.NewMemory", "", err)
	}
	return m, nil
}

// Write implements [Sink].
func (m *Memory) Write(ctx context.Context, b *Batch) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now().UTC().Truncate(time.Microsecond)
	instance := b.Instance
	instance.Flushed = now
	m.instances[instance.ID] = instance
	m.recorded |= setOf(instance.Recorded)
	for _, t := range b.Tenants {
		m.see(t, now)
	}
	for i := range b.Parts {
		m.put(&b.Parts[i], now)
	}
	for i := range b.Patterns {
		m.putPattern(&b.Patterns[i], now)
	}
	for i := range b.Statements {
		m.putStatement(&b.Statements[i], now)
	}
	for i := range b.Activities {
		m.note(&b.Activities[i], now)
	}
	return now, nil
}

// see keeps a record that is newer.
func (m *Memory) see(t *tenancy.Tenant, now time.Time) {
	old := m.tenants[t.ID]
	if old == nil {
		m.tenants[t.ID] = &memoryTenant{record: t, listed: now}
	} else if t.Newer(old.record) {
		old.record = t
	}
}

// known makes a row for a tenant that has none.
func (m *Memory) known(id tenancy.ID, now time.Time) {
	if id != Application && id != Unattributed {
		m.see(&tenancy.Tenant{ID: id, Slug: string(id), Name: string(id)}, now)
	}
}

func (m *Memory) put(p *Part, now time.Time) {
	m.known(p.Tenant, now)
	start, key := p.Start.UnixMicro(), partKey{p.Tenant, p.Source}
	in := m.minutes[start]
	if in == nil {
		in = map[partKey]*Part{}
		m.minutes[start] = in
	}
	old := in[key]
	if old != nil && old.Revision >= p.Revision {
		return
	}
	if old == nil {
		m.rows++
	}
	part := *p
	part.Counts.Own = maps.Clone(p.Counts.Own)
	in[key] = &part
	for m.rows > m.opts.MaxRows {
		m.drop(slices.Min(slices.Collect(maps.Keys(m.minutes))))
	}
}

func (m *Memory) putPattern(p *PatternPart, now time.Time) {
	m.known(p.Tenant, now)
	key := patternKey{p.Tenant, p.Start.UnixMicro(), p.Source, p.Pattern}
	if old := m.patterns[key]; old != nil && old.Revision >= p.Revision {
		return
	}
	part := *p
	m.patterns[key] = &part
	if len(m.patterns) > m.opts.MaxRows {
		oldest := int64(math.MaxInt64)
		for key := range m.patterns {
			oldest = min(oldest, key.start)
		}
		maps.DeleteFunc(m.patterns, func(key patternKey, _ *PatternPart) bool { return key.start == oldest })
	}
}

// Patterns implements [PatternSource].
func (m *Memory) Patterns(ctx context.Context, q *PatternsQuery) ([]PatternRow, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	found := map[string]PatternRow{}
	for key, p := range m.patterns {
		if p.Start.Before(q.Period.From) || !p.Start.Before(q.Period.To) || !m.includes(q.Scope, q.Tenants, key.tenant) {
			continue
		}
		row := found[key.pattern]
		row.Pattern, row.Requests, row.Errors = key.pattern, add(row.Requests, p.Requests), add(row.Errors, p.Errors)
		row.Latency.Add(&p.Latency)
		found[key.pattern] = row
	}
	return slices.Collect(maps.Values(found)), nil
}

// drop removes a minute.
func (m *Memory) drop(start int64) {
	m.rows -= len(m.minutes[start])
	delete(m.minutes, start)
}

func (m *Memory) note(a *Activity, now time.Time) {
	if m.keys[a.Key] {
		return
	}
	m.known(a.Tenant, now)
	m.keys[a.Key] = true
	m.activities = append(m.activities, *a)
	if over := len(m.activities) - m.opts.MaxActivities; over > 0 {
		for _, old := range m.activities[:over] {
			delete(m.keys, old.Key)
		}
		m.activities = slices.Delete(m.activities, 0, over)
	}
}

// includes reports whether a report of the scope includes the tenant, or the row of no
// tenant: see scoped.
func (m *Memory) includes(scope tenancy.Scope, ids []tenancy.ID, id tenancy.ID) bool {
	if len(ids) > 0 && !slices.Contains(ids, id) {
		return false
	}
	if id == Application || id == Unattributed {
		return scope.IsAll() && len(ids) > 0
	}
	t := m.tenants[id]
	return t != nil && !t.gone && scope.Includes(t.record)
}

// State implements [Source].
func (m *Memory) State(ctx context.Context) (*State, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now().UTC()
	state := &State{Now: now, Catalog: m.catalog, Recorded: columnsOf(m.recorded), Instances: []Instance{}}
	for _, i := range m.instances {
		if i.Flushed.After(now.Add(-remembered)) {
			state.Instances = append(state.Instances, i)
		}
	}
	slices.SortFunc(state.Instances, func(a, b Instance) int { return cmp.Or(cmp.Compare(a.Name, b.Name), a.Started.Compare(b.Started)) })
	return state, nil
}

// Sum implements [Source].
func (m *Memory) Sum(ctx context.Context, q *SumQuery) ([]SumRow, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	pieces := plan(q.Period, q.Step, &State{Now: time.Now()})
	if len(pieces) == 0 {
		return nil, nil
	}
	from, to := pieces[0].from.UnixMicro(), pieces[len(pieces)-1].to.UnixMicro()
	g := newGroups(q)
	for start, in := range m.minutes {
		if start < from || start >= to {
			continue
		}
		for key, p := range in {
			if m.includes(q.Scope, q.Tenants, key.tenant) {
				g.add(key.tenant, start, key.source, &p.Counts)
			}
		}
	}
	return g.rows(), nil
}

// Activities implements [Source].
func (m *Memory) Activities(ctx context.Context, q *ActivitiesQuery) ([]Activity, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	found := []Activity{}
	for _, a := range m.activities {
		if m.includes(q.Scope, q.Tenants, a.Tenant) && q.includes(&a) {
			found = append(found, a)
		}
	}
	slices.SortStableFunc(found, func(a, b Activity) int { return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.Key, a.Key)) })
	return found[:min(len(found), q.Limit)], nil
}

// Logins implements [LoginSource].
func (m *Memory) Logins(ctx context.Context, q *LoginsQuery) ([]LoginSummary, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := newSummaries()
	wanted := &ActivitiesQuery{Period: q.Period, Logins: true, Subject: q.Subject}
	for i := range m.activities {
		if a := &m.activities[i]; m.includes(q.Scope, q.Tenants, a.Tenant) && wanted.includes(a) {
			all.add(a)
		}
	}
	return all.page(q), nil
}

// Hold implements [Keepable].
func (m *Memory) Hold(ctx context.Context, fn func(context.Context, Upkeep) error) error {
	return fn(ctx, memoryUpkeep{m})
}

type memoryUpkeep struct{ m *Memory }

// Now implements [Upkeep].
func (memoryUpkeep) Now(context.Context) (time.Time, error) { return time.Now().UTC(), nil }

// RollUp implements [Upkeep]: reports add up minutes.
func (memoryUpkeep) RollUp(context.Context) error { return nil }

// Retain implements [Upkeep].
func (u memoryUpkeep) Retain(context.Context) error {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	oldest := time.Now().Add(-minutesStay).UnixMicro()
	for start := range u.m.minutes {
		if start < oldest {
			u.m.drop(start)
		}
	}
	maps.DeleteFunc(u.m.patterns, func(key patternKey, _ *PatternPart) bool { return key.start < oldest })
	maps.DeleteFunc(u.m.statements, func(key statementKey, _ *StatementPart) bool { return key.start < oldest })
	for _, t := range u.m.tenants {
		maps.DeleteFunc(t.days, func(at, _ int64) bool { return time.Since(time.UnixMicro(at)) > keepDays })
	}
	for i := range u.m.activities {
		if a := &u.m.activities[i]; time.Since(a.CreatedAt) > keepAddresses && a.Address != "" && !strings.Contains(a.Address, "/") {
			a.Address = networkOf(a.Address)
		}
	}
	maps.DeleteFunc(u.m.instances, func(_ int64, i Instance) bool { return time.Since(i.Flushed) > keepMinutes })
	return nil
}

// Listed implements [Upkeep].
func (u memoryUpkeep) Listed(_ context.Context, page []*tenancy.Tenant, began time.Time) error {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	for _, t := range page {
		u.m.see(t, began)
		row := u.m.tenants[t.ID]
		row.listed, row.gone = began, false
	}
	return nil
}

// ListedAll implements [Upkeep].
func (u memoryUpkeep) ListedAll(_ context.Context, began time.Time) error {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	for id, t := range u.m.tenants {
		if t.gone || !t.listed.Before(began) {
			continue
		}
		if t.gone = true; !u.m.counted(id) {
			delete(u.m.tenants, id)
		}
	}
	u.m.catalog = began
	return nil
}

// counted reports whether anything was counted or noted of a tenant.
func (m *Memory) counted(id tenancy.ID) bool {
	for _, in := range m.minutes {
		for key := range in {
			if key.tenant == id {
				return true
			}
		}
	}
	for key := range m.patterns {
		if key.tenant == id {
			return true
		}
	}
	for key := range m.statements {
		if key.tenant == id {
			return true
		}
	}
	return slices.ContainsFunc(m.activities, func(a Activity) bool { return a.Tenant == id })
}

// Unsized implements [SizeStore].
func (u memoryUpkeep) Unsized(_ context.Context, since time.Time, limit int) ([]tenancy.ID, error) {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	var ids []tenancy.ID
	for id, t := range u.m.tenants {
		if !t.gone && t.record.Placement.Database != "" && t.triedAt.Before(since) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b tenancy.ID) int {
		return cmp.Or(u.m.tenants[a].triedAt.Compare(u.m.tenants[b].triedAt), cmp.Compare(a, b))
	})
	return ids[:min(len(ids), limit)], nil
}

// Sized implements [SizeStore].
func (u memoryUpkeep) Sized(_ context.Context, sizes []Size) error {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	for _, size := range sizes {
		if err := size.check(); err != nil {
			return err
		}
		t := u.m.tenants[size.Tenant]
		if t == nil {
			continue
		}
		t.triedAt = size.At
		if size.Bytes >= 0 {
			t.storage, t.sizedAt = size.Bytes, size.At
			if t.days == nil {
				t.days = map[int64]int64{}
			}
			t.days[size.At.UTC().Truncate(day).UnixMicro()] = size.Bytes
		}
	}
	return nil
}

// Forget removes all that is kept of a tenant. It may be called again.
func (m *Memory) Forget(ctx context.Context, id tenancy.ID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.tenants, id)
	maps.DeleteFunc(m.patterns, func(key patternKey, _ *PatternPart) bool { return key.tenant == id })
	maps.DeleteFunc(m.statements, func(key statementKey, _ *StatementPart) bool { return key.tenant == id })
	for start, in := range m.minutes {
		before := len(in)
		maps.DeleteFunc(in, func(key partKey, _ *Part) bool { return key.tenant == id })
		m.rows -= before - len(in)
		if len(in) == 0 {
			delete(m.minutes, start)
		}
	}
	m.activities = slices.DeleteFunc(m.activities, func(a Activity) bool {
		if a.Tenant == id {
			delete(m.keys, a.Key)
		}
		return a.Tenant == id
	})
	return nil
}
