package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
)

// Each tenant's database is a file in the folder, and says itself whose it is.
func ExampleNew() {
	dir := tenancy.Must(os.MkdirTemp("", ""))
	defer func() { _ = os.RemoveAll(dir) }()
	engine := tenancy.Must(sqlite.New(dir))
	ctx := context.Background()
	if err := engine.Create(ctx, "acme", "t1"); err != nil {
		log.Fatal(err)
	}

	connector := tenancy.Must(engine.Connector("acme"))
	conn := tenancy.Must(connector.Connect(ctx))
	defer func() { _ = conn.Close() }()
	fmt.Println(engine.Identify(ctx, conn))

	err := engine.Drop(ctx, "acme", "t2") // which is another tenant
	fmt.Println(errors.Is(err, tenancy.ErrForbidden))
	// Output:
	// {acme t1} <nil>
	// true
}
