package maintenance

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/ipnet"
)

// Scope is a tenant, or the whole service: what a maintenance is for.
type Scope struct {
	gate    *Gate
	tenant  tenancy.ID
	service bool
	run     string // that begins maintenance, or ""
}

// Tenant returns the scope of one tenant.
func (g *Gate) Tenant(id tenancy.ID) Scope { return Scope{gate: g, tenant: id} }

// Service returns the scope of the whole service: all tenants, and requests without
// one. It needs [GateOptions.DB]; without, its methods return errors that wrap
// [tenancy.ErrInvalid].
func (g *Gate) Service() Scope { return Scope{gate: g, service: true} }

// The actions of entries about the service's maintenance. Those about a tenant's are
// its catalog's.
const (
	actionBegin  = "maintenance.begin"
	actionExtend = "maintenance.extend"
	actionBypass = "maintenance.bypass"
	actionEnd    = "maintenance.end"
)

// errNone is what there is when there is no maintenance to change.
func errNone() error { return fmt.Errorf("%w: no maintenance", tenancy.ErrNotFound) }

// errNotInForce is what there is when maintenance does not hold now.
func errNotInForce() error { return fmt.Errorf("%w: maintenance is not in force", tenancy.ErrInvalid) }

// Begin writes the record of maintenance, in place of any that is there: it is in
// force in its windows, or at once and until [Scope.End] if it has none. The mode is
// [tenancy.MaintenanceClosed] unless it is set; prefixes may have any form; Bypass,
// Generation and BeganAt are Begin's. Bypasses of before do not work any more.
//
// Other instances see it as fast as they see any change of the tenant's record, or of
// the service's within [GateOptions.Poll]. A malformed rule or path, a zone that is
// not known, and windows that are all over are errors that wrap
// [tenancy.ErrInvalid].
func (s Scope) Begin(ctx context.Context, m tenancy.Maintenance) error {
	return s.begin(ctx, "maintenance.Scope.Begin", m, nil)
}

// begin writes the record. keep, which may be nil, takes into it what it wants of the record that is there.
func (s Scope) begin(ctx context.Context, op string, m tenancy.Maintenance, keep func(m, before *tenancy.Maintenance)) error {
	made, err := begun(m, s.tenant)
	if err != nil {
		return tenancy.Wrap(op, s.tenant, err)
	}
	return s.change(ctx, op, actionBegin, func(before *tenancy.Maintenance) (*tenancy.Maintenance, error) {
		m := made
		if before == nil {
			return &m, nil
		}
		if keep != nil {
			keep(&m, before)
		}
		if !m.BeganAt.After(before.BeganAt) { // by another clock: it tells them apart
			m.BeganAt = before.BeganAt.Add(time.Microsecond)
		}
		return &m, nil
	})
}

// begun completes and checks a record that begins now.
func begun(m tenancy.Maintenance, tenant tenancy.ID) (tenancy.Maintenance, error) {
	m.Mode = cmp.Or(m.Mode, tenancy.MaintenanceClosed)
	m.Windows, m.Paths, m.Bypass = slices.Clone(m.Windows), slices.Clone(m.Paths), tenancy.Digest{}
	m.Generation, m.BeganAt = rand.Text(), now()
	for i := range m.Windows {
		w := &m.Windows[i]
		w.Start, w.End = w.Start.UTC().Truncate(time.Microsecond), w.End.UTC().Truncate(time.Microsecond)
	}
	for _, path := range m.Paths {
		if !plain(path) {
			return m, fmt.Errorf("%w: path %.40q, want a cleaned one", tenancy.ErrInvalid, path)
		}
	}
	var err error
	if m.Allow, err = masked(m.Allow); err != nil {
		return m, err
	}
	if err := m.Validate(); err != nil {
		return m, err
	}
	p, err := newPlan(&m, tenant)
	if err != nil {
		return m, err
	}
	if at := p.look(m.BeganAt); !at.open && at.until.IsZero() {
		return m, fmt.Errorf("%w: all windows are in the past", tenancy.ErrInvalid)
	}
	return m, nil
}

