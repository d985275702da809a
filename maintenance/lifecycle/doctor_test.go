package lifecycle_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/catalog"
	"github.com/artflow-studio/tenancy/catalog/audit"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// ward is what the doctor looks at.
type ward struct {
	*kit
	trail *audit.Trail
	life  *lifecycle.Lifecycle
}

func newWard(t *testing.T, s *tenancytest.Server) *ward {
	t.Helper()
	w := &ward{kit: newKit(t, s)}
	var err error
	if w.trail, err = audit.New(w.db, nil); err == nil {
		err = w.trail.Migrate(t.Context())
	}
	if err == nil {
		w.cat, err = catalog.New(w.db, &catalog.Options{Audit: w.trail})
	}
	if err != nil {
		t.Fatal(err)
	}
	m, err := migrate.New(w.pool, fstest.MapFS{"00001_notes.sql": {Data: []byte(makeNotes)}}, &migrate.Options{Records: w.cat})
	if err != nil {
		t.Fatal(err)
	}
	w.life, err = lifecycle.New(w.cat, w.pool, m, &lifecycle.Options{Server: s.Name, Locks: locks(t, w.db, nil)})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *ward) make(t *testing.T, slug string) *tenancy.Tenant {
	t.Helper()
	made, err := w.life.Create(t.Context(), &tenancy.Tenant{ID: tenancy.ID(slug + "-" + string(tenancy.NewID())[:8]), Slug: slug})
	if err != nil {
		t.Fatal(err)
	}
	w.dropLater(t, made)
	return made
}

