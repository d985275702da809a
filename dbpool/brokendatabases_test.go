package dbpool_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// account is an account of a server that may do little.
type account struct {
	server *tenancytest.Server
	name   string
	engine driver.Engine
	admin  *sqlx.DB
}

// newAccount makes an account on a PostgreSQL or MariaDB server. It is dropped when
// the test ends.
func newAccount(t *testing.T, s *tenancytest.Server) *account {
	t.Helper()
	a := &account{server: s, admin: s.Database(t)}
	a.name = "role_" + strings.ReplaceAll(string(tenancytest.NewTenant("x").ID), "-", "_")[:16]
	const password = "secret-of-a-test"
	dsn := ""
	var err error
	switch s.Name {
	case "postgres":
		a.admin.MustExec(fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD '%s'`, a.name, password))
		t.Cleanup(func() { a.admin.MustExec(`DROP ROLE ` + a.name) })
		u, e := url.Parse(s.DSN)
		if e != nil {
			t.Fatal(e)
		}
		u.User = url.UserPassword(a.name, password)
		dsn = u.String()
		a.engine, err = postgres.New(dsn, nil)
	case "mysql":
		a.admin.MustExec(fmt.Sprintf(`CREATE USER '%s'@'%%' IDENTIFIED BY '%s'`, a.name, password))
		t.Cleanup(func() { a.admin.MustExec(fmt.Sprintf(`DROP USER '%s'@'%%'`, a.name)) })
		_, rest, _ := strings.Cut(s.DSN, "@")
		dsn = a.name + ":" + password + "@" + rest
		if strings.Contains(s.DSN, "://") {
			scheme, _, _ := strings.Cut(s.DSN, "://")
			dsn = scheme + "://" + dsn
		}
		a.engine, err = mysql.New(dsn, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// mayUse lets the account use a tenant's database.
func (a *account) mayUse(t *tenancy.Tenant, in *sqlx.DB) {
	switch a.server.Name {
	case "postgres":
		in.MustExec(`GRANT SELECT ON tenancy_marker TO ` + a.name)
	case "mysql":
		a.admin.MustExec(fmt.Sprintf("GRANT ALL ON `%s`.* TO '%s'@'%%'", t.Placement.Database, a.name))
	}
}

// brokenDatabases are ways to break a single database, by engine.
var brokenDatabases = map[string]map[string]func(a *account, t *tenancy.Tenant, in *sqlx.DB){
	"postgres": {
		"takes no connections":   func(a *account, t *tenancy.Tenant, _ *sqlx.DB) { a.alter(t, `ALLOW_CONNECTIONS false`) },
		"takes none of the role": func(a *account, t *tenancy.Tenant, _ *sqlx.DB) { a.alter(t, `CONNECTION LIMIT 0`) },
		"CONNECT revoked": func(a *account, t *tenancy.Tenant, _ *sqlx.DB) {
			a.admin.MustExec(fmt.Sprintf(`REVOKE CONNECT ON DATABASE %q FROM PUBLIC`, t.Placement.Database))
		},
		"marker unreadable": func(a *account, _ *tenancy.Tenant, in *sqlx.DB) {
			in.MustExec(`REVOKE SELECT ON tenancy_marker FROM ` + a.name)
		},
		"marker with two rows": func(a *account, _ *tenancy.Tenant, in *sqlx.DB) {
			in.MustExec(`ALTER TABLE tenancy_marker RENAME TO before`)
			in.MustExec(`CREATE VIEW tenancy_marker AS SELECT tenant_id FROM before UNION ALL SELECT tenant_id FROM before`)
			in.MustExec(`GRANT SELECT ON tenancy_marker TO ` + a.name)
		},
		"a library that is gone": func(a *account, t *tenancy.Tenant, in *sqlx.DB) {
			in.MustExec(fmt.Sprintf(`ALTER ROLE %s IN DATABASE %q SET session_preload_libraries = 'no_such_library'`, a.name, t.Placement.Database))
		},
	},
	"mysql": {
		"no privilege": func(a *account, t *tenancy.Tenant, _ *sqlx.DB) {
			a.admin.MustExec(fmt.Sprintf("REVOKE ALL ON `%s`.* FROM '%s'@'%%'", t.Placement.Database, a.name))
		},
		"marker unreadable": func(a *account, t *tenancy.Tenant, in *sqlx.DB) {
			in.MustExec(`CREATE TABLE other (id INT)`)
			a.admin.MustExec(fmt.Sprintf("REVOKE ALL ON `%s`.* FROM '%s'@'%%'", t.Placement.Database, a.name))
			a.admin.MustExec(fmt.Sprintf("GRANT SELECT ON `%s`.other TO '%s'@'%%'", t.Placement.Database, a.name))
		},
		"marker with two rows": func(_ *account, _ *tenancy.Tenant, in *sqlx.DB) {
			in.MustExec(`RENAME TABLE tenancy_marker TO older`)
			in.MustExec(`CREATE VIEW tenancy_marker AS SELECT tenant_id FROM older UNION ALL SELECT tenant_id FROM older`)
		},
		"marker without its column": func(_ *account, _ *tenancy.Tenant, in *sqlx.DB) {
			in.MustExec(`ALTER TABLE tenancy_marker RENAME COLUMN tenant_id TO other`)
		},
		"marker without what it shows": func(_ *account, _ *tenancy.Tenant, in *sqlx.DB) {
			in.MustExec(`RENAME TABLE tenancy_marker TO older`)
			in.MustExec(`CREATE VIEW tenancy_marker AS SELECT tenant_id FROM older`)
			in.MustExec(`RENAME TABLE older TO oldest`)
		},
	},
	"sqlite": {
		"no database": func(a *account, t *tenancy.Tenant, _ *sqlx.DB) {
			a.write(t, []byte(strings.Repeat("this is no database ", 500)))
		},
		"damaged": func(a *account, t *tenancy.Tenant, _ *sqlx.DB) {
			path := a.file(t)
			data, err := os.ReadFile(path)
			if err != nil {
				panic(err)
			}
			for i := 100; i < len(data); i++ {
				data[i] = 0xff
			}
			a.write(t, data)
		},
		"a folder": func(a *account, t *tenancy.Tenant, _ *sqlx.DB) {
			a.remove(t)
			if err := os.Mkdir(a.file(t), 0o700); err != nil {
				panic(err)
			}
		},
		"marker without its column": func(_ *account, _ *tenancy.Tenant, in *sqlx.DB) {
			in.MustExec(`ALTER TABLE tenancy_marker RENAME COLUMN tenant_id TO other`)
		},
		"a link to nothing that may be": func(a *account, t *tenancy.Tenant, _ *sqlx.DB) {
			a.remove(t)
			if err := os.Symlink(filepath.Join(a.file(t), "x"), a.file(t)); err != nil {
				panic(err)
			}
		},
	},
}

func (a *account) alter(t *tenancy.Tenant, how string) {
	a.admin.MustExec(fmt.Sprintf(`ALTER DATABASE %q WITH %s`, t.Placement.Database, how))
}

func (a *account) file(t *tenancy.Tenant) string {
	return filepath.Join(a.server.DSN, t.Placement.Database+".db")
}

func (a *account) remove(t *tenancy.Tenant) {
	for _, ending := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(a.file(t) + ending)
	}
}

func (a *account) write(t *tenancy.Tenant, data []byte) {
	a.remove(t)
	if err := os.WriteFile(a.file(t), data, 0o600); err != nil {
		panic(err)
	}
}

// tenant makes a tenant, and lets fn do something in its database.
func (a *account) tenant(t *testing.T, fn func(tenant *tenancy.Tenant, in *sqlx.DB)) *tenancy.Tenant {
	t.Helper()
	tenant := a.server.Tenant(t, "acme")
	pool, err := dbpool.New(map[string]driver.Engine{a.server.Name: a.server.Engine}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	db, err := pool.For(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	a.mayUse(tenant, db)
	if fn != nil {
		fn(tenant, db)
	}
	return tenant
}

// Whatever is wrong with single databases, other tenants of the server get their
// first connections.
func TestBrokenDatabasesTroubleNobodyElse(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		a := &account{server: s, engine: s.Engine}
		if s.Name != "sqlite" {
			a = newAccount(t, s)
		}
		pool, err := dbpool.New(map[string]driver.Engine{s.Name: a.engine}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pool.Close() })
		ping := func(tenant *tenancy.Tenant) error {
			db, err := pool.For(t.Context(), tenant)
			if err != nil {
				t.Fatal(err)
			}
			return db.PingContext(t.Context())
		}
		var broken, healthy []*tenancy.Tenant
		for name, breakIt := range brokenDatabases[s.Name] {
			tenant := a.tenant(t, func(tenant *tenancy.Tenant, in *sqlx.DB) { breakIt(a, tenant, in) })
			t.Cleanup(func() { a.mend(t, tenant) })
			broken = append(broken, tenant)
			if err := ping(tenant); err == nil {
				t.Errorf("%s: got no error", name)
			} else {
				t.Logf("%s: %v", name, err)
			}
			if st := pool.Stat(s.Name); st.Breaker != "closed" {
				t.Errorf("%s: got the server's breaker %s", name, st.Breaker)
			}
		}
		for range 5 {
			healthy = append(healthy, a.tenant(t, nil))
		}
		for i, tenant := range healthy {
			for _, b := range broken {
				if ping(b) == nil {
					t.Error("a broken database: got no error")
				}
			}
			if err := ping(tenant); err != nil {
				t.Errorf("healthy tenant %d: %v", i, err)
			}
		}
	})
}

// mend makes a database one that can be dropped again.
func (a *account) mend(t *testing.T, tenant *tenancy.Tenant) {
	switch a.server.Name {
	case "postgres":
		a.admin.MustExec(fmt.Sprintf(`DROP DATABASE %q WITH (FORCE)`, tenant.Placement.Database))
	case "mysql":
		a.admin.MustExec(fmt.Sprintf("DROP DATABASE `%s`", tenant.Placement.Database))
	case "sqlite":
		if err := os.RemoveAll(a.file(tenant)); err != nil {
			t.Error(err)
		}
		a.remove(tenant)
	}
}
