package main

import (
	"errors"
	"strings"

	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
)

// engineOf returns what makes tenants' databases, and a name for it: SQLite files in
// the folder if there is no URL of a server.
func engineOf(folder, server string) (name string, engine driver.Engine, err error) {
	switch scheme, _, _ := strings.Cut(server, "://"); scheme {
	case "":
		engine, err = sqlite.New(folder)
		return "sqlite", engine, err
	case "postgres", "postgresql":
		engine, err = postgres.New(server, nil)
		return "postgres", engine, err
	case "mysql", "mariadb":
		engine, err = mysql.New(server, nil)
		return "mysql", engine, err
	}
	return "", nil, errors.New("-server: want a URL like postgres://user:password@host/ or mysql://user:password@host/")
}
