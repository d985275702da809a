package main

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
)

var errURL = errors.New("want a URL like postgres://user:password@host/ or mysql://user:password@host/")

// filesServer says in place of a URL that tenants' databases are files in --data, although none is there.
const filesServer = "files"

// engineOf returns what makes tenants' databases.
func engineOf(where places) (driver.Engine, error) {
	switch scheme(where.server) {
	case "", filesServer:
		return sqlite.New(filepath.Join(where.data, "tenants"))
	case "postgres":
		return postgres.New(where.server, nil)
	case "mysql":
		return mysql.New(where.server, nil)
	}
	return nil, errURL
}

// catalogDatabase opens the database of the catalog and of runs. The URL of a server has
// the database's name as its path.
func catalogDatabase(where places) (*sqlx.DB, error) {
	path := func() (server, database string) {
		server, rest, _ := strings.Cut(where.catalog, "?")
		i := strings.LastIndexByte(server, '/')
		database, server = server[i+1:], server[:i+1]
		if rest != "" {
			server += "?" + rest
		}
		return server, database
	}
	var engine driver.Engine
	var err error
	switch scheme(where.catalog) {
	case "":
		return sqlite.Open(filepath.Join(where.data, "catalog.db"))
	case "postgres":
		server, _ := path()
		engine, err = postgres.New(server, nil)
	case "mysql":
		server, _ := path()
		engine, err = mysql.New(server, nil)
	default:
		return nil, errURL
	}
	if err != nil {
		return nil, err
	}
	_, database := path()
	connector, err := engine.Connector(database)
	if err != nil {
		return nil, err
	}
	return sqlx.NewDb(sql.OpenDB(connector), engine.DriverName()), nil
}

func scheme(url string) string {
	name, _, ok := strings.Cut(url, "://")
	switch {
	case url == "", url == filesServer:
		return url
	case ok && (name == "postgres" || name == "postgresql"):
		return "postgres"
	case ok && (name == "mysql" || name == "mariadb"):
		return "mysql"
	}
	return "unknown"
}
