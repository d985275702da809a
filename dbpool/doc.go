// Package dbpool hands out the database of the tenant that a context carries,
// over a true budget of connections to each server.
//
//	pool, err := dbpool.New(map[string]driver.Engine{"main": engine}, &dbpool.Options{Budget: 90})
//	...
//	db, err := pool.DB(ctx) // in a handler behind middleware.Tenant
//
// The tenant's [tenancy.Placement] names a server and a database; the application maps
// the server's name to an [driver.Engine], which knows the address and the
// credentials. Each physical connection is checked when it is made, or switched to
// another database, against the server's own answer to which database it is and
// whose: the wrong one is closed, logged at level error, and reported as an [*IdentityError].
//
// # Connections
//
// A handle is a *sqlx.DB that keeps no connection of its own. For each query or
// transaction it takes one from the pool and gives it back afterwards. So a handle may be
// kept, as the *sqlx.DB that it is, but asking the pool at each request costs little and is
// always right: a handle ends when the tenant moves to an engine with another driver, and
// with [Pool.Close]; after [Pool.Forget] the garbage collector closes it when nobody holds
// the *sqlx.DB any more. While a handle is not used it costs some 3.5 KB of memory, and a
// goroutine of database/sql that sleeps: 70 MB for 20,000 tenants. The pool keeps the handle of each tenant that was asked for, until
// [Pool.Forget] or [Pool.Close]. A purge forgets the tenant in the process that does it; the
// others hear of it by cache.Cache.WatchRemoved. A prepared statement is prepared again for each use; drivers
// that cache statements by their text make plain queries the better choice.
//
// There are never more than [Options.Budget] connections to a server, counted
// from before one is dialled until after it is closed. A request takes an idle
// connection of its tenant, or waits, and is served by whichever comes first: a
// connection that its tenant gives back, or a new one that is dialled in the
// background. When the budget is used up, a new one takes the place of the idle
// connection that is least worth keeping; one in use is never taken. On engines that
// can (a [driver.Switcher], such as MariaDB's) that connection is not closed, but switched to the
// other database with a new session, and checked as one that is new; it must never
// have had state. Connections end after [Options.MaxLifetime] and
// [Options.MaxIdleTime], too. Dials go where most requests wait, but no tenant is passed
// by for longer than twice what taking turns would cost it.
//
// A connection that ends while it is used fails its statement with an error that
// wraps [tenancy.ErrUnavailable]: nobody knows whether the statement was executed,
// so it is not repeated, and the application decides. A statement that was certainly
// not executed is repeated on another connection, outside of transactions and of
// [Pool.With]. A call of a procedure and a text of several statements are not, where the
// error is the server's answer: a part of them may have been executed.
//
// A wait ends with the request's context, or after [Options.MaxWait]; then, and
// when the queue is full or the wait would outlast the request's deadline, the
// error is a [*BusyError]. Work in a [LowPriority] context waits behind requests, those of other
// tenants too: where they want its slot, the connection it gives back does not go to more of that work.
//
// # What does not answer
//
// A database whose connection failed is not dialled again for a while, nor is any of
// a server that failed for three tenants in a row: requests get a [*DownError] at
// once, and one dial at a time finds out when it works again. An error about one
// database does not count against its server; where the code of an error is not
// clear, the pool asks the server over its own database (see [driver.FaultClassifier]). A tenant
// that fails again and again counts once.
//
// # Broken off statements
//
// A statement whose context ends is cancelled on the server. PostgreSQL's
// connection lives on. MySQL and MariaDB run the statement to its end, though the
// connection is closed; so the pool ends the session with KILL, over a connection
// to the same server that is idle or that comes back, and its slot of the budget
// is free when the server does not list it any more: some milliseconds later, or
// when its transaction is rolled back.
//
// If there is a free slot, a connection is dialled for that. If there is none, and
// no connection comes back within a quarter of a second or none is in use, one is
// dialled beyond the budget, and closed when nothing is left to end; there is
// never a second one. A session that the server has not ended after ten minutes is
// logged at level error, and its slot is free then; so is, after a second, that of
// a connection whose check was broken off, and of one to the server itself that
// asks how far a read replica is. [Pool.Close] waits five seconds for such sessions.
//
// A server may list a session for a few milliseconds after it has ended it.
//
// # Instances of the application
//
// Each instance of the application has a pool, and a server's limit is for all of them.
// Divide it: a budget for each. Or let them share a part: with an
// [Options.Lender], such as that of the package lease over Redis, an instance that
// is busy has, beyond its own budget, what the others do not use of
// [Options.Shared]. For a server that allows 100 connections and up to four
// instances, Budget 10 and Shared 50 leave ten for everybody else.
//
// Loans end with their instance. One that cannot reach its lender comes down to
// its own budget before they end, but a query that runs longer than the rest of
// the loan keeps its connection.
//
// # Sessions
//
// What a statement may leave in its session (settings, temporary tables, locks,
// an open transaction) does not reach the next user of the connection: where the
// text of a statement shows that it may leave something, the session is cleaned
// when the connection comes back, or the connection closed on engines that have
// no way to. What triggers, views, casts, operators and overloads of the server's own
// functions do does not show in the text, nor that t.f calls a function on PostgreSQL.
// Values that a server keeps of an earlier statement, such as LAST_INSERT_ID(), may
// be those of an earlier request of the same tenant, never of another: read them in the
// transaction that made them.
//
// # Time
//
// Waiting for a connection, checks, cleaning and rollbacks have bounds of their own. A
// statement or a commit lasts as long as its context: a server that has stopped
// answering, while its machine still does, is waited for until then, and forever in a
// context that does not end. Give every context a deadline, those of jobs too.
//
// # What the figures say
//
// [Pool.Stat], [Pool.Handler] and the metrics have the same figures. Counters
// count since the pool was made: look at their growth.
//
//   - Dials per request ([Stat.DialsPerRequest]) near 0: the tenants that are busy
//     at a time fit into the budget. Above 0.1: they do not, and each request that
//     dials costs the server as much as ten to a hundred queries. Raise the budget and
//     the server's limit, spread tenants over more servers, or lend instances more;
//     nothing in the application's code helps.
//   - Evictions grow as fast as dials: the same. Dials grow and evictions do not:
//     sessions are closed because of what statements leave in them (MySQL, under
//     TLS MariaDB, and SQLite), or the server closes idle connections before the
//     pool does.
//   - Switches are evictions without a dial: the busy tenants do not fit into the
//     budget either, but that costs the server no more than a few queries.
//     Evictions grow faster than switches and dials as fast as the rest: sessions
//     have had state, or see the engine's package for what it cannot switch.
//   - Waits grow while dials do not: a few tenants want more connections than
//     [Options.MaxConns], or hold them for long. Look for them in [Pool.Tenants],
//     and for transactions that wait for something else than the database.
//   - In use is at the budget for long: work holds connections. A larger budget
//     helps only if the server has processors for it, some two to four
//     connections for each.
//   - Refused or gave up above 0: requests were answered 503. Their [*BusyError]
//     says why.
//   - Failures above 0, or a breaker open: the server refuses connections. With
//     "too many clients", somebody else takes them: the budgets of all instances,
//     and what administrators use, must fit into the server's limit.
//   - A read replica's lag above [Options.MaxLag]: readers use the primary.
//
// # Metrics
//
// With an [Options.MeterProvider] there are, by db.client.connection.pool.name,
// which is the server's name: db.client.connection.count (by
// db.client.connection.state: idle, used, dialing), .max, .pending_requests,
// .timeouts, .create_time and .wait_time (seconds; of requests that found no idle
// connection), as in OpenTelemetry's semantic conventions; and
// tenancy.dbpool.requests, .waits, .hand_overs, .refused, .dials, .dial.failures,
// .evictions, .switches, .borrowed. By tenancy.server: tenancy.dbpool.breaker (1 is open) and
// .replica.lag (seconds). No tenant is named, unless [Options.TenantMetrics] asks for
// it: then there are, by tenancy.server and tenancy.tenant.id,
// tenancy.dbpool.tenant.connections and .pending_requests of the busiest.
//
// # Spans
//
// A request that has to wait for a connection does so in the span
// tenancy.dbpool.acquire, with tenancy.tenant.id and tenancy.server, a child of its
// context's span and by that span's provider.
//
// # How it works inside
//
// Five nouns, from the outside in, in three packages:
//
//   - A pool ([Pool]) has the servers, by name, and a handle for each tenant that was asked for.
//   - A handle (handle.go) is a tenant's *sqlx.DB. database/sql keeps no connection for it, and
//     asks its connector (connector.go) for one at each statement. The connector points to the
//     tenant's database (wire.Database), which has a lane.
//   - A lane (sched.Lane) is one tenant's way to one server: its idle connections, and the
//     requests that wait. A tenant that moves gets a new lane; the old one sends its waiters on and
//     closes what comes back.
//   - A budget (sched.Budget) has the slots of a server and the lock of all its lanes.
//   - A connection (wire.Conn) is what database/sql gets. It has a place in the budget (sched.Conn),
//     and its Close gives it back.
//
// Package internal/sched decides who gets the next connection, and says in its package comment who
// that is and why. It knows no database: it is given what dials, switches and hangs up, and has
// tests that need none. Package internal/wire is one physical connection: it dials and checks, passes
// statements on, notes what they leave behind (internal/sqltext), classifies errors, cleans, switches
// and closes. This package is what applications see: it knows tenants' records, servers and
// read replicas, asks lenders, and reports figures. It imports the other two, and wire imports sched;
// none imports what is above it.
//
// Rules that all of this keeps: a slot is counted before the dial begins and until the server has
// no session of the connection any more; no lock is held across I/O; a connection has one owner at
// a time, which is a request, the budget (idle), or a task; a connection is checked before its first
// use in a lane; and a statement that may have been sent is never repeated.
package dbpool
