package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// A purge waits for a migration of the same tenant, and its patience is its context's.
func TestPurgeDuringMigration(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		l := locks(t, k.db, nil)
		tenant := k.archived(t, "acme")
		began, end := make(chan struct{}), make(chan struct{})
		m, err := migrate.New(k.pool, fstest.MapFS{"00001_notes.sql": {Data: []byte(makeNotes)}, "00002_more.sql": {Data: []byte("-- +goose Up\nCREATE TABLE more (id INT);\n")}},
			&migrate.Options{Locks: slow{l, began, end}})
		if err != nil {
			t.Fatal(err)
		}
		life := k.lifeWith(t, lifecycle.Options{Locks: l, Grace: -1})
		migrated := make(chan error)
		go func() { migrated <- m.Up(t.Context(), tenant) }()
		<-began
		ctx, cancel := context.WithTimeout(t.Context(), 1)
		defer cancel()
		if err := life.Purge(ctx, tenant.ID); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("within a moment: got %v, want DeadlineExceeded", err)
		}
		k.wantArchived(t, tenant.ID)
		impatient := k.lifeWith(t, lifecycle.Options{Locks: locks(t, k.db, &lifecycle.LocksOptions{Wait: -1}), Grace: -1})
		wantLocked(t, "Purge", impatient.Purge(t.Context(), tenant.ID), "a migration")
		purged := make(chan error)
		go func() { purged <- life.Purge(t.Context(), tenant.ID) }()
		close(end)
		if err := errors.Join(<-migrated, <-purged); err != nil {
			t.Error(err)
		}
		k.wantNothing(t, tenant.ID)
	})
}

// slow is a lock under which work takes until it may end.
type slow struct {
	*lifecycle.Locks
	began, end chan struct{}
}

func (s slow) Lock(ctx context.Context, id tenancy.ID, purpose string, fn func(context.Context) error) error {
	return s.Locks.Lock(ctx, id, purpose, func(ctx context.Context) error {
		close(s.began)
		<-s.end
		return fn(ctx)
	})
}

// A hook that hangs ends with its context, and the tenant stays archived. Behind the point
// of no return it stays purging, and the purge goes on later.
func TestPurgeWhoseHooksHang(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		l := locks(t, k.db, nil)
		tenant := k.archived(t, "acme")
		hang := func(began chan struct{}) func(context.Context) error {
			return func(ctx context.Context) error { close(began); <-ctx.Done(); return ctx.Err() }
		}
		purge := func(opts lifecycle.Options, began chan struct{}) error {
			opts.Locks, opts.Grace = l, -1
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- k.lifeWith(t, opts).Purge(ctx, tenant.ID) }()
			<-began
			cancel()
			return <-done
		}
		for what, opts := range map[string]func(hook func(context.Context) error) lifecycle.Options{
			"drain": func(hook func(context.Context) error) lifecycle.Options {
				return lifecycle.Options{Drain: func(ctx context.Context, _ *tenancy.Tenant) error { return hook(ctx) }}
			},
			"backup": func(hook func(context.Context) error) lifecycle.Options {
				return lifecycle.Options{BeforePurge: func(ctx context.Context, _ *tenancy.Tenant) error { return hook(ctx) }}
			},
		} {
			began := make(chan struct{})
			if err := purge(opts(hang(began)), began); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: got %v, want Canceled", what, err)
			}
			k.wantArchived(t, tenant.ID)
		}
		began := make(chan struct{})
		hook := hang(began)
		err := purge(lifecycle.Options{Forget: []func(context.Context, tenancy.ID) error{func(ctx context.Context, _ tenancy.ID) error { return hook(ctx) }}}, began)
		if !errors.Is(err, context.Canceled) || k.now(t, tenant.ID).Status != tenancy.StatusPurging {
			t.Errorf("forget: got %v and a tenant that is %s", err, k.now(t, tenant.ID).Status)
		}
		if err := k.lifeWith(t, lifecycle.Options{Locks: l, Grace: -1}).Purge(t.Context(), tenant.ID); err != nil {
			t.Errorf("again: %v", err)
		}
		k.wantNothing(t, tenant.ID)
	})
}

// A server that is down keeps a purge from beginning; one that dies before the drop leaves
// the tenant purging.
func TestPurgeWithoutServer(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	k := newKit(t, s)
	tenant := k.archived(t, "acme")
	m := k.migrator(t, makeNotes)
	for _, tt := range []struct {
		what   string
		broken brokenServer
		status tenancy.Status
	}{
		{"it is down", brokenServer{Pool: k.pool, exclusive: true}, tenancy.StatusArchived},
		{"it cannot say whose the database is", brokenServer{Pool: k.pool, owner: true}, tenancy.StatusArchived},
		{"it dies before the drop", brokenServer{Pool: k.pool, drop: true}, tenancy.StatusPurging},
	} {
		life, err := lifecycle.New(k.cat, &tt.broken, m, &lifecycle.Options{Server: s.Name, Grace: -1})
		if err != nil {
			t.Fatal(err)
		}
		if err := life.Purge(t.Context(), tenant.ID); !errors.Is(err, tenancy.ErrUnavailable) {
			t.Errorf("%s: got %v, want ErrUnavailable", tt.what, err)
		}
		if now := k.now(t, tenant.ID); now.Status != tt.status {
			t.Errorf("%s: got a tenant that is %s, want %s", tt.what, now.Status, tt.status)
		}
		if ok, err := k.pool.Exists(t.Context(), tenant); err != nil || !ok {
			t.Errorf("%s: the database: got %v, %v", tt.what, ok, err)
		}
	}
	if err := k.lifeWith(t, lifecycle.Options{Grace: -1}).Purge(t.Context(), tenant.ID); err != nil {
		t.Error(err)
	}
	k.wantNothing(t, tenant.ID)
}

// brokenServer is a pool whose server does not answer to some questions.
type brokenServer struct {
	*dbpool.Pool
	exclusive, owner, drop bool
}

func (b *brokenServer) down(is bool) error {
	if is {
		return fmt.Errorf("%w: no route to the server", tenancy.ErrUnavailable)
	}
	return nil
}

func (b *brokenServer) Exclusive(ctx context.Context, t *tenancy.Tenant, fn func(context.Context) error) error {
	if err := b.down(b.exclusive); err != nil {
		return err
	}
	return b.Pool.Exclusive(ctx, t, fn)
}

func (b *brokenServer) Owner(ctx context.Context, server, database string) (tenancy.ID, error) {
	if err := b.down(b.owner); err != nil {
		return "", err
	}
	return b.Pool.Owner(ctx, server, database)
}

func (b *brokenServer) Drop(ctx context.Context, t *tenancy.Tenant) error {
	if err := b.down(b.drop); err != nil {
		return err
	}
	return b.Pool.Drop(ctx, t)
}
