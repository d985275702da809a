package dbpool

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/internal/failure"
)

// Create makes the tenant's database at its placement and marks it as this
// tenant's. A database of that name is an error that wraps
// [tenancy.ErrExists], and is not touched.
func (p *Pool) Create(ctx context.Context, t *tenancy.Tenant) error {
	return p.databases("dbpool.Pool.Create", t, func(d driver.Databases) error {
		err := d.Create(ctx, t.Placement.Database, t.ID)
		return p.made(t.ID, err)
	})
}

// Claim marks an existing database as this tenant's, if it is that already or
// is empty and nobody's. Any other is an error that wraps
// [tenancy.ErrExists], and is not touched.
func (p *Pool) Claim(ctx context.Context, t *tenancy.Tenant) error {
	return p.databases("dbpool.Pool.Claim", t, func(d driver.Databases) error {
		err := d.Claim(ctx, t.Placement.Database, t.ID)
		return p.made(t.ID, err)
	})
}

// Adopt marks a database that exists, with whatever is in it, as this tenant's. The
// caller answers for it that the database is nobody else's. One that is marked is an
// error that wraps [tenancy.ErrExists] and is not touched; with again, one that is
// marked as this tenant's is none. No such database is [tenancy.ErrNotFound].
func (p *Pool) Adopt(ctx context.Context, t *tenancy.Tenant, again bool) error {
	return p.adopter("dbpool.Pool.Adopt", t, func(a driver.Adopter) error {
		err := a.Adopt(ctx, t.Placement.Database, t.ID, again)
		return p.made(t.ID, err)
	})
}

// Adopted reports whether the tenant's database was adopted, and the tenant has not been in
// service since: what is in there was there before. A database that is not marked as this
// tenant's is an error that wraps [tenancy.ErrForbidden]; no such database is
// [tenancy.ErrNotFound].
func (p *Pool) Adopted(ctx context.Context, t *tenancy.Tenant) (adopted bool, err error) {
	err = p.databases("dbpool.Pool.Adopted", t, func(d driver.Databases) error {
		a, ok := d.(driver.Adopter)
		if !ok {
			return nil // nothing can be adopted there
		}
		adopted, err = a.Adopted(ctx, t.Placement.Database, t.ID)
		return err
	})
	return adopted, err
}

// Release closes the tenant's handle and takes back what [Pool.Adopt] did: the
// database stays, and is nobody's.
func (p *Pool) Release(ctx context.Context, t *tenancy.Tenant) error {
	return p.adopter("dbpool.Pool.Release", t, func(a driver.Adopter) error {
		p.Forget(t.ID)
		return a.Release(ctx, t.Placement.Database, t.ID)
	})
}

func (p *Pool) adopter(op string, t *tenancy.Tenant, fn func(driver.Adopter) error) error {
	return p.databases(op, t, func(d driver.Databases) error {
		a, ok := d.(driver.Adopter)
		if !ok {
			return fmt.Errorf("%w: server %q cannot adopt databases", tenancy.ErrInvalid, t.Placement.Server)
		}
		return fn(a)
	})
}

// Drop closes the tenant's handle and removes its database with all data, if
// the database's own marker says that it is this tenant's: otherwise the error
// wraps [tenancy.ErrForbidden]. No such database is
// [tenancy.ErrNotFound]. The tenant must be one that is being provisioned, is
// archived or is being purged, as the record that is given says: any other status is
// an error that wraps [tenancy.ErrInvalid].
func (p *Pool) Drop(ctx context.Context, t *tenancy.Tenant) error {
	return p.databases("dbpool.Pool.Drop", t, func(d driver.Databases) error {
		if t.Status != "" && !t.Status.Removable() {
			return fmt.Errorf("%w: the database of a tenant that is %s is not dropped, archive it first", tenancy.ErrInvalid, t.Status)
		}
		p.Forget(t.ID)
		return d.Drop(ctx, t.Placement.Database, t.ID)
	})
}

// Exclusive runs fn while no other process is in Exclusive with the tenant's
// database, wherever the application runs; others wait, within ctx. It is for
// work of several steps on a database, such as bringing it into service. The lock
// is a session of its own on the database's server, outside of the budget. The
// context that fn is given ends when that session is lost.
//
// The error is fn's, as it is, or says why fn did not run. Where the lock was lost before fn
// returned, it wraps [tenancy.ErrUnavailable], and fn's error if there is one. No such database is
// [tenancy.ErrNotFound], or fn runs. Calling it within fn for the same tenant
// waits until ctx ends.
func (p *Pool) Exclusive(ctx context.Context, t *tenancy.Tenant, fn func(context.Context) error) error {
	began := false
	var ran error // what became of it
	err := p.databases("dbpool.Pool.Exclusive", t, func(d driver.Databases) error {
		err := d.Exclusive(ctx, t.Placement.Database, func(ctx context.Context) error {
			began = true
			return fn(ctx)
		})
		if began {
			ran, err = err, nil
		}
		return err
	})
	if began {
		return ran
	}
	return err
}

