package analytics

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/logs"
)

// ReportsOptions are the options of [Reports].
type ReportsOptions struct {
	// Span is how far back the usage in an [Overview] goes. Default: 24 hours.
	Span time.Duration
	// Catalog has the records of tenants as they are now. In a scope of tags, reports name no
	// tenant that is not in it by its present record, and have no activities and
	// logins of such a tenant; sums of a scope have in them what the source took for it. Tenants that the
	// source has not heard of yet, because they were made a moment ago, have reports without
	// figures. Default: none: tags are as old as the keeper's last round, and a tenant that the
	// source does not know is not found.
	Catalog Lister
	// Top is how many tenants a list of an overview has at most. Default: 10.
	Top int
	// Feed is where [Reports.Live] reads from. Default: none.
	Feed Feed
	// LiveTenants is how many tenants a [Live] has at most. Default: 100.
	LiveTenants int
	// Share is how old an answer may be that one caller gets because another has asked the
	// same, of the same scope: it counts from when the answer was there. Callers who ask
	// while it is worked out get it, too. Negative: each has an answer worked out for it
	// alone. See [Reports.Renew]. Default: 0.9 s, a little less than a second, so that who
	// asks each second gets another answer each time.
	Share time.Duration
	// Logger records what goes wrong in the background. Default: [slog.Default],
	// asked each time.
	Logger *slog.Logger
}

// complete fills in defaults.
func (o *ReportsOptions) complete() error {
	if o.Span < 0 || o.Top < 0 || o.LiveTenants < 0 {
		return fmt.Errorf("%w: Span %v, Top %d and LiveTenants %d, want none negative", tenancy.ErrInvalid, o.Span, o.Top, o.LiveTenants)
	}
	o.Span, o.Top, o.LiveTenants = cmp.Or(o.Span, 24*time.Hour), cmp.Or(o.Top, 10), cmp.Or(o.LiveTenants, 100)
	o.Share = cmp.Or(o.Share, 900*time.Millisecond)
	o.Logger = logs.Or(o.Logger)
	return nil
}

// Reports answer questions about usage. Every report takes a scope and depends on the
// tenants of that scope alone; the zero scope selects none. Methods may be called by
// many goroutines at once. Their errors wrap [tenancy.ErrInvalid] for a question that
// cannot be answered, [tenancy.ErrNotFound] for a tenant that is not there or not in the
// scope, and [tenancy.ErrUnavailable] when the store does not answer.
//
// Callers who ask for the same at about the same time share the work: see
// [ReportsOptions.Share]. Each gets a report of its own, which it may change. Shared are all
// reports but activities, logins, exports and [Reports.Live].
type Reports struct {
	source Source
	feed   Feed
	opts   ReportsOptions

	sizes      StorageSource   // nil: the source has none
	subjects   LoginSource     // nil: the source has none
	routes     PatternSource   // nil: the source has none
	spreads    SpreadSource    // nil: the source has none
	statements StatementSource // nil: the source has none

	answers *sharing // of whole reports
	spans   *sharing // the counts of all tenants of a scope in a span

	hub hub
}

// NewReports returns the reports of what is in the source.
func NewReports(source Source, opts *ReportsOptions) (*Reports, error) {
	r := &Reports{source: source}
	if opts != nil {
		r.opts = *opts
	}
	err := r.opts.complete()
	if err == nil && source == nil {
		err = fmt.Errorf("%w: no source", tenancy.ErrInvalid)
	}
	if err != nil {
		return nil, tenancy.Wrap("analytics.NewReports", "", err)
	}
	r.feed, r.hub.next = r.opts.Feed, make(chan struct{})
	r.answers, r.spans = newSharing(r.opts.Share, maxShared), newSharing(spanAge, maxSpans)
	r.sizes, _ = source.(StorageSource)
	r.subjects, _ = source.(LoginSource)
	r.routes, _ = source.(PatternSource)
	r.spreads, _ = source.(SpreadSource)
	r.statements, _ = source.(StatementSource)
	return r, nil
}

// HasCatalog reports whether the reports know the records of tenants as they are now: see
// [ReportsOptions.Catalog].
func (r *Reports) HasCatalog() bool { return r.opts.Catalog != nil }

// maxPeriod is the longest period of a report. Nothing is kept for longer.
const maxPeriod = 10 * 366 * day

// check completes a period: the zero period is the last [ReportsOptions.Span], an open
// end is the present.
func (r *Reports) check(p Period, state *State) (Period, error) {
	if p.To.IsZero() {
		p.To = state.Now
	}
	if p.From.IsZero() {
		p.From = p.To.Add(-r.opts.Span)
	}
	if !p.From.Before(p.To) || p.To.Sub(p.From) > maxPeriod {
		return p, fmt.Errorf("%w: a period from %v to %v", tenancy.ErrInvalid, p.From, p.To)
	}
	return Period{p.From.UTC(), p.To.UTC()}, nil
}

// figures makes figures of counts.
type figures struct {
	recorded int64
	at       time.Time
	partial  bool
}

// newFigures returns what all figures of a state have in common. They are complete up to
// the last flush of the instance that has not flushed for longest, and partial if an
// instance is missing.
func newFigures(state *State) figures {
	f := figures{recorded: setOf(state.Recorded), at: state.Now}
	for _, i := range state.Instances {
		switch {
		case i.Ended:
		case i.missing(state.Now):
			f.partial = true
		case i.Flushed.Before(f.at):
			f.at = i.Flushed
		}
	}
	return f
}

