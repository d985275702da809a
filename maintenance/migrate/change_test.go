package migrate_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// tables returns files that make the tables t1, t2 … of which the last n are broken.
func tables(n, broken int) fstest.MapFS {
	files := fstest.MapFS{}
	for i := 1; i <= n; i++ {
		up := fmt.Sprintf("CREATE TABLE t%d (id INT);", i)
		if i > n-broken {
			up = "SELEKT 1;"
		}
		files[fmt.Sprintf("%05d_t.sql", i)] = &fstest.MapFile{Data: []byte(fmt.Sprintf("-- +goose Up\n%s\n-- +goose Down\nDROP TABLE t%d;\n", up, i))}
	}
	return files
}

func migrator(t *testing.T, databases migrate.Databases, files fstest.MapFS) *migrate.Migrator {
	t.Helper()
	m, err := migrate.New(databases, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func versions(changes []migrate.Change) (out []int64) {
	for _, c := range changes {
		out = append(out, c.Version)
	}
	return out
}

func TestChanges(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool := s.Pool(t, nil)
		tenant := s.Tenant(t, "acme")
		m := migrator(t, pool, tables(4, 0))
		ctx := t.Context()
		for i, step := range []struct {
			do       func() (*migrate.Result, error)
			version  int64
			up, down []int64
		}{
			{func() (*migrate.Result, error) { return m.Down(ctx, tenant) }, 0, nil, nil},
			{func() (*migrate.Result, error) { return m.Redo(ctx, tenant) }, 0, nil, nil},
			{func() (*migrate.Result, error) { return m.UpTo(ctx, tenant, 2) }, 2, []int64{1, 2}, nil},
			{func() (*migrate.Result, error) { return m.UpTo(ctx, tenant, 2) }, 2, nil, nil},
			{func() (*migrate.Result, error) { return m.UpTo(ctx, tenant, migrate.Latest) }, 4, []int64{3, 4}, nil},
			{func() (*migrate.Result, error) { return m.Down(ctx, tenant) }, 3, nil, []int64{4}},
			{func() (*migrate.Result, error) { return m.Redo(ctx, tenant) }, 3, []int64{3}, []int64{3}},
			{func() (*migrate.Result, error) { return m.DownTo(ctx, tenant, 1) }, 1, nil, []int64{3, 2}},
			{func() (*migrate.Result, error) { return m.DownTo(ctx, tenant, 1) }, 1, nil, nil},
			{func() (*migrate.Result, error) { return m.DownTo(ctx, tenant, 0) }, 0, nil, []int64{1}},
		} {
			got, err := step.do()
			if err != nil || got.Version != step.version || !slices.Equal(versions(got.Up), step.up) || !slices.Equal(versions(got.Down), step.down) {
				t.Errorf("step %d: got %+v, %v, want version %d, up %v, down %v", i, got, err, step.version, step.up, step.down)
			}
			st, err := m.Status(ctx, tenant)
			if err != nil || st.Version != step.version || st.Target != 4 || len(st.Pending) != 4-int(step.version) || st.UpToDate() != (step.version == 4) || st.Unknown != nil {
				t.Errorf("step %d: got status %+v, %v", i, st, err)
			}
		}
		got, err := migrator(t, pool, tables(4, 2)).UpTo(ctx, tenant, migrate.Latest)
		if err == nil || !strings.Contains(err.Error(), "00003_t.sql") || got == nil || !slices.Equal(versions(got.Up), []int64{1, 2}) || got.Version != 2 {
			t.Errorf("a file that is broken: got %+v, %v, want its name and what was applied before", got, err)
		}
		if st, err := migrator(t, pool, tables(1, 0)).Status(ctx, tenant); err != nil || !slices.Equal(st.Unknown, []int64{2}) || !st.UpToDate() {
			t.Errorf("an older program: got status %+v, %v, want version 2 unknown", st, err)
		}
	})
}

