package dbpool_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/dbpool/mysql"
	"github.com/artflow-studio/tenancy/dbpool/postgres"
	"github.com/artflow-studio/tenancy/dbpool/sqlite"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// No error, log or formatted value shows the password of a DSN, be it well
// formed, malformed, or refused by the server.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	newPostgres := func(dsn string) (driver.Engine, error) {
		return postgres.New(dsn, &postgres.Options{ConnectTimeout: time.Second})
	}
	newMySQL := func(dsn string) (driver.Engine, error) {
		return mysql.New(dsn, &mysql.Options{ConnectTimeout: time.Second})
	}
	for _, tt := range []struct {
		open      func(string) (driver.Engine, error)
		dsn       string
		malformed bool
	}{
		{newPostgres, "postgres://app:hunter2@127.0.0.1:1/postgres", false},
		{newPostgres, "host=127.0.0.1 port=1 user=app password=hunter2 dbname=postgres", false},
		{newPostgres, "postgres://app:hunter2/x@127.0.0.1:1/postgres", true},
		{newPostgres, "postgres://app:%zzhunter2@127.0.0.1/postgres", true},
		{newPostgres, "host=127.0.0.1 port=x password='hunter2", true},
		{newPostgres, "postgres://app:hunter2@127.0.0.1/postgres?sslmode=odd", true},
		{newMySQL, "app:hunter2@tcp(127.0.0.1:1)/", false},
		{newMySQL, "mysql://app:hunter2@127.0.0.1:1/", false},
		{newMySQL, "app:hunter2@tcp(127.0.0.1:1", true},
		{newMySQL, "app:hunter2@tcp(127.0.0.1:1)", true},
		{newMySQL, "mysql://app:%zzhunter2@127.0.0.1/", true},
		{newMySQL, "mysql://app:hunter2@127.0.0.1:x/", true},
		{newMySQL, "mysql://app:hunter2@127.0.0.1/?parseTime=hunter2", true},
		{newMySQL, "mysql:///x?hunter2", true},
	} {
		engine, err := tt.open(tt.dsn)
		if tt.malformed {
			if !errors.Is(err, tenancy.ErrInvalid) || strings.Contains(err.Error(), secret) {
				t.Errorf("%q: got %v, want ErrInvalid without the password", tt.dsn, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tt.dsn, err)
			continue
		}
		var log bytes.Buffer
		pool, err := dbpool.New(map[string]driver.Engine{"": engine}, &dbpool.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		tenant := tenancytest.NewTenant("acme")
		db, err := pool.For(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		errs := []error{db.PingContext(t.Context()), pool.Create(t.Context(), tenant), pool.Drop(t.Context(), archived(tenant))}
		for _, err := range errs {
			if !errors.Is(err, tenancy.ErrUnavailable) {
				t.Errorf("%q: got %v, want ErrUnavailable", tt.dsn, err)
			}
		}
		if seen := fmt.Sprintf("%v %+v %s", errs, errs, &log); strings.Contains(seen, secret) {
			t.Errorf("%q: the password is in %q", tt.dsn, seen)
		}
	}
}

// A wrong password is refused by a real server, and not shown.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "mysql")
	_, address, ok := strings.Cut(s.DSN, "@")
	if !ok {
		t.Fatalf("got DSN without an account")
	}
	engine, err := mysql.New("mysql://nobody:hunter2@"+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = engine.Create(t.Context(), "x", "x")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v, want an error without the password", err)
	}
}

// Names that are no names of databases reach no server and no file.
func TestNamesAreStrict(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		d := s.Engine.(driver.Databases)
		for _, name := range []string{
			"", "..", "../x", "a/b", `a"; DROP DATABASE x; --`, "a`b", "a b", "A", "a.b", "-a", "ä", "a\x00b", strings.Repeat("a", 64),
			"postgres", "template1", "mysql", "information_schema",
		} {
			_, connect := s.Engine.Connector(name)
			for what, err := range map[string]error{
				"Connector": connect, "Create": d.Create(t.Context(), name, "x"),
				"Claim": d.Claim(t.Context(), name, "x"), "Drop": d.Drop(t.Context(), name, "x"),
			} {
				if !errors.Is(err, tenancy.ErrInvalid) {
					t.Errorf("%s(%.20q): got %v, want ErrInvalid", what, name, err)
				}
			}
		}
	})
}

func TestMySQLURL(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "mysql")
	tenant := s.Tenant(t, "acme")
	db, err := s.Pool(t, nil).For(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	var now time.Time
	if err := db.Get(&now, `SELECT UTC_TIMESTAMP()`); err != nil || time.Since(now).Abs() > time.Minute || now.Location() != time.UTC {
		t.Errorf("got time %v, %v, want now in UTC", now, err)
	}
	if _, err := db.Exec(`SELECT 1; SELECT 2`); err == nil {
		t.Error("two statements in one query: got no error")
	}
}

func TestSQLiteSettings(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	db, err := s.Pool(t, nil).For(t.Context(), s.Tenant(t, "acme"))
	if err != nil {
		t.Fatal(err)
	}
	for pragma, want := range map[string]string{"journal_mode": "wal", "foreign_keys": "1", "busy_timeout": "5000", "synchronous": "2"} {
		var got string
		if err := db.Get(&got, `PRAGMA `+pragma); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %s", pragma, got, err, want)
		}
	}
	files, err := filepath.Glob(filepath.Join(s.DSN, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "-migrate") {
			continue // empty for ever
		}
		info, err := os.Stat(file)
		if errors.Is(err, os.ErrNotExist) {
			continue // the log goes with the last connection
		}
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got %v, %v, want mode 0600", file, info, err)
		}
	}
}

func TestSQLiteOddFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "odd ?#%41 name")
	engine, err := sqlite.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Create(t.Context(), "acme", "acme"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "acme.db")); err != nil {
		t.Error(err)
	}
	if err := engine.Drop(t.Context(), "acme", "acme"); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("got %v left, want an empty folder", left)
	}
	for _, path := range []string{"", "/dev/null/x"} {
		if _, err := sqlite.New(path); err == nil {
			t.Errorf("New(%q): got no error", path)
		}
	}
	if _, err := sqlite.Open(""); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("Open of nothing: got %v, want ErrInvalid", err)
	}
}

// A file that is there and cannot be opened is not taken for one that is gone.
func TestSQLiteFileThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	engine, err := sqlite.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "acme.db"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, gone := range map[string]bool{"acme": false, "other": true} {
		c, err := engine.Connector(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Connect(t.Context()); err == nil || errors.Is(err, tenancy.ErrNotFound) != gone {
			t.Errorf("%s: got %v, want ErrNotFound: %v", name, err, gone)
		}
	}
}