// record makes a record alone, at that placement.
func (w *ward) record(t *testing.T, slug string, status tenancy.Status, at tenancy.Placement) *tenancy.Tenant {
	t.Helper()
	made, err := w.cat.Create(t.Context(), &tenancy.Tenant{ID: tenancy.ID(slug + "-" + string(tenancy.NewID())[:8]), Slug: slug, Status: status, Placement: at})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (w *ward) edit(t *testing.T, id tenancy.ID, change func(*tenancy.Tenant)) {
	t.Helper()
	if _, err := w.cat.Edit(t.Context(), id, func(t *tenancy.Tenant) error { change(t); return nil }); err != nil {
		t.Fatal(err)
	}
}

// exec changes a tenant's database by hand.
func (w *ward) exec(t *testing.T, tenant *tenancy.Tenant, statements ...string) {
	t.Helper()
	db, err := w.pool.For(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	w.pool.Forget(tenant.ID)
}

// remove takes the record of a tenant away, and leaves its database.
func (w *ward) remove(t *testing.T, id tenancy.ID) {
	t.Helper()
	w.edit(t, id, func(t *tenancy.Tenant) { t.Status = tenancy.StatusArchived })
	w.edit(t, id, func(t *tenancy.Tenant) { t.Status = tenancy.StatusPurging })
	if err := w.cat.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

func (w *ward) exists(t *testing.T, tenant *tenancy.Tenant) bool {
	t.Helper()
	ok, err := w.pool.Exists(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// plant makes one of everything that the doctor finds. It returns the tenants, by what is
// wrong with them.
func (w *ward) plant(t *testing.T) map[string]*tenancy.Tenant {
	t.Helper()
	here := func() tenancy.Placement {
		return tenancy.Placement{Server: w.server.Name, Database: "tenant_" + string(tenancy.NewID())}
	}
	all := map[string]*tenancy.Tenant{}
	for _, name := range []string{
		"healthy", "orphan", "missing", "foreign", "unmarked", "halfpurged", "schema", "unreadable", "unreadable-orphan", "strayed",
	} {
		all[name] = w.make(t, name)
	}
	all["stranger"] = w.server.Tenant(t, "stranger")
	all["halfmade"] = w.record(t, "halfmade", tenancy.StatusProvisioning, here())
	w.dropLater(t, all["halfmade"])
	all["shared"] = w.record(t, "shared", tenancy.StatusActive, all["healthy"].Placement)
	all["nowhere"] = w.record(t, "nowhere", tenancy.StatusActive, tenancy.Placement{Server: "nowhere", Database: "x"})
	all["unplaced"] = w.record(t, "unplaced", tenancy.StatusActive, tenancy.Placement{}) // which is fine
	all["letgo"] = w.record(t, "letgo", tenancy.StatusArchived, tenancy.Placement{Server: w.server.Name})
	w.edit(t, all["letgo"].ID, func(t *tenancy.Tenant) { t.Status = tenancy.StatusPurging }) // its adopted database was given up

	stray := all["strayed"].Clone() // a copy of its database
	stray.Placement = here()
	w.dropLater(t, stray)
	if err := w.pool.Create(t.Context(), stray); err != nil {
		t.Fatal(err)
	}
	w.pool.Forget(stray.ID)
	all["stray"] = stray
	w.remove(t, all["orphan"].ID)
	w.exec(t, all["unreadable-orphan"], `ALTER TABLE tenancy_marker RENAME COLUMN tenant_id TO whose`)
	w.remove(t, all["unreadable-orphan"].ID)
	w.exec(t, all["unreadable"], `ALTER TABLE tenancy_marker RENAME COLUMN tenant_id TO whose`)
	w.exec(t, all["foreign"], `UPDATE tenancy_marker SET tenant_id = 'somebody'`)
	w.exec(t, all["unmarked"], `DROP TABLE tenancy_marker`)
	gone := all["missing"].Clone()
	gone.Status = tenancy.StatusArchived
	if err := w.pool.Drop(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	w.edit(t, all["halfpurged"].ID, func(t *tenancy.Tenant) { t.Status = tenancy.StatusArchived })
	w.edit(t, all["halfpurged"].ID, func(t *tenancy.Tenant) { t.Status = tenancy.StatusPurging })
	w.edit(t, all["schema"].ID, func(t *tenancy.Tenant) { t.SchemaVersion = 77 })
	for _, use := range [][]any{{"nobody", "k1"}, {all["healthy"].ID, "k2"}} {
		w.db.MustExec(w.db.Rebind(`INSERT INTO tenancy_key_uses (tenant_id, key_id, used_at) VALUES (?, ?, 1)`), use...)
	}
	if w.server.Name == "sqlite" { // the others' foreign keys do not let it be
		conn, err := w.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{`PRAGMA foreign_keys = 0`, `INSERT INTO tenancy_domains (domain, tenant_id) VALUES ('old.example', 'nobody')`, `PRAGMA foreign_keys = 1`} {
			if _, err := conn.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// examine returns what the doctor found of the tenants, as kind and slug, beside what it
// found of others: servers are those of all tests.
func (w *ward) examine(t *testing.T, all map[string]*tenancy.Tenant, opts lifecycle.DoctorOptions) (found []string, mended int) {
	t.Helper()
	slugs := map[string]string{"nobody": "nobody"}
	for name, tenant := range all {
		if !strings.Contains(name, "stray") {
			slugs[string(tenant.ID)] = name
		}
		slugs[tenant.Placement.Server+"/"+tenant.Placement.Database] = name
	}
	slugs[all["healthy"].Placement.Server+"/"+all["healthy"].Placement.Database] = "healthy"
	opts.Audit, opts.Age, opts.Context = w.trail, -1, dbpool.LowPriority
	doc, err := w.life.Doctor(because(t), &opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range doc.Findings {
		name := slugs[string(f.Tenant)]
		if name == "" {
			name = slugs[f.Server+"/"+f.Database]
		}
		if f.Kind == lifecycle.FindServer {
			name = f.Server
		}
		if name == "" {
			if f.Kind != lifecycle.FindStranger && f.Kind != lifecycle.FindUnreadable {
				t.Errorf("got %+v about a tenant of another test", f)
			}
			continue
		}
		if f.Detail == "" || f.Mended && f.Kind != opts.Mend || f.Error != "" {
			t.Errorf("got %+v", f)
		}
		if f.Mended {
			mended++
		}
		found = append(found, string(f.Kind)+" "+name)
	}
	if doc.Mended != mended || doc.Failed != 0 || doc.Healthy() || doc.Tenants < 10 || doc.Databases < 8 {
		t.Errorf("got %d mended, %d failed, of %d tenants and %d databases; %d of ours", doc.Mended, doc.Failed, doc.Tenants, doc.Databases, mended)
	}
	slices.Sort(found)
	return found, mended
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		w := newWard(t, s)
		all := w.plant(t)
		want := []string{
			"orphan orphan", "stranger stranger", "stray stray", "missing missing", "foreign foreign", "foreign unmarked", "foreign shared",
			"shared shared", "half-made halfmade", "half-purged halfpurged", "half-purged letgo", "schema schema", "dangling nobody", "dangling healthy", "server nowhere",
			"unreadable unreadable", "unreadable unreadable-orphan",
		}
		if s.Name == "sqlite" {
			want = append(want, "dangling nobody")
		}
		slices.Sort(want)
		before := w.state(t)
		if w.pool.Known(all["healthy"].ID) {
			w.pool.Forget(all["healthy"].ID)
		}
		for range 2 { // it changes nothing
			if got, mended := w.examine(t, all, lifecycle.DoctorOptions{}); !slices.Equal(got, want) || mended != 0 {
				t.Fatalf("got  %q,\nwant %q", got, want)
			}
		}
		if after := w.state(t); after != before {
			t.Errorf("a dry run changed\n%s\nto\n%s", before, after)
		}
		if w.pool.Known(all["healthy"].ID) {
			t.Error("the pool has a handle of a tenant that only the doctor has looked at")
		}
		for _, kind := range lifecycle.Mendable() {
			n := len(want)
			if _, mended := w.examine(t, all, lifecycle.DoctorOptions{Mend: kind, Parallel: 1}); mended == 0 {
				t.Errorf("%s: nothing was mended", kind)
			}
			want = slices.DeleteFunc(want, func(f string) bool { return strings.HasPrefix(f, string(kind)+" ") })
			if len(want) == n {
				t.Fatalf("%s: nothing was planted", kind)
			}
			if got, _ := w.examine(t, all, lifecycle.DoctorOptions{}); !slices.Equal(got, want) {
				t.Errorf("after %s was mended: got\n%q, want\n%q", kind, got, want)
			}
		}
		for name, there := range map[string]bool{
			"healthy": true, "orphan": false, "halfmade": true, "halfpurged": false, "schema": true,
			// What it must not touch.
			"stranger": true, "stray": true, "strayed": true, "foreign": true, "unmarked": true, "unreadable": true, "unreadable-orphan": true, "missing": false,
		} {
			if got := w.exists(t, all[name]); got != there {
				t.Errorf("the database of %q exists: got %v, want %v", name, got, there)
			}
		}
		now, err := w.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(all["schema"].ID)})
		if err != nil || now.SchemaVersion != 1 {
			t.Errorf("got the record %+v, %v, want schema version 1", now, err)
		}
		// So that the test can drop them.
		w.repair(t, all["unreadable"], `ALTER TABLE tenancy_marker RENAME COLUMN whose TO tenant_id`)
		w.repair(t, all["unreadable-orphan"], `ALTER TABLE tenancy_marker RENAME COLUMN whose TO tenant_id`)
		w.repair(t, all["foreign"], `UPDATE tenancy_marker SET tenant_id = '`+string(all["foreign"].ID)+`'`)
		w.repair(t, all["unmarked"], `CREATE TABLE tenancy_marker (only_row INT, tenant_id VARCHAR(36))`, `INSERT INTO tenancy_marker VALUES (1, '`+string(all["unmarked"].ID)+`')`)
	})
}

// repair changes a database that the pool does not open.
func (w *ward) repair(t *testing.T, tenant *tenancy.Tenant, statements ...string) {
	t.Helper()
	c, err := w.server.Engine.Connector(tenant.Placement.Database)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Error(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// state is what the catalog and the servers have of the test's tenants.
func (w *ward) state(t *testing.T) string {
	t.Helper()
	tenants, err := w.cat.List(t.Context(), tenancy.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, tenant := range tenants {
		fmt.Fprintf(&out, "%s %d %s\n", tenant.ID, tenant.Version, tenant.Status)
	}
	var uses int
	if err := w.db.Get(&uses, `SELECT COUNT(*) FROM tenancy_key_uses`); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&out, uses)
	if w.server.Name == "sqlite" {
		names, err := w.pool.Names(t.Context(), w.server.Name)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		fmt.Fprintln(&out, names)
	}
	return out.String()
}

// A server that is down is a finding, its tenants are passed over, and the others are
// looked at. One whose databases cannot be opened any more in the middle, too.
func TestDoctorOfDeadServers(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	w := newWard(t, s)
	healthy := w.make(t, "healthy")
	_ = healthy
	for i := range 5 {
		w.record(t, fmt.Sprintf("there-%d", i), tenancy.StatusActive, tenancy.Placement{Server: "far", Database: fmt.Sprintf("d%d", i)})
		w.record(t, fmt.Sprintf("dies-%d", i), tenancy.StatusActive, tenancy.Placement{Server: "dying", Database: fmt.Sprintf("d%d", i)})
	}
	m, err := migrate.New(w.pool, fstest.MapFS{"00001_notes.sql": {Data: []byte(makeNotes)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	life, err := lifecycle.New(w.cat, &dying{Pool: w.pool}, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	var told []lifecycle.Finding
	doc, err := life.Doctor(t.Context(), &lifecycle.DoctorOptions{Found: func(f lifecycle.Finding) { told = append(told, f) }, Limit: 1, Parallel: 1})
	if err != nil {
		t.Fatal(err)
	}
	want := map[lifecycle.FindingKind]int{lifecycle.FindServer: 2, lifecycle.FindOrphan: 1} // the catalog's own database
	if !maps.Equal(doc.Counts, want) || len(told) != 3 || len(doc.Findings) != 1 || doc.Tenants != 11 {
		t.Errorf("got %v of %d tenants, %+v, want %v", doc.Counts, doc.Tenants, told, want)
	}
}

// dying is a pool with a server that is down, and one that goes down when it is used.
type dying struct {
	*dbpool.Pool
	used bool
}

var errDown = fmt.Errorf("%w: no route to the server", tenancy.ErrUnavailable)

func (d *dying) Servers() []string { return append(d.Pool.Servers(), "far", "dying") }

func (d *dying) Names(ctx context.Context, server string) ([]string, error) {
	switch {
	case server == "far", server == "dying" && d.used:
		return nil, errDown
	case server == "dying":
		return []string{"d0", "d1", "d2", "d3", "d4"}, nil
	}
	return d.Pool.Names(ctx, server)
}

func (d *dying) Owner(ctx context.Context, server, database string) (tenancy.ID, error) {
	if server == "dying" {
		d.used = true
		return "", errDown
	}
	return d.Pool.Owner(ctx, server, database)
}

func TestDoctorRefuses(t *testing.T) {
	t.Parallel()
	w := newWard(t, tenancytest.NewServer(t, "sqlite"))
	for what, opts := range map[string]*lifecycle.DoctorOptions{
		"a kind that is none":           {Mend: "everything"},
		"a kind that cannot be mended":  {Mend: lifecycle.FindForeign},
		"fewer than no databases":       {Parallel: -1},
		"strangers are somebody else's": {Mend: lifecycle.FindStranger},
	} {
		if _, err := w.life.Doctor(t.Context(), opts); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", what, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.life.Doctor(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
	if doc, err := w.life.Doctor(t.Context(), nil); err != nil || doc.Took <= 0 || doc.Took > time.Hour {
		t.Errorf("got %+v, %v", doc, err)
	}
}

// Who mends does not wait for who mends something else, and findings are told one at a time.
func TestDoctorMendsSeveralAtOnce(t *testing.T) {
	t.Parallel()
	w := newWard(t, tenancytest.NewServer(t, "sqlite"))
	var both sync.WaitGroup
	both.Add(2)
	life := w.lifeWith(t, lifecycle.Options{Seed: func(context.Context, *tenancy.Tenant) error {
		both.Done()
		met := make(chan struct{})
		go func() { both.Wait(); close(met) }()
		select {
		case <-met:
			return nil
		case <-time.After(2 * time.Minute):
			return errors.New("nobody else mends")
		}
	}})
	for _, slug := range []string{"acme", "globex"} {
		w.record(t, slug, tenancy.StatusProvisioning, tenancy.Placement{Server: w.server.Name, Database: "tenant_" + string(tenancy.NewID())})
	}
	var told []lifecycle.Finding
	doc, err := life.Doctor(because(t), &lifecycle.DoctorOptions{Mend: lifecycle.FindHalfMade, Age: -1, Parallel: 2, Found: func(f lifecycle.Finding) { told = append(told, f) }})
	if err != nil || doc.Mended != 2 || len(told) != len(doc.Findings) {
		t.Errorf("got %+v, %v and %d told, want two mended, and all told", doc, err, len(told))
	}
}

// A creation that fails because something is not found is not mended.
func TestDoctorMendsNothingThatIsNotFound(t *testing.T) {
	t.Parallel()
	k := newKit(t, tenancytest.NewServer(t, "sqlite"))
	made, err := k.cat.Create(t.Context(), &tenancy.Tenant{ID: "half", Slug: "half", Placement: tenancy.Placement{Server: k.server.Name, Database: "half"}})
	if err != nil {
		t.Fatal(err)
	}
	k.dropLater(t, made)
	life := k.life(t, makeNotes, func(context.Context, *tenancy.Tenant) error {
		return fmt.Errorf("%w: the template", tenancy.ErrNotFound)
	})
	doc, err := life.Doctor(t.Context(), &lifecycle.DoctorOptions{Mend: lifecycle.FindHalfMade, Age: -1})
	if err != nil || doc.Counts[lifecycle.FindHalfMade] != 1 || doc.Mended != 0 || doc.Failed != 1 {
		t.Errorf("got %+v, %v, want one that failed", doc, err)
	}
}
