package migrate

import (
	"context"
	"fmt"
	"strconv"

	"github.com/artflow-studio/tenancy"
)

// Task returns the task that brings a tenant's schema up to date, for a run over many
// tenants. The parameter "to" is the version to go up to; without it that is [Latest].
// Tenants that are being provisioned, whose creation migrates them, and those that
// are archived cannot take part.
func (m *Migrator) Task() tenancy.Task {
	return tenancy.Task{
		Eligible: eligible,
		Validate: validate,
		Do: func(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
			version, ok, err := to(a.Params)
			if err != nil {
				return err
			}
			if !ok {
				version = Latest
			}
			_, err = m.UpTo(ctx, t, version)
			return err
		},
	}
}

// RollbackTask returns the task that takes migrations back: those that are later than
// the parameter "to", or without it the last one of each tenant.
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

// downOnce takes the last migration back. Which one that is it notes before, so that an
// attempt after one that died takes back the same, or nothing.
func (m *Migrator) downOnce(ctx context.Context, t *tenancy.Tenant, a tenancy.Attempt) error {
	if a.Checkpoint == "" {
		s, err := m.open(tenancy.NewContext(ctx, t), t)
		if err != nil {
			return tenancy.Wrap("migrate.Migrator.Down", t.ID, err)
		}
		before := int64(0)
		switch n := len(s.applied); {
		case n == 0:
			return tenancy.Skip("no migration is applied")
		case n > 1:
			before = s.applied[n-2]
		}
		a.Checkpoint = strconv.FormatInt(before, 10)
		if err := a.SaveCheckpoint(ctx, a.Checkpoint); err != nil {
			return err
		}
	}
	version, err := strconv.ParseInt(a.Checkpoint, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: checkpoint %q, want a version", tenancy.ErrInvalid, a.Checkpoint)
	}
	_, err = m.DownTo(ctx, t, version)
	return err
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
