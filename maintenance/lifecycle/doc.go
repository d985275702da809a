// Package lifecycle is the life of a tenant with its database: a [Lifecycle] creates and
// adopts tenants, goes on with creations that were interrupted, changes their status, and
// archives, restores and purges them. It finds databases without a tenant, too.
//
//	life, err := lifecycle.New(cat, pool, migrator, &lifecycle.Options{BeforePurge: backup})
//	...
//	acme, err := life.Create(ctx, &tenancy.Tenant{Slug: "acme"})
//	err = life.Archive(ctx, acme.ID) // closed; nothing is removed
//	err = life.Purge(ctx, acme.ID)   // after the grace time: removed for good
//
// Changes are made by the actor of the context, see [tenancy.WithActor], and have an entry
// in the catalog's audit. docs/lifecycle.md has a picture of the statuses, and what each
// step keeps and removes.
package lifecycle
