package lease_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/redis/rueidis"

	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/lease"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
)

// Each instance of the application makes a lender on a client of the Redis that all share.
// Of a server that allows 100 connections, each of up to four instances has ten for
// itself, and all share fifty.
func ExampleNewRedis() {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"redis.internal:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	lender, err := lease.NewRedis(client, "shop", nil) // or what Catalog.Namespace returns
	if err != nil {
		log.Fatal(err)
	}
	engine, err := postgres.New("postgres://shop@db.internal/postgres", nil)
	if err != nil {
		log.Fatal(err)
	}
	pool, err := dbpool.New(map[string]driver.Engine{"main": engine}, &dbpool.Options{Budget: 10, Lender: lender, Shared: 50})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	// Borrows until the context ends, then gives everything back.
	if err := pool.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

// Two pools of one process share ten connections.
func ExampleMemory() {
	shared := lease.NewMemory(10 * time.Second)
	first, second := shared.Instance(), shared.Instance()
	show := func(name string, l dbpool.Lender, keep, want int) {
		loan, err := l.Borrow(context.Background(), dbpool.BorrowRequest{Server: "main", Total: 10, Keep: keep, Want: want})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s keeps %d, wants %d: may hold %d, should come down to %d\n", name, keep, want, loan.Granted, loan.Share)
	}
	show("first", first, 0, 8)
	show("second", second, 0, 8)
	show("first", first, 8, 8)
	show("first", first, 5, 8)
	show("second", second, 2, 8)
	// Output:
	// first keeps 0, wants 8: may hold 8, should come down to 8
	// second keeps 0, wants 8: may hold 2, should come down to 2
	// first keeps 8, wants 8: may hold 8, should come down to 5
	// first keeps 5, wants 8: may hold 5, should come down to 5
	// second keeps 2, wants 8: may hold 5, should come down to 5
}