// over returns the figures of a period: one that is short has none of processor time.
func (f figures) over(p Period) figures {
	if p.To.Sub(p.From) < cpuPeriod {
		f.recorded &^= 1 << CPUTime
	}
	return f
}

// missing reports whether an instance that did not end has not written for too long.
func (i *Instance) missing(now time.Time) bool {
	return !i.Ended && now.Sub(i.Flushed) > max(3*i.Interval, 30*time.Second)
}

// of returns the figure of a column, or nil if nobody counts it.
func (f figures) of(c Column, value int64) *Figure {
	if f.recorded&(1<<c) == 0 {
		return nil
	}
	return &Figure{Value: float64(value), Unit: c.Unit(), Method: columnInfos[c].method, Error: c.relativeError(), MeasuredAt: f.at, Partial: f.partial}
}

// count returns the figure of something that was counted.
func (f figures) count(value int64) *Figure {
	return &Figure{Value: float64(value), Unit: UnitCount, Method: Measured, MeasuredAt: f.at, Partial: f.partial}
}

// Names of figures that are not of one column.
const (
	FigureErrors  = "errors"
	FigureStorage = "storage"
	FigureP50     = "latency_p50"
	FigureP95     = "latency_p95"
	FigureP99     = "latency_p99"
)

// usage returns the figures of counts, by name: those of the columns, the errors, and
// percentiles of the latency if it was read.
func (f figures) usage(c *Counts) map[string]*Figure {
	out := map[string]*Figure{}
	for _, col := range Columns() {
		if fig := f.of(col, c.Get(col)); fig != nil && (col != LastSeen || fig.Value != 0) {
			out[col.String()] = fig
		}
	}
	if fig := f.of(Status5xx, c.Errors()); fig != nil {
		out[FigureErrors] = fig
	}
	for name, fig := range f.percentiles(c) {
		out[name] = fig
	}
	return out
}

// percentiles returns those of the latency, if it was read.
func (f figures) percentiles(c *Counts) map[string]*Figure {
	out := map[string]*Figure{}
	for name, p := range map[string]float64{FigureP50: 0.5, FigureP95: 0.95, FigureP99: 0.99} {
		if d, relative, ok := c.Latency.Percentile(p); ok {
			out[name] = &Figure{
				Value: float64(d.Microseconds()), Unit: UnitMicroseconds, Method: Measured, Error: relative, MeasuredAt: f.at, Partial: f.partial,
			}
		}
	}
	return out
}

// storage returns the figure of a database's size, or nil if it was not measured.
func storage(size int64, at time.Time) *Figure {
	if at.IsZero() {
		return nil
	}
	return &Figure{Value: float64(size), Unit: UnitBytes, Method: Measured, MeasuredAt: at}
}

// TenantUsage is a tenant with figures of its usage, by name: see [Column] and the
// names of figures.
type TenantUsage struct {
	TenantInfo
	Usage map[string]*Figure `json:"usage"`
}

// infos returns the tenants of those IDs that are in the scope. No tenant has an ID that is
// not valid, and not every source can be asked for one.
func (r *Reports) infos(ctx context.Context, scope tenancy.Scope, ids []tenancy.ID) (map[tenancy.ID]*TenantRow, error) {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id tenancy.ID) bool { return id != Application && id != Unattributed && id.Validate() != nil })
	out := make(map[tenancy.ID]*TenantRow, len(ids))
	for chunk := range slices.Chunk(ids, 500) {
		rows, err := r.source.Tenants(ctx, &TenantsQuery{Scope: scope, Filter: tenancy.Filter{IDs: chunk}, Limit: len(chunk)})
		if err == nil {
			rows, err = inScope(ctx, r, scope, rows, (*TenantRow).tenant)
		}
		if err != nil {
			return nil, err
		}
		for i := range rows {
			out[rows[i].ID] = &rows[i]
		}
	}
	return out, nil
}

// tenantOf returns the tenant of that ID, if it is in the scope, and the figures that its
// reports may have.
func (r *Reports) tenantOf(ctx context.Context, scope tenancy.Scope, id tenancy.ID, f figures) (*TenantRow, figures, error) {
	found, err := r.infos(ctx, scope, []tenancy.ID{id})
	if err != nil || found[id] != nil {
		return found[id], f, err
	}
	t, err := r.unheard(ctx, scope, id)
	f.recorded = 0
	return t, f, err
}

// unheard returns a tenant that the source has not heard of, as the catalog has it. A tenant
// that is not there either, or not in the scope, is an error that wraps
// [tenancy.ErrNotFound].
func (r *Reports) unheard(ctx context.Context, scope tenancy.Scope, id tenancy.ID) (*TenantRow, error) {
	if r.opts.Catalog != nil && id.Validate() == nil {
		all, err := r.opts.Catalog.List(ctx, tenancy.Filter{IDs: []tenancy.ID{id}, Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(all) > 0 && scope.Includes(all[0]) {
			return rowOf(all[0]), nil
		}
	}
	return nil, fmt.Errorf("%w: tenant %.40q", tenancy.ErrNotFound, string(id))
}