// Extend makes maintenance that is in force last until the given time, also if it had no end. What is planned
// behind its end stays planned. A bypass stays valid. If no maintenance is in force, the time is past, or maintenance
// already lasts longer, the error wraps [tenancy.ErrInvalid]. So it does if maintenance without an end has windows that
// last beyond the time: those with an end, and those of rules, are not cut.
func (s Scope) Extend(ctx context.Context, until time.Time) error {
	until = until.UTC().Truncate(time.Microsecond)
	return s.change(ctx, "maintenance.Scope.Extend", actionExtend, func(m *tenancy.Maintenance) (*tenancy.Maintenance, error) {
		return extend(m, now(), until)
	})
}

func extend(m *tenancy.Maintenance, now, until time.Time) (*tenancy.Maintenance, error) {
	if m == nil {
		return nil, errNotInForce()
	}
	p, err := newPlan(m, "")
	if err != nil {
		return nil, err
	}
	s := p.look(now)
	switch {
	case !s.open:
		return nil, errNotInForce()
	case !until.After(now), !s.end.IsZero() && !until.After(s.end):
		return nil, fmt.Errorf("%w: until %v, want a time after the end", tenancy.ErrInvalid, until)
	}
	start := now
	if len(m.Windows) == 0 && m.BeganAt.Before(now) { // the clock of who began it may be another
		start = m.BeganAt
	}
	out := *m
	out.Windows = nil
	for _, w := range m.Windows {
		if w.Rule == "" && w.End.IsZero() && s.end.IsZero() && w.Start.Before(until) { // or it is planned behind this maintenance
			w.End = until
		}
		switch {
		case w.Rule == "" && !w.End.IsZero() && w.End.After(now) && !w.End.After(until): // the new one is instead
			if w.Start.Before(start) {
				start = w.Start
			}
		case w.Rule != "" || w.End.IsZero() || w.End.After(now):
			out.Windows = append(out.Windows, w)
		}
	}
	out.Windows = append(out.Windows, tenancy.Window{Start: start, End: until})
	if p, err = newPlan(&out, ""); err != nil {
		return nil, err
	}
	if s.end.IsZero() && !p.look(now).end.Equal(until) {
		return nil, fmt.Errorf("%w: until %v, and windows of the maintenance last longer: begin it again with others", tenancy.ErrInvalid, until)
	}
	return &out, nil
}

// NewBypass makes the secret by which people are served all the same, and returns it: it
// is kept nowhere, and its method Reveal returns the text. Whoever opens
// [GateOptions.BypassPath], a slash and the secret in a browser, or posts it there in a
// form's field called "secret", gets a cookie that counts for [GateOptions.BypassTTL],
// and no longer than this maintenance. A secret from before, and cookies by it, end.
// Without maintenance the error wraps [tenancy.ErrNotFound].
func (s Scope) NewBypass(ctx context.Context) (tenancy.Secret, error) {
	secret := newSecret()
	digest, generation := tenancy.DigestOf(secret.Reveal()), rand.Text()
	err := s.change(ctx, "maintenance.Scope.NewBypass", actionBypass, func(m *tenancy.Maintenance) (*tenancy.Maintenance, error) {
		if m == nil {
			return nil, errNone()
		}
		out := *m
		out.Bypass, out.Generation = digest, begunBy(m.Generation)+generation
		return &out, nil
	})
	if err != nil {
		return tenancy.Secret{}, err
	}
	return secret, nil
}

// End ends maintenance, and all that was planned. Where there is none it does
// nothing.
func (s Scope) End(ctx context.Context) error {
	return s.change(ctx, "maintenance.Scope.End", actionEnd, func(m *tenancy.Maintenance) (*tenancy.Maintenance, error) {
		if m == nil {
			return nil, errNothing
		}
		return nil, nil
	})
}

// by returns the scope for an attempt of a run: what the run has begun, it does not begin again.
func (s Scope) by(a tenancy.Attempt) Scope {
	s.run = a.Run
	return s
}

