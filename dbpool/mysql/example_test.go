package mysql_test

import (
	"log"

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
