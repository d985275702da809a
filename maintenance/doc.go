// Package maintenance is maintenance mode: a [Gate] refuses the requests of a tenant, or
// of all tenants, while somebody works on their data. Package maintenance/lifecycle makes
// and ends tenants.
//
// # Maintenance mode
//
//	gate, err := maintenance.NewGate(cat, &maintenance.GateOptions{DB: db, Client: proxies.Client})
//	...
//	go gate.Run(ctx)
//	tenantOnly, err := middleware.Tenant(cache, resolve, nil)
//	handler := tenantOnly(gate.Guard(mux))
//	...
//	err = gate.Tenant(acme.ID).Begin(ctx, tenancy.Maintenance{Message: "Back at six."})
//	err = gate.Tenant(acme.ID).Drain(ctx)
//
// The maintenance of a tenant is part of its record: the gate reads nothing else, and
// every instance sees a change as fast as any other change of the record. The maintenance
// of the whole service is in the table tenancy_maintenance. Every instance reads that table
// each [GateOptions.Poll] and keeps what it read in memory. Before the first successful
// read the gate refuses every request; when a later read fails, it keeps what it knows.
//
// Maintenance in force is either closed or read-only. Read-only maintenance lets safe
// requests pass, in a context in which dbpool returns handles that cannot write. Where
// the tenant and the service are both under maintenance, a request must pass both.
//
// # Windows
//
// A window happens once, or repeats by a cron expression of five fields (minute, hour,
// day of the month, month, day of the week, where Sunday is 0 and 7) in a time zone. Its
// length is elapsed time, also when clocks change. When clocks skip the time of a rule,
// the window begins right after the gap; when they show it twice, there are two windows.
// Windows that overlap or touch count as one, and Retry-After says when that one ends. If
// it consists of more than a hundred windows, or never ends, Retry-After is
// [GateOptions.RetryAfter].
//
// Each instance uses its own clock and needs time zone data: where the system has none,
// import time/tzdata. A gate that cannot read a window takes it to be open.
//
// # Bypass
//
// [Scope.NewBypass] makes a secret; the record keeps its SHA-256 alone. A browser that
// opens the URL with the secret gets a cookie that is signed for this tenant and this
// maintenance, and expires. The secret is then in the browser's history and in the logs
// of proxies: send it in a form (POST) where that matters.
package maintenance