// No query meets a plan of before: the connections that a migration leaves behind are new.
func TestPlansAfterMigration(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"1_notes.sql": {Data: []byte("-- +goose Up\nCREATE TABLE notes (id INT);\n-- +goose Down\nDROP TABLE notes;\n")},
		"2_title.sql": {Data: []byte("-- +goose Up\nALTER TABLE notes ADD COLUMN title INT;\n-- +goose Down\nALTER TABLE notes DROP COLUMN title;\n")},
	}
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool, tenant := s.Pool(t, nil), s.Tenant(t, "acme")
		ctx := tenancy.NewContext(t.Context(), tenant)
		m := migrator(t, pool, files)
		columns := func(q sqlx.QueryerContext) (int, error) {
			rows, err := q.QueryxContext(ctx, `SELECT * FROM notes`)
			if err != nil {
				return 0, err
			}
			defer rows.Close()
			names, err := rows.Columns()
			for rows.Next() {
			}
			return len(names), errors.Join(err, rows.Err())
		}
		for _, step := range []struct {
			migrate func(context.Context, *tenancy.Tenant, int64) (*migrate.Result, error)
			to      int64
		}{{m.UpTo, 1}, {m.UpTo, 2}, {m.DownTo, 1}, {m.UpTo, 2}} {
			if _, err := step.migrate(ctx, tenant, step.to); err != nil {
				t.Fatal(err)
			}
			var here, done sync.WaitGroup // several connections at once, which keep the plan
			here.Add(3)
			for range 3 {
				done.Go(func() {
					err := pool.Tx(ctx, &sql.TxOptions{ReadOnly: true}, func(tx *sqlx.Tx) error {
						got, err := columns(tx)
						if err == nil && got != int(step.to) {
							t.Errorf("version %d: got %d columns", step.to, got)
						}
						here.Done()
						here.Wait()
						return err
					})
					if err != nil {
						t.Errorf("version %d: %v", step.to, err)
					}
				})
			}
			done.Wait()
		}
		var _ migrate.Renewer = pool
	})
}

// What a run that dies between the two halves of a rollback leaves is not taken back
// twice.
func TestTasks(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		tenant := s.Tenant(t, "acme")
		m := migrator(t, s.Pool(t, nil), tables(3, 0))
		up, down := m.Task(), m.RollbackTask()
		version := func(want int64) {
			t.Helper()
			if st, err := m.Status(t.Context(), tenant); err != nil || st.Version != want {
				t.Errorf("got %+v, %v, want version %d", st, err, want)
			}
		}
		do := func(task tenancy.Task, a tenancy.Attempt) {
			t.Helper()
			if err := task.Do(t.Context(), tenant, a); err != nil {
				t.Error(err)
			}
		}
		do(up, tenancy.Attempt{Params: tenancy.Params{"to": "2"}})
		version(2)
		do(up, tenancy.Attempt{})
		version(3)
		var saved string
		save := func(_ context.Context, checkpoint string) error { saved = checkpoint; return nil }
		do(down, tenancy.Attempt{Number: 1, Save: save})
		version(2)
		do(down, tenancy.Attempt{Number: 2, Checkpoint: saved, Save: save}) // the first was done, and nobody heard of it
		version(2)
		do(down, tenancy.Attempt{Params: tenancy.Params{"to": "0"}})
		version(0)
		var skip *tenancy.SkipError
		if err := down.Do(t.Context(), tenant, tenancy.Attempt{}); !errors.As(err, &skip) {
			t.Errorf("nothing to take back: got %v, want it skipped", err)
		}
		for _, task := range []tenancy.Task{up, down} {
			for _, p := range []tenancy.Params{{"to": "x"}, {"to": "-1"}, {"from": "1"}, {"to": "1", "x": "y"}} {
				if err := task.Validate(p); !errors.Is(err, tenancy.ErrInvalid) {
					t.Errorf("parameters %v: got %v, want ErrInvalid", p, err)
				}
			}
			for _, status := range []tenancy.Status{tenancy.StatusProvisioning, tenancy.StatusArchived} {
				other := tenant.Clone()
				other.Status = status
				if task.Eligible(other) == nil || task.Eligible(tenant) != nil {
					t.Errorf("%s: got it taken, want an active one alone", status)
				}
			}
		}
	})
}