// begunBy returns what a generation says of the run that began the maintenance: its ID and a dot, or "".
func begunBy(generation string) string { return generation[:strings.LastIndexByte(generation, '.')+1] }

// once returns the edit, which begins maintenance, as the scope's run does it.
func (s Scope) once(edit func(*tenancy.Maintenance) (*tenancy.Maintenance, error)) func(*tenancy.Maintenance) (*tenancy.Maintenance, error) {
	by := s.run + "."
	return func(before *tenancy.Maintenance) (*tenancy.Maintenance, error) {
		if before != nil && begunBy(before.Generation) == by {
			return nil, errNothing
		}
		m, err := edit(before)
		if err != nil {
			return nil, err
		}
		out := *m
		out.Generation = by + m.Generation
		return &out, nil
	}
}

// errNothing ends a change that changes nothing.
var errNothing = errors.New("nothing to change")

// change writes what edit makes of the record, with the entry of the action.
func (s Scope) change(ctx context.Context, op, action string, edit func(*tenancy.Maintenance) (*tenancy.Maintenance, error)) error {
	if s.run != "" && action == actionBegin {
		edit = s.once(edit)
	}
	var err error
	if s.service {
		err = s.editService(ctx, action, edit)
	} else {
		_, err = s.editTenant(ctx, edit)
	}
	if errors.Is(err, errNothing) {
		return nil
	}
	return tenancy.Wrap(op, s.tenant, err)
}

// editTenant changes the tenant's record, and returns it.
func (s Scope) editTenant(ctx context.Context, edit func(*tenancy.Maintenance) (*tenancy.Maintenance, error)) (*tenancy.Tenant, error) {
	return s.gate.editor.Edit(ctx, s.tenant, func(t *tenancy.Tenant) error {
		m, err := edit(t.Access.Clone().Maintenance)
		t.Access.Maintenance = m
		return err
	})
}

// editService changes the service's record.
func (s Scope) editService(ctx context.Context, action string, edit func(*tenancy.Maintenance) (*tenancy.Maintenance, error)) error {
	g := s.gate
	if g.store == nil {
		return fmt.Errorf("%w: no database for the service's maintenance", tenancy.ErrInvalid)
	}
	if g.opts.RequireActor && tenancy.ActorFrom(ctx).Kind == tenancy.ActorUnknown {
		err := fmt.Errorf("%w: the context names no actor; see tenancy.WithActor", tenancy.ErrForbidden)
		g.store.denied(ctx, action, err)
		return err
	}
	m, version, err := g.store.edit(ctx, action, edit)
	if err != nil {
		return err
	}
	g.unreadable(ctx, "", g.wrote(m, version))
	return nil
}

// get returns the record, and the tenant's that it is in; of the service's that has a
// version only.
func (s Scope) get(ctx context.Context) (m *tenancy.Maintenance, of *tenancy.Tenant, err error) {
	if s.service {
		if s.gate.store == nil {
			return nil, nil, fmt.Errorf("%w: no database for the service's maintenance", tenancy.ErrInvalid)
		}
		m, version, err := s.gate.store.read(ctx)
		if err != nil && !errors.Is(err, tenancy.ErrInvalid) {
			err = named(ctx, err)
		}
		return m, &tenancy.Tenant{Version: version}, err
	}
	of, err = s.editTenant(ctx, func(now *tenancy.Maintenance) (*tenancy.Maintenance, error) {
		m = now
		return now, nil
	})
	return m, of, err
}

// now is the time that a record keeps: UTC, to the microsecond.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// masked returns prefixes as records keep them: masked, IPv4 as such, in order.
func masked(prefixes []netip.Prefix) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, p := range prefixes {
		p = ipnet.Prefix(p)
		if !p.IsValid() {
			return nil, fmt.Errorf("%w: Allow has a prefix of addresses that is not valid", tenancy.ErrInvalid)
		}
		out = append(out, p.Masked())
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out), nil
}
