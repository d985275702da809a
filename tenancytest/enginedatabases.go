package tenancytest

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
)

// A database is made once, marked, and not touched by a second creation.
func testEngineCreate(r *engineRun) {
	t, other := r.tenant(), NewTenant("other")
	name := t.Placement.Database
	conn := r.open(r.connector(name))
	r.identified("after Create", conn, t)
	r.must("CREATE TABLE", exec(r.Context(), conn, `CREATE TABLE notes (id INTEGER)`))
	r.wants("Create again", r.databases.Create(r.Context(), name, t.ID), tenancy.ErrExists)
	r.wants("Create for another tenant", r.databases.Create(r.Context(), name, other.ID), tenancy.ErrExists)
	again := r.open(r.connector(name))
	r.identified("after Create again", again, t)
	if _, err := query(r.Context(), again, `SELECT id FROM notes`); err != nil {
		r.Errorf("a table after Create again: %v", err)
	}
	if exists, err := r.databases.Exists(r.Context(), name); !exists || err != nil {
		r.Errorf("Exists: got %t, %v, want true", exists, err)
	}
}

// Claim goes on with the tenant's own database, and leaves that of another alone.
func testEngineClaim(r *engineRun) {
	t, other := r.tenant(), NewTenant("other")
	name := t.Placement.Database
	r.must("Claim", r.databases.Claim(r.Context(), name, t.ID))
	r.wants("Claim for another tenant", r.databases.Claim(r.Context(), name, other.ID), tenancy.ErrExists)
	r.identified("after Claim", r.open(r.connector(name)), t)
}

// Only the tenant's own database is dropped, though somebody is connected to it.
func testEngineDrop(r *engineRun) {
	t, other := r.tenant(), NewTenant("other")
	name := t.Placement.Database
	r.open(r.connector(name))
	r.wants("Drop for another tenant", r.databases.Drop(r.Context(), name, other.ID), tenancy.ErrForbidden)
	r.identified("after Drop for another tenant", r.open(r.connector(name)), t)
	r.must("Drop", r.databases.Drop(r.Context(), name, t.ID))
	if exists, err := r.databases.Exists(r.Context(), name); exists || err != nil {
		r.Errorf("Exists after Drop: got %t, %v, want false", exists, err)
	}
	r.wants("Drop again", r.databases.Drop(r.Context(), name, t.ID), tenancy.ErrNotFound)
}

// One at a time is in Exclusive with a database. Another waits as long as its context.
func testEngineExclusive(r *engineRun) {
	t := r.tenant()
	name := t.Placement.Database
	odd := errors.New("odd")
	if err := r.databases.Exclusive(r.Context(), name, func(context.Context) error { return odd }); !errors.Is(err, odd) || err.Error() != odd.Error() {
		r.Errorf("Exclusive: got %v, want fn's error as it is", err)
	}
	var inside atomic.Bool
	entered, leave, left := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		left <- r.databases.Exclusive(r.Context(), name, func(context.Context) error {
			inside.Store(true)
			close(entered)
			<-leave
			inside.Store(false)
			return nil
		})
	}()
	<-entered
	short, cancel := context.WithCancel(r.Context())
	gaveUp := make(chan error)
	go func() {
		gaveUp <- r.databases.Exclusive(short, name, func(context.Context) error {
			r.Error("Exclusive: two at a time")
			return nil
		})
	}()
	second := make(chan error)
	go func() {
		second <- r.databases.Exclusive(r.Context(), name, func(context.Context) error {
			if inside.Load() {
				r.Error("Exclusive: two at a time")
			}
			return nil
		})
	}()
	cancel()
	if err := <-gaveUp; err == nil {
		r.Error("Exclusive with a context that has ended: got no error")
	}
	close(leave)
	if err := <-left; err != nil {
		r.Errorf("Exclusive: %v", err)
	}
	if err := <-second; err != nil {
		r.Errorf("Exclusive after another: %v", err)
	}
}

// The size is that of a database, and none of one that is not there.
func testEngineSize(r *engineRun) {
	t := r.tenant()
	if n, err := r.databases.Size(r.Context(), t.Placement.Database); n <= 0 || err != nil {
		r.Errorf("Size: got %d, %v, want some bytes", n, err)
	}
	_, err := r.databases.Size(r.Context(), NewTenant("missing").Placement.Database)
	r.wants("Size of no database", err, tenancy.ErrNotFound)
}

// The inventory has each database, with its owner.
func testEngineInventory(r *engineRun) {
	i := abilityOf[driver.Inventory](r)
	t := r.tenant()
	names, err := i.Names(r.Context())
	if err != nil || !slices.Contains(names, t.Placement.Database) {
		r.Errorf("Names: got %d names, %v, want %q among them", len(names), err, t.Placement.Database)
	}
	if owner, err := i.Owner(r.Context(), t.Placement.Database); owner != t.ID || err != nil {
		r.Errorf("Owner: got %q, %v, want %q", owner, err, t.ID)
	}
	_, err = i.Owner(r.Context(), NewTenant("missing").Placement.Database)
	r.wants("Owner of no database", err, tenancy.ErrNotFound)
}

// A database that is there becomes a tenant's, once.
func testEngineAdopter(r *engineRun) {
	a := abilityOf[driver.Adopter](r)
	t, other := r.tenant(), NewTenant("other")
	ctx, name := r.Context(), t.Placement.Database
	conn := r.open(r.connector(name))
	r.must("CREATE TABLE", exec(ctx, conn, `CREATE TABLE notes (id INTEGER)`))
	r.wants("Adopt of a marked database", a.Adopt(ctx, name, t.ID, false), tenancy.ErrExists)
	r.must("Adopt again", a.Adopt(ctx, name, t.ID, true))
	r.wants("Adopt for another tenant", a.Adopt(ctx, name, other.ID, true), tenancy.ErrExists)
	r.must("Release", a.Release(ctx, name, t.ID))
	if got, err := r.engine.Identify(ctx, r.open(r.connector(name))); got.Tenant != "" || err != nil {
		r.Errorf("after Release: Identify got %+v, %v, want no tenant", got, err)
	}
	r.wants("Claim of a database with tables", r.databases.Claim(ctx, name, t.ID), tenancy.ErrExists)
	r.must("Adopt", a.Adopt(ctx, name, t.ID, false))
	r.identified("after Adopt", r.open(r.connector(name)), t)
	adopted := func(when string, want bool) {
		r.Helper()
		if got, err := a.Adopted(ctx, name, t.ID); got != want || err != nil {
			r.Errorf("Adopted %s: got %v, %v, want %v", when, got, err, want)
		}
	}
	adopted("after Adopt", true)
	_, err := a.Adopted(ctx, name, other.ID)
	r.wants("Adopted for another tenant", err, tenancy.ErrForbidden)
	_, err = a.Adopted(ctx, NewTenant("missing").Placement.Database, t.ID)
	r.wants("Adopted of no database", err, tenancy.ErrNotFound)
	r.must("DROP TABLE", exec(ctx, r.open(r.connector(name)), `DROP TABLE tenancy_provisioning`))
	adopted("after the tenant was in service", false)
	r.wants("Adopt of no database", a.Adopt(ctx, NewTenant("missing").Placement.Database, t.ID, false), tenancy.ErrNotFound)
}
