package migrate

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/artflow-studio/tenancy"
)

// Task returns the task that brings a tenant's schema up to date, for a run over many
// tenants. The parameter "to" is the version to go up to; without it the latest that the
// program has that plans the run.
// Tenants that are being provisioned, whose creation migrates them, and those that
// are archived cannot take part.
func (m *Migrator) Task() tenancy.Task {
	return tenancy.Task{
		Eligible: eligible,
		Validate: validate,
		Complete: func(p tenancy.Params) (tenancy.Params, error) {
			version, err := m.upTarget(p)
			return tenancy.Params{"to": strconv.FormatInt(version, 10)}, err
		},
		Do: func(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
			version, err := m.upTarget(a.Params)
			if err == nil {
				_, err = m.UpTo(ctx, t, version)
			}
			return err
		},
	}
}

// RollbackTask returns the task that takes migrations back: those that are later than
// the parameter "to", or without it the last one of each tenant. Without it a tenant that is
// migrated between two attempts fails with an error that wraps [tenancy.ErrConflict].
func (m *Migrator) RollbackTask() tenancy.Task {
	return tenancy.Task{
		Eligible: eligible,
		Validate: validate,
		Do: func(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
			version, ok, err := to(a.Params)
			switch {
			case err != nil:
			case ok:
				_, err = m.DownTo(ctx, t, version)
			default:
				err = m.downOnce(ctx, t, a)
			}
			return err
		},
	}
}

// downOnce takes the last migration back. It notes before which one that is, so that a later
// attempt takes back the same, or nothing. If others migrated the tenant meanwhile, the error
// wraps [tenancy.ErrConflict].
func (m *Migrator) downOnce(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
	const op = "migrate.Migrator.Down"
	if a.Checkpoint == "" {
		s, err := m.open(tenancy.NewContext(ctx, t), t)
		if err != nil {
			return tenancy.Wrap(op, t.ID, err)
		}
		if len(s.applied) == 0 {
			return tenancy.Skip("no migration is applied")
		}
		a.Checkpoint = fmt.Sprintf("%d>%d", s.version(), s.before())
		if err := a.SaveCheckpoint(ctx, a.Checkpoint); err != nil {
			return err
		}
	}
	last, before, err := rollback(a.Checkpoint)
	if err == nil {
		_, err = m.change(ctx, op, t, m.downFrom(last, before))
	}
	return err
}

// rollback reads a checkpoint "8>7": version 8 is taken back, the one before it is 7. Older
// programs noted "7"; then last is 0.
func rollback(checkpoint string) (last, before int64, err error) {
	from, to, both := strings.Cut(checkpoint, ">")
	if both {
		last, err = strconv.ParseInt(from, 10, 64)
	} else {
		to = from
	}
	if err == nil {
		before, err = strconv.ParseInt(to, 10, 64)
	}
	if err != nil {
		err = fmt.Errorf("%w: checkpoint %.40q, want two versions, such as 8>7", tenancy.ErrInvalid, checkpoint)
	}
	return last, before, err
}

// upTarget returns the version to go up to. One that this program does not have is an error
// that wraps [tenancy.ErrInvalid].
func (m *Migrator) upTarget(p tenancy.Params) (int64, error) {
	version, ok, err := to(p)
	if err != nil {
		return 0, err
	}
	latest, err := m.latest()
	if err != nil || !ok {
		return latest, err
	}
	if version > latest {
		return 0, fmt.Errorf("%w: version %d, and the latest migration of this program is %d", tenancy.ErrInvalid, version, latest)
	}
	return version, nil
}

func eligible(t *tenancy.Tenant) error {
	if t.Status.Removable() {
		return fmt.Errorf("the tenant is %s", t.Status)
	}
	return nil
}

func validate(p tenancy.Params) error {
	_, _, err := to(p)
	return err
}

// to returns the parameter "to", the only one that there is.
func to(p tenancy.Params) (version int64, ok bool, err error) {
	text, ok := p["to"]
	if len(p) > 1 || len(p) == 1 && !ok {
		return 0, false, fmt.Errorf("%w: parameters %v, want to=VERSION or none", tenancy.ErrInvalid, p)
	}
	if !ok {
		return 0, false, nil
	}
	version, err = strconv.ParseInt(text, 10, 64)
	if err != nil || version < 0 {
		return 0, false, fmt.Errorf("%w: version %.40q, want a number", tenancy.ErrInvalid, text)
	}
	return version, true, nil
}
