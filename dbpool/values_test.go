package dbpool_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// valuesDialect is what the engines call the same things.
type valuesDialect struct {
	time, float, text, blob, boolean string // types
	decimal                          string // SQLite has none: its DECIMAL is a float
	day                              string // the day in UTC of the column at
}

var valuesDialects = map[string]valuesDialect{
	"sqlite":   {"TIMESTAMP", "REAL", "TEXT", "BLOB", "BOOLEAN", "TEXT", `date(at)`},
	"postgres": {"TIMESTAMPTZ", "DOUBLE PRECISION", "TEXT", "BYTEA", "BOOLEAN", "DECIMAL(12, 2)", `to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD')`},
	"mysql":    {"DATETIME(6)", "DOUBLE", "LONGTEXT", "LONGBLOB", "BOOLEAN", "DECIMAL(12, 2)", `DATE_FORMAT(at, '%Y-%m-%d')`},
}

// values returns a database with a table called v, of these columns.
func values(t *testing.T, s *tenancytest.Server, columns string) *sqlx.DB {
	t.Helper()
	db, err := s.Pool(t, nil).For(t.Context(), s.Tenant(t, "acme"))
	if err == nil {
		_, err = db.Exec(`CREATE TABLE v (` + columns + `)`)
	}
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// Whatever zone a time is in when it is bound: it comes back as the same time, and
// the server compares, sorts and computes with it as Go does.
func TestTimes(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		d := valuesDialects[s.Name]
		db := values(t, s, `id INTEGER NOT NULL PRIMARY KEY, at `+d.time+` NULL`)
		delhi, lima := time.FixedZone("IST", 5*3600+1800), time.FixedZone("", -5*3600)
		times := []time.Time{
			time.Date(2026, 3, 1, 2, 0, 0, 0, delhi), // the day before in UTC
			time.Date(2026, 2, 28, 20, 30, 0, 0, time.UTC),
			time.Date(2026, 2, 28, 15, 30, 0, 1000, lima),
			time.Date(2026, 2, 28, 20, 30, 0, 100_000_000, time.UTC),
			time.Date(2026, 2, 28, 20, 30, 0, 120_000_000, delhi),
			time.Date(2026, 2, 28, 20, 30, 0, 120_000_000, time.UTC),
			time.Date(2026, 2, 28, 20, 29, 59, 999_999_000, time.UTC),
			time.Date(2026, 2, 28, 23, 59, 59, 0, lima),
			time.Date(1969, 12, 31, 23, 59, 59, 500_000_000, delhi),
			time.Date(9999, 12, 31, 12, 0, 0, 0, time.UTC),
			time.Now().Round(time.Microsecond), // with a monotonic clock reading until then
		}
		for i, at := range times {
			var arg any = at
			switch i % 3 {
			case 1:
				arg = &at
			case 2:
				arg = sql.NullTime{Time: at, Valid: true}
			}
			if _, err := db.Exec(db.Rebind(`INSERT INTO v (id, at) VALUES (?, ?)`), i, arg); err != nil {
				t.Fatalf("%v: %v", at, err)
			}
		}
		for i, at := range times {
			var got time.Time
			var day string
			if err := db.QueryRow(db.Rebind(`SELECT at, `+d.day+` FROM v WHERE id = ?`), i).Scan(&got, &day); err != nil || !got.Equal(at) {
				t.Errorf("got %v, %v, want %v", got, err, at)
			}
			if want := at.UTC().Format(time.DateOnly); day != want {
				t.Errorf("the day of %v: got %q, want %q", at, day, want)
			}
			for operator, is := range map[string]func(time.Time) bool{
				"<": at.After, ">": at.Before, "=": at.Equal, "<=": func(o time.Time) bool { return !at.Before(o) },
			} {
				want := 0
				for _, other := range times {
					if is(other) {
						want++
					}
				}
				for _, zone := range []*time.Location{time.UTC, delhi, lima, time.Local} {
					var n int
					if err := db.Get(&n, db.Rebind(`SELECT COUNT(*) FROM v WHERE at `+operator+` ?`), at.In(zone)); err != nil || n != want {
						t.Errorf("at %s %v: got %d, %v, want %d", operator, at.In(zone), n, err, want)
					}
				}
			}
		}
		var order []int
		if err := db.Select(&order, `SELECT id FROM v ORDER BY at, id`); err != nil {
			t.Fatal(err)
		}
		if !slices.IsSortedFunc(order, func(a, b int) int { return times[a].Compare(times[b]) }) {
			t.Errorf("got the order %v, which is not that of the times", order)
		}
	})
}

// What the server's own clock writes is read as that time, and compares with
// times that are bound, whatever the server's time zone.
func TestTimesOfTheServer(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		d := valuesDialects[s.Name]
		db := values(t, s, `id INTEGER NOT NULL PRIMARY KEY, at `+d.time+` NOT NULL DEFAULT CURRENT_TIMESTAMP`)
		if _, err := db.Exec(`INSERT INTO v (id) VALUES (1)`); err != nil {
			t.Fatal(err)
		}
		var at time.Time
		if err := db.Get(&at, `SELECT at FROM v`); err != nil {
			t.Fatal(err)
		}
		if off := time.Since(at).Abs(); off > 20*time.Minute {
			t.Errorf("got %v, which is %v off", at, off)
		}
		for _, zone := range []*time.Location{time.UTC, time.FixedZone("", -11*3600), time.FixedZone("", 13*3600)} {
			var n int
			if err := db.Get(&n, db.Rebind(`SELECT COUNT(*) FROM v WHERE at = ?`), at.In(zone)); err != nil || n != 1 {
				t.Errorf("bound as %v: got %d rows, %v, want 1", at.In(zone), n, err)
			}
		}
		// A time that is bound and the server's clock, in one statement.
		var early, late int
		const query = `SELECT COUNT(*) FROM v WHERE CURRENT_TIMESTAMP < ?`
		err := db.Get(&late, db.Rebind(query), time.Now().Add(time.Hour))
		if err == nil {
			err = db.Get(&early, db.Rebind(query), time.Now().Add(-time.Hour))
		}
		if err != nil || early != 0 || late != 1 {
			t.Errorf("the server's clock is before an hour ago: %d, before in an hour: %d, %v, want 0 and 1", early, late, err)
		}
	})
}

