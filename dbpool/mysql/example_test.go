package mysql_test

import (
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
)

func ExampleNew() {
	engine, err := mysql.New("app:secret@tcp(db.internal:3306)/?tls=true", nil)
	if err != nil {
		log.Fatal(err)
	}
	pool, err := dbpool.New(map[string]driver.Engine{"maria-1": engine}, &dbpool.Options{Budget: 90})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
}

// An address that cannot be read is refused at once, and the error does not show it: a password may be in it.
func ExampleNew_malformed() {
	_, err := mysql.New("app:secret@db.internal:3306", nil)
	fmt.Println(errors.Is(err, tenancy.ErrInvalid), strings.Contains(err.Error(), "secret"))
	// Output: true false
}