// Exists reports whether there is a database at the tenant's placement.
func (p *Pool) Exists(ctx context.Context, t *tenancy.Tenant) (exists bool, err error) {
	err = p.databases("dbpool.Pool.Exists", t, func(d driver.Databases) error {
		exists, err = d.Exists(ctx, t.Placement.Database)
		return err
	})
	return exists, err
}

// Size returns what the tenant's database takes on disk, in bytes, as its
// server counts it. No such database is [tenancy.ErrNotFound].
func (p *Pool) Size(ctx context.Context, t *tenancy.Tenant) (size int64, err error) {
	err = p.databases("dbpool.Pool.Size", t, func(d driver.Databases) error {
		size, err = d.Size(ctx, t.Placement.Database)
		return err
	})
	return size, err
}

// Names returns the names of all databases on a server that can be a tenant's. An
// engine without the ability [driver.Inventory] is an error that wraps
// [tenancy.ErrInvalid].
func (p *Pool) Names(ctx context.Context, server string) (names []string, err error) {
	err = p.inventory("dbpool.Pool.Names", server, func(i driver.Inventory) error {
		names, err = i.Names(ctx)
		return err
	})
	return names, err
}

// Owner returns the tenant that a database on a server belongs to, by what the
// database itself says, or "". No such database is [tenancy.ErrNotFound].
func (p *Pool) Owner(ctx context.Context, server, database string) (owner tenancy.ID, err error) {
	err = p.inventory("dbpool.Pool.Owner", server, func(i driver.Inventory) error {
		owner, err = i.Owner(ctx, database)
		return err
	})
	return owner, err
}

func (p *Pool) inventory(op, server string, fn func(driver.Inventory) error) error {
	anybody := &tenancy.Tenant{ID: "tenant", Placement: tenancy.Placement{Server: server}}
	return p.databases(op, anybody, func(d driver.Databases) error {
		i, ok := d.(driver.Inventory)
		if !ok {
			return fmt.Errorf("%w: server %q cannot list its databases", tenancy.ErrInvalid, server)
		}
		return fn(i)
	})
}

// Servers returns the names of the pool's servers, sorted.
func (p *Pool) Servers() []string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Sorted(maps.Keys(p.servers))
}

// Machine returns the server that holds the same databases: the one that
// [ServerOptions].BudgetOf names, the primary of a read replica, or the server itself; replica
// is true if they are a read replica's copies.
func (p *Pool) Machine(server string) (machine string, replica bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	machine = server
	for seen := []string{server}; ; seen = append(seen, machine) {
		next, copied := p.opts.Servers[machine].BudgetOf, false
		if next == "" {
			next, copied = p.primary(machine), true
		}
		if next == "" {
			return machine, replica
		}
		if slices.Contains(seen, next) { // servers that follow each other
			machine = slices.Min(seen)
			return machine, machine != server
		}
		machine, replica = next, replica || copied
	}
}

// primary returns the first server whose replica the server is, or "". The caller holds p.mu.
func (p *Pool) primary(replica string) string {
	for _, name := range slices.Sorted(maps.Keys(p.opts.Servers)) {
		if slices.Contains(p.opts.Servers[name].Replicas, replica) {
			return name
		}
	}
	return ""
}

// made returns the error; without one, the tenant's database is dialled again,
// though it was not there before.
func (p *Pool) made(id tenancy.ID, err error) error {
	if err != nil {
		return err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if h := p.handles[id]; h != nil {
		if l := h.connector.lane(); l != nil {
			l.Retry()
		}
	}
	return nil
}

func (p *Pool) databases(op string, t *tenancy.Tenant, fn func(driver.Databases) error) error {
	p.mu.RLock()
	s, err := p.server(t)
	var engine driver.Engine
	if err == nil {
		engine = s.engine.Engine
	}
	p.mu.RUnlock()
	if err != nil {
		return tenancy.Wrap(op, "", err)
	}
	d, ok := engine.(driver.Databases)
	if !ok {
		return tenancy.Wrap(op, t.ID, fmt.Errorf("%w: server %q cannot make databases", tenancy.ErrInvalid, t.Placement.Server))
	}
	return failure.Wrap(op, t.ID, fn(d))
}
