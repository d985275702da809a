// Package wire is one physical connection, from its dial to its end: what database/sql gets of it, and
// how it is checked, cleaned, switched and closed. Who gets it is decided by package sched.
//
// A [Database] is one tenant's database at one server, whose [Engine] is what the author of an
// engine made, with what it can do. Its connections ([Conn]) have a place in the budget of that server (a [sched.Conn]).
//
//   - open.go dials, and asks the server which database that is and whose.
//   - allows.go keeps a handle of one tenant from answering in the context of another.
//   - conn.go, stmt.go, rows.go and tx.go pass on what database/sql asks. Each notes what a
//     statement may leave in the session (package sqltext) and what an error says of
//     the connection (failure.go), and tells the observer (observe.go).
//   - writer.go makes those wait for each other who write to a database that takes one writer at
//     a time.
//   - session.go cleans what statements left behind, when [Conn.Close] gives the connection back.
//   - check.go finds out whether a connection that was idle still lives.
//   - switch.go makes of a tenant's connection one of another tenant's, which must never have
//     had state.
//   - hangup.go closes a connection, and kills a session that the server runs on.
//   - fault.go says whether a failed dial is the database's fault or the server's.
package wire
