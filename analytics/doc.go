// Package analytics measures what tenants use, and reports it. A figure says how it was
// obtained ([Figure]); one that was not measured is absent.
//
//	store, err := analytics.NewSQL(db, nil)        // store.Migrate(ctx)
//	rec, err := analytics.NewRecorder(store, nil)  // in every instance: go rec.Run(ctx)
//	reports, err := analytics.NewReports(store, &analytics.ReportsOptions{Catalog: cat})
//	cat.Watch(func(ctx context.Context, c catalog.Change) { rec.Changed(ctx, c.Before, c.After, c.Err) })
//	http.ListenAndServe(addr, rec.Handler(standard(mux))) // rec.Handler is outermost
//	o, err := reports.Overview(ctx, tenancy.ByTags("eu"))
//
// # What is counted
//
// For each tenant and minute a [Recorder] keeps the columns that [Columns] lists, and
// latencies in buckets that can be merged: percentiles are never made from averages. It
// writes what an instance has counted in a minute so far, so that writing again, or late,
// changes nothing. A process that is killed loses what it counted since its last flush.
// Requests and jobs without a tenant count for the [Application].
//
// Of each tenant requests are also counted by the pattern of their route, as [http.ServeMux]
// says it: see [Reports.Patterns]. [Recorder.Attach] counts memory.
//
// [Recorder.Note] and [Recorder.Login] record activities, with the actor and the request of
// the context: package middleware's RequestID puts the request there. A [Keeper] rolls
// counts up, removes what is old, and measures databases. Call [Recorder.Forget]
// when a tenant is purged, and [Recorder.Delivered] with the events of a catalog.Outbox: a catalog
// reports the changes of its own process alone.
//
// Of each tenant the 20 statements with the longest executions in an hour are kept, without
// their literals: see [StatementReport]. [Reports.Performance] and [Reports.Tenant] show them.
//
// As dbpool.Options.Observer a recorder counts statements, waits for connections and the time
// that connections are held. A statement counts for the tenant that owns the database, a
// wait for the tenant of the context that asked. Waits of work in the background
// (dbpool.LowPriority) count for the application.
//
// Processor time is estimated: the time of a request's handler, from when its tenant is known, or
// of a job, less the waits that are known: for connections, for statements on a server, for
// the client, and what [Waiting] and [Transport] mark. A statement of SQLite is work of this process. If
// the estimates exceed what the process used, all become smaller; the rest of that counts
// for [Unattributed]. A stream counts until its first flush, and a request without a tenant
// does not.
//
// # Reports
//
// [Reports] read a [Source]. Every report takes a [tenancy.Scope], and neither its
// totals nor its lists depend on a tenant that is not in it.
//
//   - [Reports.Overview], [Reports.Tenants] and [Reports.Tenant]: what operators look at first
//   - [Reports.Series], [Reports.Trend], [Reports.Spread], [Reports.Forecast], [Reports.Storage]: over time, and to come
//   - [Reports.Top], [Reports.Compare], [Reports.ComparePeriods], [Reports.Performance], [Reports.Neighbours]:
//     tenants beside others, and beside themselves before
//   - [Reports.Patterns]: routes; [Reports.Memory]: memory
//   - [Reports.Months] and the exports: for bills and for other programs
//   - [Reports.Activities] and [Reports.Logins]: who did what, and who logged in
//
// With many tenants, reports of the last hour, day, 7, 30 and 90 days read sums that the
// keeper prepares; the period in the report says when these sums end. See
// [SQLOptions.SumsAbove].
//
// Callers who ask for the same at about the same time share an answer: see
// [ReportsOptions.Share].
//
// # Live
//
// With a [Feed] in the options of the recorders and of the reports, and [Reports.Run],
// [Reports.Live] shows the rates of the last two seconds, over all instances. Instances
// say what they do only while somebody watches.
package analytics