// A rollback that is tried again late, or whose tenant is migrated before its turn, takes back
// the migration that it meant or none.
func TestLateRollback(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	for _, c := range []struct {
		name, checkpoint string
		version, want    int64
		conflict         bool
	}{
		{"not done yet", "3>2", 3, 2, false},
		{"done before", "3>2", 2, 2, false},
		{"done, and one more", "3>2", 1, 1, false},
		{"migrated since", "3>2", 5, 5, true},
		{"one of between was added", "4>2", 4, 4, true},
		{"the first", "1>0", 1, 0, false},
		{"of an older program", "2", 3, 2, false},
		{"of an older program, done before", "2", 2, 2, false},
		{"of an older program, migrated since", "2", 4, 4, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tenant := s.Tenant(t, "acme")
			m := migrator(t, s.Pool(t, nil), tables(5, 0))
			if _, err := m.UpTo(t.Context(), tenant, c.version); err != nil {
				t.Fatal(err)
			}
			err := m.RollbackTask().Do(t.Context(), tenant, tenancy.Attempt{Number: 2, Checkpoint: c.checkpoint})
			if errors.Is(err, tenancy.ErrConflict) != c.conflict || err != nil && !c.conflict {
				t.Errorf("got %v, want a conflict: %v", err, c.conflict)
			}
			if st, err := m.Status(t.Context(), tenant); err != nil || st.Version != c.want {
				t.Errorf("got %+v, %v, want version %d", st, err, c.want)
			}
		})
	}
	tenant := s.Tenant(t, "other")
	m := migrator(t, s.Pool(t, nil), tables(5, 0))
	if _, err := m.UpTo(t.Context(), tenant, 3); err != nil {
		t.Fatal(err)
	}
	err := m.RollbackTask().Do(t.Context(), tenant, tenancy.Attempt{Save: func(ctx context.Context, checkpoint string) error {
		if checkpoint != "3>2" {
			t.Errorf("got checkpoint %q, want both versions", checkpoint)
		}
		_, err := m.UpTo(ctx, tenant, 5) // somebody else, meanwhile
		return err
	}})
	if st, e := m.Status(t.Context(), tenant); !errors.Is(err, tenancy.ErrConflict) || e != nil || st.Version != 5 {
		t.Errorf("migrated meanwhile: got %v, and %+v, %v, want a conflict and version 5", err, st, e)
	}
	if err := m.RollbackTask().Do(t.Context(), tenant, tenancy.Attempt{Checkpoint: "3>x"}); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("a checkpoint that is none: got %v, want ErrInvalid", err)
	}
}

// counting counts the statements of a database.
type counting struct {
	driver.Connector
	n atomic.Int64
}

func (c *counting) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &countingConn{conn, c}, nil
}

func (c *counting) For(context.Context, *tenancy.Tenant) (*sqlx.DB, error) {
	return sqlx.NewDb(sql.OpenDB(c), "sqlite"), nil
}

// countingConn has no other way to the database than to prepare.
type countingConn struct {
	driver.Conn
	of *counting
}

func (c *countingConn) Prepare(query string) (driver.Stmt, error) {
	c.of.n.Add(1)
	return c.Conn.Prepare(query)
}