func TestTimesOutOfRange(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	db := values(t, s, `at TIMESTAMP`)
	for _, at := range []time.Time{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if _, err := db.Exec(`INSERT INTO v VALUES (?)`, at); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%v: got %v, want ErrInvalid", at, err)
		}
	}
}

// Files from before hold texts as time.Time.String makes them: they are read as
// before, and what was read and is written again compares.
func TestTimesOfOlderFiles(t *testing.T) {
	t.Parallel()
	db := values(t, tenancytest.NewServer(t, "sqlite"), `id INTEGER PRIMARY KEY, at TIMESTAMP`)
	at := time.Date(2026, 3, 1, 2, 0, 0, 123_456_000, time.FixedZone("IST", 5*3600+1800))
	db.MustExec(`INSERT INTO v (id, at) VALUES (1, ?), (2, ?)`, at.String(), at.UTC().String()+" m=+0.1")
	type row struct {
		ID int
		At time.Time
	}
	var rows []row
	if err := db.Select(&rows, `SELECT id, at FROM v`); err != nil || len(rows) != 2 {
		t.Fatalf("got %v, %v, want two rows", rows, err)
	}
	for _, r := range rows {
		if !r.At.Equal(at) || r.At.Location() != time.UTC {
			t.Errorf("got %v, want %v in UTC", r.At, at)
		}
		db.MustExec(`UPDATE v SET at = ? WHERE id = ?`, r.At, r.ID)
	}
	var n int
	if err := db.Get(&n, `SELECT COUNT(*) FROM v WHERE at = ? AND date(at) = '2026-02-28'`, at); err != nil || n != 2 {
		t.Errorf("got %d, %v, want both rows", n, err)
	}
}

// What is not a time comes back as it was bound, or is an error.
func TestValues(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		d := valuesDialects[s.Name]
		for name, each := range map[string]struct {
			column string
			value  any
			into   func() any
			may    bool // it may be an error instead
		}{
			"largest integer":  {"BIGINT", int64(math.MaxInt64), func() any { return new(int64) }, false},
			"smallest integer": {"BIGINT", int64(math.MinInt64), func() any { return new(int64) }, false},
			"true":             {d.boolean, true, func() any { return new(bool) }, false},
			"false":            {d.boolean, false, func() any { return new(bool) }, false},
			"float":            {d.float, 0.1, func() any { return new(float64) }, false},
			"smallest float":   {d.float, math.SmallestNonzeroFloat64, func() any { return new(float64) }, s.Name == "mysql"},
			"decimal":          {d.decimal, "1234567890.25", func() any { return new(string) }, false},
			"text":             {d.text, "äöü \U0001F600 ' \" \\ % \r\n", func() any { return new(string) }, false},
			"empty text":       {d.text, "", func() any { return new(string) }, false},
			"text with NUL":    {d.text, "a\x00b", func() any { return new(string) }, s.Name == "postgres"},
			"text like a time": {d.text, "2026-01-01 00:00:00", func() any { return new(string) }, false},
			"bytes":            {d.blob, []byte{0, 1, 0xff, 0}, func() any { return new([]byte) }, false},
			"many bytes":       {d.blob, bytes.Repeat([]byte("0123456789abcdef"), 1<<19), func() any { return new([]byte) }, false},
			"no text":          {d.text, sql.NullString{}, func() any { return new(sql.NullString) }, false},
			"no time":          {d.time, sql.NullTime{}, func() any { return new(sql.NullTime) }, false},
			"no bytes":         {d.blob, []byte(nil), func() any { return new([]byte) }, false},
		} {
			t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
				db := values(t, s, `v `+each.column+` NULL`)
				if _, err := db.Exec(db.Rebind(`INSERT INTO v VALUES (?)`), each.value); err != nil {
					if !each.may {
						t.Fatal(err)
					}
					return
				}
				got := each.into()
				if err := db.QueryRow(`SELECT v FROM v`).Scan(got); err != nil {
					t.Fatal(err)
				}
				if g, w := written(got), written(&each.value); g != w {
					t.Errorf("got %.100s, want %.100s", g, w)
				}
				if b, ok := got.(*[]byte); ok && *b != nil && name == "no bytes" {
					t.Errorf("got %v, want nil", *b)
				}
			})
		}
	})
}

// written returns what a pointer leads to, as a text.
func written(p any) string {
	switch p := p.(type) {
	case *any:
		return fmt.Sprintf("%v", *p)
	case *int64:
		return fmt.Sprintf("%v", *p)
	case *bool:
		return fmt.Sprintf("%v", *p)
	case *float64:
		return fmt.Sprintf("%v", *p)
	case *string:
		return *p
	case *[]byte:
		return fmt.Sprintf("%v", *p)
	case *sql.NullString:
		return fmt.Sprintf("%v", *p)
	case *sql.NullTime:
		return fmt.Sprintf("%v", *p)
	}
	return fmt.Sprintf("%T", p)
}
