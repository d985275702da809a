package admin

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/problem"
)

// denialsEvery is how often repeated denials become an entry.
const denialsEvery = time.Minute

// maxDenials bounds the different denials that are counted at once. Others are counted together.
const maxDenials = 1000

// denials counts refusals, so that a flood of them is a few entries. The first of a kind is written at once.
type denials struct {
	mu    sync.Mutex // guards of and begun
	of    map[denial]*tenancy.Entry
	begun time.Time
}

// denial is what refusals are counted by.
type denial struct {
	actor, route string
}

// denied notes a refusal of somebody who is signed in. Those of strangers are counted by the sign-in's limits.
func (a *Admin) denied(c *call, err error) {
	if a.opts.Audit == nil || c.id == nil || !errors.Is(err, tenancy.ErrForbidden) {
		return
	}
	ctx := tenancy.WithActor(c.r.Context(), c.id.Actor())
	action := c.row.action
	if action == "" {
		action = "console.read"
	}
	e := tenancy.NewEntry(ctx, action, "")
	e.Result, e.Object, e.Problem = tenancy.AuditDenied, c.row.String(), "forbidden"
	var named *problem.Error
	if errors.As(err, &named) {
		e.Problem = named.Name
	}
	if !a.denials.count(denial{c.id.Operator.ID, c.row.String()}, e) {
		return
	}
	if err := a.opts.Audit.Audit(ctx, nil, e); err != nil {
		a.opts.Logger.WarnContext(ctx, "admin: the entry of a denial is lost", "error", err)
	}
}

// count counts the denial, and reports whether it is the first of its kind.
func (d *denials) count(kind denial, e tenancy.Entry) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == nil {
		d.of, d.begun = map[denial]*tenancy.Entry{}, time.Now()
	}
	if _, ok := d.of[kind]; !ok && len(d.of) >= maxDenials {
		kind.route, e.Object = "", "various"
	}
	if have := d.of[kind]; have != nil {
		have.Count++
		return false
	}
	e.ID, e.Count = string(tenancy.NewID()), 0 // of the repetitions to come
	d.of[kind] = &e
	return true
}

// take returns the repetitions that were counted for long enough, or at all.
func (d *denials) take(all bool) []*tenancy.Entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == nil || !all && time.Since(d.begun) < denialsEvery {
		return nil
	}
	var out []*tenancy.Entry
	for _, e := range d.of {
		if e.Count > 0 {
			out = append(out, e)
		}
	}
	d.of = nil
	return out
}

// writeDenials writes what was counted for a minute, or at all.
func (a *Admin) writeDenials(ctx context.Context, all bool) error {
	if a.opts.Audit == nil {
		return nil
	}
	var errs []error
	for _, e := range a.denials.take(all) {
		errs = append(errs, a.opts.Audit.Audit(ctx, nil, *e))
	}
	return errors.Join(errs...)
}
