package tenancytest

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
)

// Environment variables with the DSNs of the servers that tests may make
// databases on, in the forms that postgres.New and mysql.New take, and of the
// Redis that they may make keys in, as a redis:// URL. Without one, the tests on
// that engine are skipped; with RequireEnv set to anything, they fail instead.
const (
	PostgresEnv = "TENANCY_TEST_POSTGRES"
	MySQLEnv    = "TENANCY_TEST_MYSQL"
	RedisEnv    = "TENANCY_TEST_REDIS"
	RequireEnv  = "TENANCY_TEST_REQUIRE"
)

// Server is a database server for tests.
type Server struct {
	// Name is sqlite, postgres or mysql; placements of tenants made here have it.
	Name string
	// DSN is the server's address, or the folder of SQLite's files.
	DSN string
	// Engine has the ability [driver.Databases].
	Engine driver.Engine
}

// EachEngine runs fn as a parallel subtest on every engine: on SQLite always,
// in a folder of its own, on the others where the environment names a server.
func EachEngine(t *testing.T, fn func(t *testing.T, s *Server)) {
	t.Helper()
	for _, name := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t, NewServer(t, name))
		})
	}
}

// NewServer returns the server of that name: sqlite, postgres or mysql.
func NewServer(t testing.TB, name string) *Server {
	t.Helper()
	s := &Server{Name: name}
	var err error
	switch name {
	case "sqlite":
		s.DSN = t.TempDir()
		s.Engine, err = sqlite.New(s.DSN)
	case "postgres":
		s.DSN = dsn(t, PostgresEnv)
		s.Engine, err = postgres.New(s.DSN, nil)
	case "mysql":
		s.DSN = dsn(t, MySQLEnv)
		s.Engine, err = mysql.New(s.DSN, nil)
	default:
		t.Fatalf("tenancytest: no engine is called %q", name)
	}
	if err != nil {
		t.Fatalf("tenancytest: %v", err)
	}
	return s
}

func dsn(t testing.TB, env string) string {
	t.Helper()
	v := os.Getenv(env)
	if v == "" && os.Getenv(RequireEnv) != "" {
		t.Fatalf("tenancytest: %s is not set, and %s asks for it", env, RequireEnv)
	}
	if v == "" {
		t.Skipf("tenancytest: set %s to the URL of a server to run this test", env)
	}
	return v
}

// Pool returns a pool over this server alone, which is closed when the test
// ends. Nil options are the defaults.
func (s *Server) Pool(t testing.TB, opts *dbpool.Options) *dbpool.Pool {
	t.Helper()
	p, err := dbpool.New(map[string]driver.Engine{s.Name: s.Engine}, opts)
	if err != nil {
		t.Fatalf("tenancytest: %v", err)
	}
	t.Cleanup(func() { _ = p.Close() }) // the tenants' databases may be gone by then
	return p
}

// Tenant returns an active tenant whose database is here, new and empty. It is
// dropped when the test ends.
func (s *Server) Tenant(t testing.TB, slug string) *tenancy.Tenant {
	t.Helper()
	tenant := NewTenant(slug)
	tenant.Placement.Server = s.Name
	d, ok := s.Engine.(driver.Databases)
	if !ok {
		t.Fatalf("tenancytest: %s cannot make databases", s.Name)
	}
	if err := d.Create(t.Context(), tenant.Placement.Database, tenant.ID); err != nil {
		t.Fatalf("tenancytest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		err := d.Drop(ctx, tenant.Placement.Database, tenant.ID)
		if err != nil && !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("tenancytest: dropping: %v", err)
		}
	})
	return tenant
}

// Database returns a handle to a new and empty database, such as one for a
// catalog. It is closed and dropped when the test ends.
func (s *Server) Database(t testing.TB) *sqlx.DB {
	t.Helper()
	tenant := s.Tenant(t, "database") // dropped after the pool is closed
	db, err := s.Pool(t, &dbpool.Options{MaxConns: 10}).For(t.Context(), tenant)
	if err != nil {
		t.Fatalf("tenancytest: %v", err)
	}
	return db
}
