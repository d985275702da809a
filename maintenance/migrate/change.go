package migrate

import (
	"context"
	"errors"
	"fmt"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/audited"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
)

// work applies and takes back migrations.
type work struct {
	purpose string
	mends   bool               // what was cut off
	idle    func(*schema) bool // reports that there is nothing to do
	do      func(context.Context, *schema) (up, down []sqlkit.Migration, err error)
}

// change opens a tenant's database, does the work, and says what was done.
func (m *Migrator) change(ctx context.Context, op string, t *tenancy.Tenant, w work) (*Result, error) {
	ctx = tenancy.NewContext(ctx, t) // the caller's may be of another tenant
	s, err := m.open(ctx, t)
	if err != nil {
		return nil, tenancy.Wrap(op, t.ID, err)
	}
	out := &Result{Version: s.version()}
	idle, err := m.idle(ctx, s, w)
	if err == nil && !idle {
		err = m.lock(ctx, t.ID, w.purpose, func(ctx context.Context) (err error) {
			out, err = m.alone(ctx, t, w)
			return err
		})
	}
	if out == nil {
		out = &Result{Version: s.version()}
	}
	if len(out.Up)+len(out.Down) > 0 || t.SchemaVersion != out.Version { // or the record says so
		err = errors.Join(err, m.record(ctx, t, out.Version))
	}
	return out, tenancy.Wrap(op, t.ID, err)
}

// idle reports whether there is nothing to do. A way back that was cut off has left no migration to apply, and half of a schema: it is an error.
func (m *Migrator) idle(ctx context.Context, s *schema, w work) (bool, error) {
	if !w.idle(s) {
		return false, nil
	}
	half, err := sqlkit.AtRest(ctx, s.db, s.dialect, m.opts.Table)
	if half != nil {
		err = halfError(s, half)
	}
	return true, err
}

func (m *Migrator) lock(ctx context.Context, id tenancy.ID, purpose string, fn func(context.Context) error) error {
	if m.opts.Locks == nil {
		return fn(ctx)
	}
	return m.opts.Locks.Lock(ctx, id, purpose, fn)
}

// alone does the work for a tenant whose lock the caller holds. Others may have changed the
// database before; without [Options.Locks] they may do so until the database's own lock is held, and then
// it looks again.
func (m *Migrator) alone(ctx context.Context, t *tenancy.Tenant, w work) (*Result, error) {
	var out *Result
	for {
		s, err := m.open(ctx, t)
		if err != nil {
			return out, err
		}
		if out == nil {
			out = &Result{}
		}
		out.Version = s.version()
		if idle, err := m.idle(ctx, s, w); idle || err != nil {
			return out, err
		}
		err = m.once(ctx, s, w, out)
		m.renew(t.ID)
		if w.mends || !errors.Is(err, sqlkit.ErrChanged) {
			return out, err
		}
	}
}

// once does the work, and adds to out what was done.
func (m *Migrator) once(ctx context.Context, s *schema, w work, out *Result) (err error) {
	if w.mends {
		if s.half, err = sqlkit.HalfOf(ctx, s.db, s.dialect, m.opts.Table, s.applied); err != nil {
			return err
		}
	}
	up, down, err := w.do(ctx, s)
	if half := (*sqlkit.Half)(nil); errors.As(err, &half) {
		err = halfError(s, half)
	}
	for _, each := range down {
		out.Down = append(out.Down, Change(each))
	}
	for _, each := range up {
		out.Up = append(out.Up, Change(each))
	}
	uncut, cancel := sqlkit.Outlast(ctx)
	defer cancel()
	applied, e := sqlkit.Applied(uncut, s.db, s.dialect, m.opts.Table)
	if e == nil {
		s.applied = applied
		out.Version = s.version()
	}
	return errors.Join(err, e)
}

// renew replaces the tenant's connections: their prepared statements are of the old schema, or of
// a database that was dropped.
func (m *Migrator) renew(id tenancy.ID) {
	if r, ok := m.databases.(Renewer); ok {
		r.Renew(id)
	}
}

// audited does work that the tenant's record does not show, with its entry.
func (m *Migrator) audited(ctx context.Context, t *tenancy.Tenant, action, object string, do func() error) error {
	w := audited.Work{Audit: m.opts.Audit, Action: action, Tenant: t.ID, Object: object, Partly: true}
	return w.Do(ctx, do)
}

// record corrects the version in the tenant's record. It looks at the database again when it has written: others may
// have changed it since, and may have written before.
func (m *Migrator) record(ctx context.Context, t *tenancy.Tenant, version int64) error {
	if m.opts.Records == nil {
		return nil
	}
	uncut, cancel := sqlkit.Outlast(ctx)
	defer cancel()
	by := uncut
	if tenancy.ActorFrom(ctx).Kind == tenancy.ActorUnknown {
		by = tenancy.WithActor(uncut, tenancy.Actor{Kind: tenancy.ActorSystem, ID: "migrate"})
	}
	for {
		_, err := m.opts.Records.Edit(by, t.ID, func(now *tenancy.Tenant) error {
			if now.Placement == t.Placement && now.CreatedAt.Equal(t.CreatedAt) { // or it is another database's
				now.SchemaVersion = version
			}
			return nil
		})
		switch {
		case errors.Is(err, tenancy.ErrNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("the schema is at version %d, and the tenant's record does not say so: %w", version, err)
		}
		s, err := m.open(uncut, t)
		switch {
		case err != nil:
			return fmt.Errorf("the tenant's record says that the schema is at version %d, and whether it still is cannot be read: %w", version, err)
		case s.version() == version:
			return nil
		}
		version = s.version()
	}
}

func (m *Migrator) track(s *schema) *sqlkit.Track {
	return &sqlkit.Track{DB: s.db, Dialect: s.dialect, Files: s.files, Table: m.opts.Table, OutOfOrder: m.opts.OutOfOrder, Go: m.inGo, Seen: s.applied}
}

// apply applies the migrations of at most that version.
func (m *Migrator) apply(ctx context.Context, s *schema, version int64) ([]sqlkit.Migration, error) {
	return m.track(s).UpTo(ctx, version)
}

func (m *Migrator) upTo(version int64) work {
	return work{"a migration", false,
		func(s *schema) bool { return len(s.pending(version)) == 0 },
		func(ctx context.Context, s *schema) (up, down []sqlkit.Migration, err error) {
			up, err = m.apply(ctx, s, version)
			return up, nil, err
		}}
}

func (m *Migrator) downTo(version int64) work {
	return work{"a rollback", false,
		func(s *schema) bool { return s.version() <= version },
		func(ctx context.Context, s *schema) (up, down []sqlkit.Migration, err error) {
			down, err = m.track(s).DownTo(ctx, version)
			return nil, down, err
		}}
}

// down takes back the last migration.
func (m *Migrator) down() work {
	return work{"a rollback", false,
		func(s *schema) bool { return len(s.applied) == 0 },
		func(ctx context.Context, s *schema) (up, down []sqlkit.Migration, err error) {
			return m.downTo(s.before()).do(ctx, s)
		}}
}

// downFrom takes back the migration last, or any if that is 0, if it is the only one that is
// later than before.
func (m *Migrator) downFrom(last, before int64) work {
	down := m.downTo(before)
	return work{down.purpose, false, down.idle,
		func(ctx context.Context, s *schema) (up, undone []sqlkit.Migration, err error) {
			if s.before() != before || last != 0 && s.version() != last {
				return nil, nil, fmt.Errorf("%w: the tenant was migrated since, to version %d, and nothing was taken back", tenancy.ErrConflict, s.version())
			}
			return down.do(ctx, s)
		}}
}
