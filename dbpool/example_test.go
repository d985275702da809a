package dbpool_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
)

// newExample returns a pool over a folder of SQLite files, and a context of each of two
// tenants whose databases are there.
func newExample() (pool *dbpool.Pool, acme, globex context.Context, end func()) {
	dir := tenancy.Must(os.MkdirTemp("", ""))
	engine := tenancy.Must(sqlite.New(dir))
	pool = tenancy.Must(dbpool.New(map[string]driver.Engine{"main": engine}, &dbpool.Options{Budget: 10}))
	var contexts []context.Context
	for _, name := range []string{"acme", "globex"} {
		t := &tenancy.Tenant{ID: tenancy.ID(name), Slug: name, Placement: tenancy.Placement{Server: "main", Database: name}}
		if err := pool.Create(context.Background(), t); err != nil {
			log.Fatal(err)
		}
		contexts = append(contexts, tenancy.NewContext(context.Background(), t))
	}
	return pool, contexts[0], contexts[1], func() {
		_ = pool.Close()
		_ = os.RemoveAll(dir)
	}
}

// The context says whose database a statement reaches.
func ExamplePool_DB() {
	pool, acme, globex, end := newExample()
	defer end()
	for _, ctx := range []context.Context{acme, globex} {
		db, err := pool.DB(ctx)
		if err != nil {
			log.Fatal(err)
		}
		db.MustExecContext(ctx, `CREATE TABLE notes (body TEXT)`)
	}

	db, _ := pool.DB(acme)
	db.MustExecContext(acme, `INSERT INTO notes VALUES ('only acme has this')`)

	db, _ = pool.DB(globex)
	var n int
	if err := db.GetContext(globex, &n, `SELECT count(*) FROM notes`); err != nil {
		log.Fatal(err)
	}
	fmt.Println("globex has", n, "notes")

	// A handle that is kept serves its own tenant alone.
	err := db.GetContext(acme, &n, `SELECT count(*) FROM notes`)
	fmt.Println("with acme's context:", errors.Is(err, tenancy.ErrForbidden))
	// Output:
	// globex has 0 notes
	// with acme's context: true
}

// A transaction is committed when the function returns nil.
func ExamplePool_Tx() {
	pool, acme, _, end := newExample()
	defer end()
	err := pool.Tx(acme, nil, func(tx *sqlx.Tx) error {
		tx.MustExecContext(acme, `CREATE TABLE notes (body TEXT)`)
		return errors.New("no, not this")
	})
	fmt.Println(err)
	db, _ := pool.DB(acme)
	var n int
	_ = db.GetContext(acme, &n, `SELECT count(*) FROM sqlite_master WHERE name = 'notes'`)
	fmt.Println("tables:", n)
	// Output:
	// no, not this
	// tables: 0
}

// Work that nobody waits for gets connections when no request wants them.
func ExampleLowPriority() {
	pool, acme, _, end := newExample()
	defer end()
	report := dbpool.LowPriority(acme)
	err := pool.With(report, func(c *sqlx.Conn) error {
		var one int
		return c.GetContext(report, &one, `SELECT 1`)
	})
	fmt.Println(dbpool.IsLowPriority(report), err)
	// Output: true <nil>
}

// Stat says whether the budget is large enough.
func ExamplePool_Stat() {
	pool, acme, _, end := newExample()
	defer end()
	db, _ := pool.DB(acme)
	for range 100 {
		db.MustExecContext(acme, `SELECT 1`)
	}
	s := pool.Stat("main")
	fmt.Printf("%d requests, %d dials, %d of %d connections\n", s.Requests, s.Dials, s.Conns, s.Budget)
	// Output: 100 requests, 1 dials, 1 of 10 connections
}
