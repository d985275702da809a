// Package runs does work over many tenants that a crash cannot lose.
//
//	runner, err := runs.New(db, cat, &runs.Options{Tasks: runs.Tasks{"migrate": migrator.Task()}}) // go runner.Run(ctx)
//	...
//	plan, err := runner.Plan(ctx, "migrate", runs.Spec{Filter: "status:active", Waves: runs.Waves{Canary: 5, Then: "25%"}, Parallel: 8})
//	run, err := runner.Start(ctx, plan.ID)                    // exactly the tenants that the plan showed
//	for p, err := range runner.Follow(ctx, run.ID) { … }      // progress, from any process
//
// A run is rows in a SQL database: one for the run, one for each of its waves and one
// for each tenant. [Runner.Plan] finds the tenants and freezes the set; nothing is
// done to a tenant that the plan did not have. When a tenant's turn comes, its record
// is read again: a tenant that is gone, that the filter does not select any more, or
// that the task cannot take is skipped, and the reason is kept.
//
// # States
//
//	planned            → running             Start
//	                   → cancelled           Cancel; a plan that nobody starts is removed
//	running            → paused              Pause; approval or a pause between two waves
//	                   → stopped             a failure in the canary; the failure budget is used up
//	                   → cancelled           Cancel
//	                   → done                all tenants are done or skipped
//	                   → done_with_failures  all tenants are done, skipped or failed
//	paused             → running             Resume; the pause between two waves is over
//	                   → cancelled           Cancel
//	stopped            → running             Resume: the failures until now are forgiven; Retry
//	                   → cancelled           Cancel
//	done_with_failures → running             Retry: the failed tenants alone
//
// Any other change is an error that wraps [tenancy.ErrInvalid]. A tenant in a run is
// pending, working, done, failed, skipped or cancelled; see [TenantState].
//
// # What is promised
//
// A task is done at least once for each tenant of a run that ends, and never by two
// instances at a time while leases hold. Each instance that works holds and renews one
// lease, and the tenants that it claims belong to that lease. When an instance dies, the
// others take over its tenants after [Options.Lease], as another attempt. An
// instance that cannot renew its lease ends the contexts of its tasks before the lease
// ends, and the database refuses what it writes about runs afterwards: each
// transaction checks and locks the lease. Only the database's clock decides. What a
// task writes elsewhere it must protect itself, with [tenancy.Attempt.Fence].
//
// A task that does not return in time is that tenant's failure, and so are an error
// and a panic. A task that ignores the end of its context may then still be working
// when the tenant is tried again. A tenant on which five instances died has failed.
//
// # Schedules
//
// A [Schedule] in [Options.Schedules] is a run that is planned and started again and
// again: by a cron expression in a time zone, by whichever instance comes first, once for
// each time. While the run before has not ended, a time is left out.
//
// # Who does the work
//
// Each instance works on what it has claimed, in goroutines of its own. An application that
// has an engine for jobs may give that work to it with [Options.Executor]: the runner claims
// tenants and makes tickets of them, the engine keeps the tickets and calls [Runner.Do] with
// each, in whichever process. Package maintenance/riverrun does so with River. The promise
// stays the same: a tenant belongs to the instance in which Do runs, and to its lease, and a
// ticket counts once.
//
// # Work beside requests
//
// Give [Options.Context] dbpool.LowPriority, so that requests come first.
package runs