func TestNothingToDoCostsOneQuery(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	tenant := s.Tenant(t, "acme")
	connector, err := s.Engine.Connector(tenant.Placement.Database)
	if err != nil {
		t.Fatal(err)
	}
	db := &counting{Connector: connector}
	m := migrator(t, db, tables(50, 0))
	if err := m.Up(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	if n := db.n.Load(); n < 50 {
		t.Fatalf("got %d statements for 50 migrations, want them counted", n)
	}
	for name, do := range map[string]func() error{
		"Up":     func() error { return m.Up(t.Context(), tenant) },
		"DownTo": func() error { _, err := m.DownTo(t.Context(), tenant, 50); return err },
		"Status": func() error { _, err := m.Status(t.Context(), tenant); return err },
	} {
		db.n.Store(0)
		if err := do(); err != nil || db.n.Load() != 1 {
			t.Errorf("%s: got %d statements, %v, want 1", name, db.n.Load(), err)
		}
	}
}

// The record says which version the schema has: when that changed, and when it says
// otherwise, and nothing is written when it is right.
func TestSchemaVersionOfTheRecord(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		tenant := s.Tenant(t, "acme")
		cat := tenancytest.NewCatalog(t, tenant)
		pool := s.Pool(t, nil)
		m, err := migrate.New(pool, tables(4, 1), &migrate.Options{Records: cat})
		if err != nil {
			t.Fatal(err)
		}
		record := func() *tenancy.Tenant { t.Helper(); return recordOf(t, cat, tenant.ID) }
		want := func(what string, version, schema int64) {
			t.Helper()
			if now := record(); now.SchemaVersion != schema || now.Version != version {
				t.Errorf("%s: got schema version %d in version %d of the record, want %d in %d", what, now.SchemaVersion, now.Version, schema, version)
			}
		}
		up := func(to int64) {
			t.Helper()
			if _, err := m.UpTo(t.Context(), record(), to); err != nil {
				t.Fatal(err)
			}
		}
		old := record()
		up(2)
		want("after two migrations", 2, 2)
		up(2)
		want("with nothing to do", 2, 2)
		if _, err := m.UpTo(t.Context(), old, 2); err != nil { // a record of before
			t.Fatal(err)
		}
		want("with an old record", 2, 2)
		if _, err := m.UpTo(t.Context(), record(), migrate.Latest); err == nil {
			t.Error("the broken migration: got no error")
		}
		want("after one that failed", 3, 3)
		if _, err := m.Down(t.Context(), record()); err != nil {
			t.Fatal(err)
		}
		want("after a rollback", 4, 2)
		_, err = cat.Edit(t.Context(), tenant.ID, func(t *tenancy.Tenant) error { t.SchemaVersion = 77; return nil })
		if err != nil {
			t.Fatal(err)
		}
		up(1)
		want("after it said something else", 6, 2)
		gone := record() // who has no record then
		gone.SchemaVersion = 9
		if err := cat.Delete(t.Context(), purge(t, cat, tenant.ID)); err != nil {
			t.Fatal(err)
		}
		if _, err := m.UpTo(t.Context(), gone, 1); err != nil {
			t.Errorf("without a record: %v", err)
		}
	})
}

// overtaken is a record of tenants before whose next change something else happens.
type overtaken struct {
	migrate.Records
	before func()
}

func (o *overtaken) Edit(ctx context.Context, id tenancy.ID, change func(*tenancy.Tenant) error) (*tenancy.Tenant, error) {
	if before := o.before; before != nil {
		o.before = nil
		before()
	}
	return o.Records.Edit(ctx, id, change)
}

// Migrators that meet at one tenant leave a record that says what the database says, whoever writes last, and
// however old the records are that they were given.
func TestSchemaVersionAfterMigrationsThatOverlap(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(ctx context.Context, m *migrate.Migrator, first, third *tenancy.Tenant, overtake func(func() error)) error{
		"a rollback with a record of before": func(ctx context.Context, m *migrate.Migrator, first, _ *tenancy.Tenant, _ func(func() error)) error {
			_, err := m.DownTo(ctx, first, 1)
			return err
		},
		"a migration that is taken back before its record is written": func(ctx context.Context, m *migrate.Migrator, first, third *tenancy.Tenant, overtake func(func() error)) error {
			overtake(func() error { _, err := m.DownTo(ctx, third, 1); return err })
			_, err := m.UpTo(ctx, third, 4)
			return err
		},
		"nothing to do, and a rollback before that is written": func(ctx context.Context, m *migrate.Migrator, first, third *tenancy.Tenant, overtake func(func() error)) error {
			overtake(func() error { _, err := m.DownTo(ctx, third, 1); return err })
			_, err := m.UpTo(ctx, first, 3)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tenancytest.NewServer(t, "sqlite")
			tenant := s.Tenant(t, "acme")
			cat := tenancytest.NewCatalog(t, tenant)
			records := &overtaken{Records: cat}
			m, err := migrate.New(s.Pool(t, nil), tables(4, 0), &migrate.Options{Records: records})
			if err != nil {
				t.Fatal(err)
			}
			record := func() *tenancy.Tenant { t.Helper(); return recordOf(t, cat, tenant.ID) }
			at := func(version int64) *tenancy.Tenant {
				t.Helper()
				if _, err := m.UpTo(t.Context(), record(), version); err != nil {
					t.Fatal(err)
				}
				return record()
			}
			overtake := func(what func() error) {
				records.before = func() {
					if err := what(); err != nil {
						t.Error(err)
					}
				}
			}
			if err := do(t.Context(), m, at(1), at(3), overtake); err != nil || records.before != nil {
				t.Errorf("got %v, and nobody was overtaken: %v", err, records.before != nil)
			}
			now := record()
			if st, err := m.Status(t.Context(), now); err != nil || st.Version != 1 || now.SchemaVersion != 1 {
				t.Errorf("got schema version %d in the record, %+v, %v, want 1 in both", now.SchemaVersion, st, err)
			}
		})
	}
}

