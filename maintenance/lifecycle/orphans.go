package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/audited"
)

// Inventory is the optional ability of [Databases] to say which databases there
// are. A *dbpool.Pool has it.
type Inventory interface {
	// Servers returns the names of all servers.
	Servers() []string
	// Names returns the names of the databases on a server.
	Names(ctx context.Context, server string) ([]string, error)
	// Owner returns the tenant that a database itself says that it belongs to, or "".
	Owner(ctx context.Context, server, database string) (tenancy.ID, error)
}

// Machines is the optional ability of an [Inventory] whose servers may have the same
// databases: read replicas, or one server under several names. A *dbpool.Pool has it.
type Machines interface {
	// Machine returns the name of the server that has the same databases, which is that
	// of the server itself if there is none, and reports whether the server is a read
	// replica of it.
	Machine(server string) (machine string, replica bool)
}

// machine is the ability of the inventory, or says that each server has databases of its own.
func (l *Lifecycle) machine(server string) (machine string, replica bool) {
	if m, ok := l.inventory.(Machines); ok {
		return m.Machine(server)
	}
	return server, false
}

// owned returns the names of the servers whose databases may be dropped: all but read replicas.
// Of servers with the same databases, the one that [Machines] names comes first.
func (l *Lifecycle) owned() []string {
	var first, then []string
	for _, server := range l.inventory.Servers() {
		switch machine, replica := l.machine(server); {
		case replica:
		case machine == server:
			first = append(first, server)
		default:
			then = append(then, server)
		}
	}
	return append(first, then...)
}

// same reports whether two placements may name the same database.
func (l *Lifecycle) same(a, b tenancy.Placement) bool {
	if a.Database != b.Database {
		return false
	}
	one, _ := l.machine(a.Server)
	other, _ := l.machine(b.Server)
	return one == other
}

// Orphan is a database that belongs to a tenant without a record.
type Orphan struct {
	Server, Database string
	// Tenant is the ID that the database itself names.
	Tenant tenancy.ID
}

func (o Orphan) tenant() *tenancy.Tenant {
	return &tenancy.Tenant{ID: o.Tenant, Placement: tenancy.Placement{Server: o.Server, Database: o.Database}}
}

// Orphans returns the databases on all servers whose tenants have no record, such as
// those of processes that died while they undid a creation. Databases that name no
// tenant are nobody's, and not among them. Databases on read replicas are left out; a database
// that several servers of the pool have appears once. A server or a database that cannot be
// read is an error beside an Orphan without a tenant, and the walk goes on.
//
// Without the ability [Inventory] it is a single error that wraps
// [tenancy.ErrInvalid].
func (l *Lifecycle) Orphans(ctx context.Context) iter.Seq2[Orphan, error] {
	const op = "lifecycle.Lifecycle.Orphans"
	return func(yield func(Orphan, error) bool) {
		if l.inventory == nil {
			yield(Orphan{}, tenancy.Wrap(op, "", fmt.Errorf("%w: the databases cannot be listed", tenancy.ErrInvalid)))
			return
		}
		seen := map[Orphan]bool{} // by machine
		for _, server := range l.owned() {
			machine, _ := l.machine(server)
			names, err := l.inventory.Names(ctx, server)
			if err != nil && !yield(Orphan{Server: server}, tenancy.Wrap(op, "", err)) {
				return
			}
			for _, name := range names {
				o, orphaned, err := l.orphan(ctx, server, name)
				if err == nil {
					one := Orphan{machine, name, o.Tenant}
					if !orphaned || seen[one] {
						continue
					}
					seen[one] = true
				}
				if !yield(o, tenancy.Wrap(op, o.Tenant, err)) {
					return
				}
			}
		}
	}
}

// orphan looks at one database.
func (l *Lifecycle) orphan(ctx context.Context, server, name string) (o Orphan, orphaned bool, err error) {
	o = Orphan{Server: server, Database: name}
	if id, ok := strings.CutPrefix(name, databasePrefix); ok { // most need not be opened
		t, err := l.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: id})
		if err == nil && l.same(t.Placement, o.tenant().Placement) {
			return o, false, nil
		}
	}
	owner, err := l.inventory.Owner(ctx, server, name)
	if errors.Is(err, tenancy.ErrNotFound) { // dropped meanwhile
		return o, false, nil
	}
	if err != nil || owner == "" {
		return o, false, err
	}
	found := Orphan{server, name, owner}
	orphaned, err = l.isOrphan(ctx, found)
	return found, orphaned, err
}

func (l *Lifecycle) isOrphan(ctx context.Context, o Orphan) (bool, error) {
	_, err := l.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(o.Tenant)})
	if errors.Is(err, tenancy.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// RemoveOrphan drops a database that [Lifecycle.Orphans] returned. One that was adopted for a
// tenant that was never in service stays and loses its mark: what is in there was there before.
// If the tenant has a record by now, the error wraps [tenancy.ErrConflict]; if it is marked as
// another tenant's by now, tenancy.ErrForbidden; on a read replica, tenancy.ErrInvalid. One that is
// gone is no error. [Options.Audit] has an entry of it before the database is dropped or released.
func (l *Lifecycle) RemoveOrphan(ctx context.Context, o Orphan) error {
	_, err := l.removeOrphan(ctx, o)
	return tenancy.Wrap("lifecycle.Lifecycle.RemoveOrphan", o.Tenant, err)
}

// removeOrphan reports whether the database was released, and is there still. That is also so
// if its tenant was in service, and the note of its adoption stayed: nothing tells the two apart.
func (l *Lifecycle) removeOrphan(ctx context.Context, o Orphan) (released bool, err error) {
	if l.inventory != nil {
		if machine, replica := l.machine(o.Server); replica {
			return false, fmt.Errorf("%w: server %q is a read replica of %q, where the database is dropped", tenancy.ErrInvalid, o.Server, machine)
		}
	}
	t := o.tenant()
	err = l.Lock(ctx, o.Tenant, "the removal of an orphan", func(ctx context.Context) error {
		return l.databases.Exclusive(ctx, t, func(ctx context.Context) error {
			orphaned, err := l.isOrphan(ctx, o)
			if err == nil && !orphaned {
				err = fmt.Errorf("%w: the tenant has a record", tenancy.ErrConflict)
			}
			if err != nil {
				return err
			}
			if l.inventory != nil { // or the audit would say that what is gone was removed
				if _, err := l.inventory.Owner(ctx, o.Server, o.Database); errors.Is(err, tenancy.ErrNotFound) {
					return err
				}
			}
			adopted, err := l.adopted(ctx, t)
			if err != nil {
				return err
			}
			w := audited.Work{Audit: l.opts.Audit, Action: "tenant.remove_orphan", Tenant: o.Tenant, Object: o.Server + "/" + o.Database, Partly: true}
			if !adopted {
				return w.Do(ctx, func() error { return l.databases.Drop(ctx, t) })
			}
			w.Action = "tenant.release_orphan"
			err = w.Do(ctx, func() error { return l.adopter.Release(ctx, t) })
			released = err == nil
			return err
		})
	})
	if errors.Is(err, tenancy.ErrNotFound) {
		return false, nil
	}
	return released, err
}
