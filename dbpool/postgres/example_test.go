package postgres_test

import (
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
)

// The account may make databases; the DSN's own database holds none of a tenant's tables.
func ExampleNew() {
	engine, err := postgres.New("postgres://app:secret@db.internal:5432/postgres?sslmode=verify-full", nil)
	if err != nil {
		log.Fatal(err)
	}
	pool, err := dbpool.New(map[string]driver.Engine{"pg-1": engine}, &dbpool.Options{Budget: 90})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
}

// An address that cannot be read is refused at once, and the error does not show it: a password may be in it.
func ExampleNew_malformed() {
	_, err := postgres.New("postgres://app:secret@db.internal:port/postgres", nil)
	fmt.Println(errors.Is(err, tenancy.ErrInvalid), strings.Contains(err.Error(), "secret"))
	// Output: true false
}