func purge(t *testing.T, cat *catalog.Catalog, id tenancy.ID) tenancy.ID {
	t.Helper()
	for _, status := range []tenancy.Status{tenancy.StatusArchived, tenancy.StatusPurging} {
		if _, err := cat.SetStatus(t.Context(), id, status); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

// interrupted are files, and a function that is called before the folder is read for the n-th time.
type interrupted struct {
	fs.FS
	n  atomic.Int64
	do func()
}

func (i *interrupted) Open(name string) (fs.File, error) {
	if name == "." && i.n.Add(-1) == 0 {
		i.do()
	}
	return i.FS.Open(name)
}

// Somebody else applies a migration while one is taken back, at any moment before that has begun: no more than the last
// is taken back.
func TestTakingBackWhileOthersMigrate(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		pool, tenant := s.Pool(t, nil), s.Tenant(t, "acme")
		other := migrator(t, pool, tables(3, 0))
		for what, do := range map[string]func(*migrate.Migrator) error{
			"Down": func(m *migrate.Migrator) error { _, err := m.Down(t.Context(), tenant); return err },
			"the task": func(m *migrate.Migrator) error {
				err := m.RollbackTask().Do(t.Context(), tenant, tenancy.Attempt{Number: 2, Checkpoint: "2>1"})
				if errors.Is(err, tenancy.ErrConflict) {
					return nil
				}
				return err
			},
		} {
			reads := int64(0)
			for happened := true; happened; {
				reads++
				if _, err := other.UpTo(t.Context(), tenant, 2); err != nil {
					t.Fatal(err)
				}
				if _, err := other.DownTo(t.Context(), tenant, 2); err != nil {
					t.Fatal(err)
				}
				files := &interrupted{FS: tables(3, 0)}
				m, err := migrate.New(pool, files, nil)
				if err != nil {
					t.Fatal(err)
				}
				happened = false
				files.do = func() {
					happened = true
					if err := other.Up(t.Context(), tenant); err != nil {
						t.Errorf("%s: Up: %v", what, err)
					}
				}
				files.n.Store(reads)
				if err := do(m); err != nil {
					t.Errorf("%s, others at read %d: %v", what, reads, err)
				}
				st, err := other.Status(t.Context(), tenant)
				if err != nil || happened && st.Version < 2 {
					t.Errorf("%s, others at read %d: got %+v, %v, want version 2 or 3", what, reads, st, err)
				}
			}
			if reads < 3 {
				t.Errorf("%s: the files were read %d times, want more than twice", what, reads)
			}
		}
	})
}

// recordOf returns the tenant's record as it is now.
func recordOf(t *testing.T, cat *catalog.Catalog, id tenancy.ID) *tenancy.Tenant {
	t.Helper()
	now, err := cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(id)})
	if err != nil {
		t.Fatal(err)
	}
	return now
}
