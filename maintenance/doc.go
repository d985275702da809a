// Package maintenance keeps requests out of tenants that are being worked on, with a
// [Gate]. Package maintenance/lifecycle makes and ends tenants.
//
// # Maintenance mode
//
//	gate, err := maintenance.NewGate(cat, &maintenance.GateOptions{DB: db, Client: proxies.Client})
//	...
//	go gate.Run(ctx)
//	handler := middleware.Tenant(cache, resolve, nil)(gate.Guard(mux))
//	...
//	err = gate.Tenant(acme.ID).Begin(ctx, tenancy.Maintenance{Message: "Back at six."})
//	err = gate.Tenant(acme.ID).Drain(ctx)
//
// What holds for a tenant stands in its record, so a request asks for nothing else,
// and every instance sees a change as fast as it sees any other of the record. What
// holds for the whole service is in a table, tenancy_maintenance, which every instance
// looks at each [GateOptions.Poll] and has in memory: before the first look nobody is
// let in; when the database goes down later, what was known holds.
//
// Maintenance in force is either closed or read-only. Read-only means that reading
// requests pass in a context in which a pool of connections returns databases that
// cannot write. Where the tenant and the service are both under maintenance, a
// request must pass both.
//
// # Windows
//
// A window is one time, or comes again by a cron expression of five fields (minute,
// hour, day of the month, month, day of the week, where Sunday is 0 and 7) in a time zone, for a length that
// passes whatever clocks do. A time that clocks skip begins a window when they have
// moved on; one that they show twice begins two. Windows that overlap or touch are
// one, and Retry-After says when that ends; for one that goes on for more than a
// hundred windows, or ever, it is [GateOptions.RetryAfter].
//
// Each instance goes by its own clock, and needs the zone's data: where the system
// has none, import time/tzdata. A window that a instance cannot read is taken to be
// open.
//
// # Bypass
//
// [Scope.NewBypass] makes a secret, of which the record keeps the SHA-256. The URL
// with the secret gives a browser a cookie that is signed for this tenant and this
// maintenance, and expires. The secret is in that URL, and so in the browser's
// history and the logs of proxies: post it as a form where that matters.
package maintenance
