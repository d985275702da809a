package lifecycle_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// nobodys makes a database that is nobody's, with a table of precious rows, and
// returns its placement.
func (k *kit) nobodys(t *testing.T) tenancy.Placement {
	t.Helper()
	id := tenancy.NewID()
	at := tenancy.Placement{Server: k.server.Name, Database: "old-" + string(id)}
	if err := k.server.Engine.(driver.Databases).Create(t.Context(), at.Database, id); err != nil {
		t.Fatal(err)
	}
	k.in(t, at, `DROP TABLE tenancy_marker`, `CREATE TABLE precious (id INT)`, `INSERT INTO precious VALUES (1)`)
	return at
}

// in runs statements in a database, whosoever it is.
func (k *kit) in(t *testing.T, at tenancy.Placement, statements ...string) {
	t.Helper()
	c, err := k.server.Engine.Connector(at.Database)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	defer func() { _ = db.Close() }()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// removeNobodys drops a database that is nobody's.
func (k *kit) removeNobodys(t *testing.T, at tenancy.Placement) {
	t.Helper()
	d := k.server.Engine.(driver.Databases)
	id := tenancy.NewID()
	if err := k.server.Engine.(driver.Adopter).Adopt(t.Context(), at.Database, id, false); err != nil {
		t.Fatalf("the database is not nobody's any more: %v", err)
	}
	if err := d.Drop(t.Context(), at.Database, id); err != nil {
		t.Error(err)
	}
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		at := k.nobodys(t)
		p := k.life(t, makeNotes, func(context.Context, *tenancy.Tenant) error {
			t.Error("the seed ran on data that was there")
			return nil
		})
		if _, err := p.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Placement: at}); !errors.Is(err, tenancy.ErrExists) {
			t.Errorf("Create: got %v, want ErrExists", err)
		}
		got, err := p.Adopt(t.Context(), &tenancy.Tenant{Slug: "acme", Placement: at})
		if err != nil || got.Status != tenancy.StatusActive || got.Placement != at {
			t.Fatalf("Adopt: got %+v, %v, want an active tenant", got, err)
		}
		k.wantServed(t, got)
		k.in(t, at, `SELECT id FROM precious`)

		for name, each := range map[string]struct {
			tenant *tenancy.Tenant
			want   error
		}{
			"one that is another's":        {&tenancy.Tenant{Slug: "thief", Placement: at}, tenancy.ErrExists},
			"one that is marked as its ID": {&tenancy.Tenant{Slug: "again", ID: "same-id", Placement: k.markedAs(t, "same-id")}, tenancy.ErrExists},
			"one that is not there":        {&tenancy.Tenant{Slug: "none", Placement: tenancy.Placement{Server: s.Name, Database: "none"}}, tenancy.ErrNotFound},
			"no database":                  {&tenancy.Tenant{Slug: "none"}, tenancy.ErrInvalid},
			"no tenant":                    {nil, tenancy.ErrInvalid},
			"a slug that is taken":         {&tenancy.Tenant{Slug: "acme", Placement: at}, tenancy.ErrExists},
		} {
			if _, err := p.Adopt(t.Context(), each.tenant); !errors.Is(err, each.want) {
				t.Errorf("Adopt of %s: got %v, want %v", name, err, each.want)
			}
		}
		page, err := k.cat.List(t.Context(), tenancy.Filter{})
		if err != nil || len(page) != 1 {
			t.Errorf("got %d records, %v, want that of acme alone", len(page), err)
		}
		k.wantServed(t, got)
	})
}

// markedAs returns the placement of a database that is marked.
func (k *kit) markedAs(t *testing.T, id tenancy.ID) tenancy.Placement {
	t.Helper()
	at := tenancy.Placement{Server: k.server.Name, Database: "marked-" + string(tenancy.NewID())}
	d := k.server.Engine.(driver.Databases)
	if err := d.Create(t.Context(), at.Database, id); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Drop(context.WithoutCancel(t.Context()), at.Database, id); err != nil {
			t.Error(err)
		}
	})
	return at
}

// A step fails: the database is nobody's again, with all that was in it, and can be
// adopted.
func TestAdoptFails(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		at := k.nobodys(t)
		if _, err := k.life(t, "-- +goose Up\nSELEKT 1;\n", nil).Adopt(t.Context(), &tenancy.Tenant{Slug: "acme", Placement: at}); err == nil {
			t.Fatal("Adopt with a broken migration: got no error")
		}
		k.in(t, at, `SELECT id FROM precious`)
		if page, err := k.cat.List(t.Context(), tenancy.Filter{}); err != nil || len(page) != 0 {
			t.Errorf("got %d records, %v, want none", len(page), err)
		}
		k.removeNobodys(t, at)
	})
}

// Who adopts dies in the middle. Neither Adopt nor Resume drops or seeds what was
// there.
func TestAdoptGoesOn(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		for name, goOn := range map[string]func(*lifecycle.Lifecycle, *tenancy.Tenant) (*tenancy.Tenant, error){
			"adopt": func(p *lifecycle.Lifecycle, dead *tenancy.Tenant) (*tenancy.Tenant, error) {
				return p.Adopt(t.Context(), &tenancy.Tenant{Slug: dead.Slug, Placement: dead.Placement})
			},
			"resume": func(p *lifecycle.Lifecycle, dead *tenancy.Tenant) (*tenancy.Tenant, error) {
				return p.Resume(t.Context(), dead.ID)
			},
		} {
			t.Run(name, func(t *testing.T) {
				k := newKit(t, s)
				at := k.nobodys(t)
				dead, err := k.cat.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Placement: at})
				if err == nil {
					err = k.pool.Adopt(t.Context(), dead, false)
				}
				if err != nil {
					t.Fatal(err)
				}
				seed := func(context.Context, *tenancy.Tenant) error {
					t.Error("the seed ran on data that was there")
					return nil
				}
				if _, err := k.life(t, "-- +goose Up\nSELEKT 1;\n", seed).Resume(t.Context(), dead.ID); err == nil {
					t.Error("Resume with a broken migration: got no error")
				}
				got, err := goOn(k.life(t, makeNotes, seed), dead)
				if err != nil || got.ID != dead.ID {
					t.Fatalf("got %+v, %v, want tenant %s", got, err, dead.ID)
				}
				k.wantServed(t, got)
				k.in(t, at, `SELECT id FROM precious`)
			})
		}
	})
}

// Who adopts dies in the middle, and nobody wants the tenant any more. What was in the
// database before is nobody's to drop: it stays, is nobody's again, and can be adopted anew.
func TestNobodyDropsWhatWasAdopted(t *testing.T) {
	t.Parallel()
	ctx := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ann", Reason: "a mistake"})
	byHand := func(t *testing.T, k *kit, id tenancy.ID, last bool) {
		t.Helper()
		_, err := k.cat.SetStatus(ctx, id, tenancy.StatusPurging)
		if err == nil && last {
			err = k.cat.Delete(ctx, id)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		for name, remove := range map[string]func(*testing.T, *kit, *tenancy.Tenant) error{
			"purge": func(t *testing.T, k *kit, dead *tenancy.Tenant) error {
				return k.life(t, makeNotes, nil).PurgeNow(ctx, dead.ID)
			},
			"purge that was begun by hand": func(t *testing.T, k *kit, dead *tenancy.Tenant) error {
				byHand(t, k, dead.ID, false)
				return k.life(t, makeNotes, nil).Purge(ctx, dead.ID)
			},
			"orphan": func(t *testing.T, k *kit, dead *tenancy.Tenant) error {
				byHand(t, k, dead.ID, true)
				return k.life(t, makeNotes, nil).RemoveOrphan(ctx, lifecycle.Orphan{Server: s.Name, Database: dead.Placement.Database, Tenant: dead.ID})
			},
			"purge that fails before the mark is gone": func(t *testing.T, k *kit, dead *tenancy.Tenant) error {
				f := &faults{step: "release"}
				p := lifeOf(t, faultyPool{k.pool, f}, k, nil)
				if err := p.PurgeNow(ctx, dead.ID); !errors.Is(err, errFault) {
					t.Errorf("got %v, want the fault", err)
				}
				if err := p.Purge(ctx, dead.ID); err != nil { // which knows of no database any more
					return err
				}
				found := orphans(t, p, dead.ID)
				if len(found) != 1 {
					t.Fatalf("got %d orphans, want the database", len(found))
				}
				return p.RemoveOrphan(ctx, found[0])
			},
			"purge that fails when the mark is gone": func(t *testing.T, k *kit, dead *tenancy.Tenant) error {
				f := &faults{step: "release", after: true}
				p := lifeOf(t, faultyPool{k.pool, f}, k, nil)
				if err := p.PurgeNow(ctx, dead.ID); !errors.Is(err, errFault) {
					t.Errorf("got %v, want the fault", err)
				}
				return p.Purge(ctx, dead.ID)
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				k := newKit(t, s)
				at := k.nobodys(t)
				dead, err := k.cat.Create(ctx, &tenancy.Tenant{Slug: "acme", Placement: at})
				if err == nil {
					err = k.pool.Adopt(ctx, dead, false)
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := remove(t, k, dead); err != nil {
					t.Errorf("got %v, want no error", err)
				}
				if _, err := k.cat.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(dead.ID)}); !errors.Is(err, tenancy.ErrNotFound) {
					t.Errorf("the record: got %v, want ErrNotFound", err)
				}
				k.in(t, at, `SELECT id FROM precious`)
				k.removeNobodys(t, at)
			})
		}
	})
}

// Who creates or adopts dies before the database is marked, and nobody wants the tenant any more: the record
// goes, and the database stays with what is in it, whatever its name.
func TestPurgeOfWhatWasNeverMarked(t *testing.T) {
	t.Parallel()
	ctx := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ann", Reason: "a mistake"})
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		for name, tt := range map[string]struct {
			own, full bool // the name that Create chooses, a table
		}{
			"another name":        {false, true},
			"another name, empty": {false, false},
			"its name, empty":     {true, false}, // which an adoption may have, too
			"its name":            {true, true},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				k := newKit(t, s)
				id := tenancy.NewID()
				at := tenancy.Placement{Server: s.Name, Database: "old-" + string(id)}
				if tt.own {
					at.Database = "tenant_" + string(id)
				}
				dead, err := k.cat.Create(ctx, &tenancy.Tenant{ID: id, Slug: "acme", Placement: at})
				if err == nil {
					err = s.Engine.(driver.Databases).Create(ctx, at.Database, id)
				}
				if err != nil {
					t.Fatal(err)
				}
				k.in(t, at, `DROP TABLE tenancy_marker`)
				if tt.full {
					k.in(t, at, `CREATE TABLE precious (id INT)`, `INSERT INTO precious VALUES (1)`)
				}
				p := lifeOf(t, k.pool, k, &lifecycle.Options{Server: s.Name, Forget: []func(context.Context, tenancy.ID) error{func() func(context.Context, tenancy.ID) error {
					failed := false
					return func(context.Context, tenancy.ID) error {
						if failed {
							return nil
						}
						failed = true
						return errFault
					}
				}()}})
				if err := p.PurgeNow(ctx, dead.ID); !errors.Is(err, errFault) {
					t.Errorf("got %v, want the fault behind the step", err)
				}
				if err := p.Purge(ctx, dead.ID); err != nil {
					t.Errorf("again: %v", err)
				}
				if _, err := k.cat.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(dead.ID)}); !errors.Is(err, tenancy.ErrNotFound) {
					t.Errorf("the record: got %v, want ErrNotFound", err)
				}
				if there, err := k.pool.Exists(ctx, dead); err != nil || !there {
					t.Fatalf("the database is there: got %v, %v, want true", there, err)
				}
				if tt.full {
					k.in(t, at, `SELECT id FROM precious`)
				}
				k.removeNobodys(t, at)
			})
		}
		t.Run("archived", func(t *testing.T) {
			t.Parallel()
			k := newKit(t, s)
			acme := k.archived(t, "acme")
			k.in(t, acme.Placement, `DROP TABLE tenancy_marker`)
			if err := k.life(t, makeNotes, nil).PurgeNow(ctx, acme.ID); !errors.Is(err, tenancy.ErrForbidden) || !strings.Contains(err.Error(), "not marked as anybody's") {
				t.Errorf("got %v, want ErrForbidden", err)
			}
			if now := k.now(t, acme.ID); now.Status != tenancy.StatusArchived || now.Placement != acme.Placement {
				t.Errorf("got %+v, want it as it was", now)
			}
			k.removeNobodys(t, acme.Placement)
		})
	})
}

// late are databases that are made or adopted, and marked only when others have come so far.
type late struct {
	*dbpool.Pool
	wait, marked func(*tenancy.Tenant)
}

func (d late) Create(ctx context.Context, t *tenancy.Tenant) error {
	if err := d.Pool.Create(ctx, t); err != nil {
		return err
	}
	d.wait(t)
	defer d.marked(t)
	return d.Claim(ctx, t)
}

func (d late) Adopt(ctx context.Context, t *tenancy.Tenant, again bool) error {
	d.wait(t)
	defer d.marked(t)
	return d.Pool.Adopt(ctx, t, again)
}

// slowEdit is a catalog in which something happens before a record is changed.
type slowEdit struct {
	lifecycle.Catalog
	before func()
}

func (c slowEdit) Edit(ctx context.Context, id tenancy.ID, change func(*tenancy.Tenant) error) (*tenancy.Tenant, error) {
	c.before()
	return c.Catalog.Edit(ctx, id, change)
}

// Somebody purges a tenant whose database is being made or adopted, and marked while the purge begins. No mark
// stays without a record, and nobody drops what was there before.
func TestPurgeWhileTheDatabaseIsMarked(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		for _, how := range []string{"create", "resume", "adopt", "adopt what others began"} {
			for _, when := range []string{"hook", "edit"} {
				t.Run(how+", "+when, func(t *testing.T) {
					t.Parallel()
					k := newKit(t, s)
					adopts := strings.HasPrefix(how, "adopt")
					wanted := &tenancy.Tenant{Slug: "acme", Placement: tenancy.Placement{Server: s.Name, Database: "new-" + string(tenancy.NewID())}}
					if adopts {
						wanted.Placement = k.nobodys(t)
					}
					reached, marked, failed, purged := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan error, 1)
					at := func(here string) func() {
						return sync.OnceFunc(func() {
							if here == when {
								close(reached)
								<-marked
							}
						})
					}
					hook, edit := at("hook"), at("edit")
					purger, err := lifecycle.New(slowEdit{k.cat, edit}, k.pool, k.migrator(t, makeNotes), &lifecycle.Options{
						Server:      s.Name,
						BeforePurge: func(context.Context, *tenancy.Tenant) error { hook(); return nil },
						Forget:      []func(context.Context, tenancy.ID) error{func(context.Context, tenancy.ID) error { <-failed; return nil }},
					})
					if err != nil {
						t.Fatal(err)
					}
					var id tenancy.ID
					wait := func(made *tenancy.Tenant) {
						if id != "" { // the purge has dropped it, and it is made again
							return
						}
						if id = made.ID; !adopts {
							k.in(t, made.Placement, `DROP TABLE tenancy_marker`)
						}
						go func() { purged <- purger.PurgeNow(because(t), made.ID) }()
						<-reached
					}
					ready := sync.OnceFunc(func() { close(marked) })
					p := lifeOf(t, late{k.pool, wait, func(*tenancy.Tenant) { ready() }}, k, &lifecycle.Options{Server: s.Name})
					if how == "resume" || how == "adopt what others began" {
						if wanted, err = k.cat.Create(t.Context(), wanted); err != nil {
							t.Fatal(err)
						}
					}
					switch {
					case adopts:
						wanted.ID = ""
						_, err = p.Adopt(t.Context(), wanted)
					case how == "resume":
						_, err = p.Resume(t.Context(), wanted.ID)
					default:
						_, err = p.Create(t.Context(), wanted)
					}
					close(failed)
					if err == nil {
						t.Error("got no error, want one that says that the tenant is being purged")
					}
					if err := <-purged; err != nil {
						t.Errorf("the purge: %v", err)
					}
					if _, err := k.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(id)}); !errors.Is(err, tenancy.ErrNotFound) {
						t.Errorf("the record: got %v, want ErrNotFound", err)
					}
					if adopts {
						k.in(t, wanted.Placement, `SELECT id FROM precious`)
						k.removeNobodys(t, wanted.Placement)
						return
					}
					if there, err := k.pool.Exists(t.Context(), &tenancy.Tenant{ID: id, Placement: wanted.Placement}); err != nil || there {
						t.Errorf("the database is there: got %v, %v, want false", there, err)
					}
				})
			}
		}
	})
}

// The process that marks the database during the purge dies then: the purge looks at the mark again.
func TestPurgeOfWhatIsMarkedMeanwhile(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		at := k.nobodys(t)
		dead, err := k.cat.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Placement: at})
		if err != nil {
			t.Fatal(err)
		}
		p := k.lifeWith(t, lifecycle.Options{BeforePurge: func(ctx context.Context, tenant *tenancy.Tenant) error { return k.pool.Adopt(ctx, tenant, false) }})
		if err := p.PurgeNow(because(t), dead.ID); err != nil {
			t.Fatal(err)
		}
		k.in(t, at, `SELECT id FROM precious`)
		k.removeNobodys(t, at)
	})
}

// A tenant that was in service owns its database, however it came to it, also where the note of
// the adoption is there still.
func TestPurgeOfAnAdoptedTenant(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		at := k.nobodys(t)
		p := k.life(t, makeNotes, nil)
		got, err := p.Adopt(t.Context(), &tenancy.Tenant{Slug: "acme", Placement: at})
		if err == nil {
			k.in(t, at, `CREATE TABLE tenancy_provisioning (record BIGINT NOT NULL PRIMARY KEY)`, `INSERT INTO tenancy_provisioning VALUES (0)`)
			err = p.Archive(t.Context(), got.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		p = lifeOf(t, faultyPool{k.pool, &faults{step: "drop"}}, k, nil)
		ctx := tenancy.WithActor(t.Context(), tenancy.Actor{Kind: tenancy.ActorOperator, ID: "ann", Reason: "it ended"})
		if err := p.PurgeNow(ctx, got.ID); !errors.Is(err, errFault) {
			t.Fatalf("got %v, want the fault", err)
		}
		if err := p.Purge(ctx, got.ID); err != nil {
			t.Fatal(err)
		}
		if there, err := k.pool.Exists(t.Context(), got); err != nil || there {
			t.Errorf("the database is there: got %v, %v, want false", there, err)
		}
	})
}

// cutOff is a catalog whose caller goes away when the status has changed.
type cutOff struct {
	lifecycle.Catalog
	cancel context.CancelFunc
}

func (c cutOff) SetStatus(ctx context.Context, id tenancy.ID, status tenancy.Status) (*tenancy.Tenant, error) {
	defer c.cancel()
	return c.Catalog.SetStatus(ctx, id, status)
}

func TestAdoptOfACallerWhoGoesAway(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		at := k.nobodys(t)
		ctx, cancel := context.WithCancel(t.Context())
		p, err := lifecycle.New(cutOff{k.cat, cancel}, k.pool, k.migrator(t, makeNotes), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Adopt(ctx, &tenancy.Tenant{Slug: "acme", Placement: at})
		if err != nil {
			t.Fatal(err)
		}
		if adopted, err := k.pool.Adopted(t.Context(), got); adopted || err != nil {
			t.Errorf("Adopted: got %v, %v, want false: the tenant is in service", adopted, err)
		}
	})
}

// overtaken is a catalog of a caller whom others meet when the record is written.
type overtaken struct {
	lifecycle.Catalog
	then func(*tenancy.Tenant)
}

func (c overtaken) Create(ctx context.Context, t *tenancy.Tenant) (*tenancy.Tenant, error) {
	made, err := c.Catalog.Create(ctx, t)
	if err == nil {
		c.then(made)
	}
	return made, err
}

// watchedAdoption is a pool in which something happens before a database is marked, or after that.
type watchedAdoption struct {
	*dbpool.Pool
	before, after func()
}

func (p watchedAdoption) Adopt(ctx context.Context, t *tenancy.Tenant, again bool) error {
	p.before()
	defer p.after()
	return p.Pool.Adopt(ctx, t, again)
}

// Two instances adopt one database at once: the second finds the record of the first. Whatever becomes of
// either, no mark stays without a record.
func TestAdoptAtOnce(t *testing.T) {
	t.Parallel()
	const broken = "-- +goose Up\nSELEKT 1;\n"
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		for name, tt := range map[string]struct {
			id            tenancy.ID
			first, second string // migrations
			want          error  // of the first
		}{
			"both":                    {"", makeNotes, makeNotes, nil},
			"the second fails":        {"", makeNotes, broken, nil},
			"both, with an ID":        {"chosen", makeNotes, makeNotes, tenancy.ErrExists},
			"the second fails, an ID": {"chosen", makeNotes, broken, tenancy.ErrExists},
			"both fail":               {"", broken, broken, errAny},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				k := newKit(t, s)
				at := k.nobodys(t)
				wanted := &tenancy.Tenant{ID: tt.id, Slug: "acme", Placement: at}
				second := k.life(t, tt.second, nil)
				first, err := lifecycle.New(overtaken{k.cat, func(made *tenancy.Tenant) {
					if got, err := second.Adopt(t.Context(), wanted); (err == nil) != (tt.second == makeNotes) || err == nil && got.ID != made.ID {
						t.Errorf("the second: got %+v, %v", got, err)
					}
				}}, k.pool, k.migrator(t, tt.first), &lifecycle.Options{Server: s.Name})
				if err != nil {
					t.Fatal(err)
				}
				_, err = first.Adopt(t.Context(), wanted)
				if !errors.Is(err, tt.want) && (!errors.Is(tt.want, errAny) || err == nil) {
					t.Errorf("the first: got %v, want %v", err, tt.want)
				}
				if errors.Is(tt.want, errAny) {
					if page, err := k.cat.List(t.Context(), tenancy.Filter{}); err != nil || len(page) != 0 {
						t.Errorf("got %d records, %v, want none", len(page), err)
					}
					k.removeNobodys(t, at)
					return
				}
				if tt.want != nil && tt.second == broken {
					if _, err := k.life(t, makeNotes, nil).Adopt(t.Context(), wanted); err != nil {
						t.Errorf("again: %v", err)
					}
				}
				got, err := k.cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefSlug, Value: "acme"})
				if err != nil {
					t.Fatal(err)
				}
				k.wantServed(t, got)
				k.in(t, at, `SELECT id FROM precious`)
			})
		}
		for _, marked := range []bool{false, true} {
			t.Run(fmt.Sprintf("the first gives up, marked before: %v", marked), func(t *testing.T) {
				t.Parallel()
				k := newKit(t, s)
				at := k.nobodys(t)
				made, err := k.cat.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Placement: at})
				if err != nil {
					t.Fatal(err)
				}
				giveUp, nothing := func() {
					if marked {
						err = k.pool.Release(t.Context(), made)
					}
					if err := errors.Join(err, k.cat.Delete(t.Context(), made.ID)); err != nil {
						t.Error(err)
					}
				}, func() {}
				late := watchedAdoption{k.pool, giveUp, nothing}
				if marked {
					late = watchedAdoption{k.pool, nothing, giveUp}
				}
				_, err = lifeOf(t, late, k, &lifecycle.Options{Server: s.Name}).Adopt(t.Context(), &tenancy.Tenant{Slug: "acme", Placement: at})
				if !errors.Is(err, tenancy.ErrNotFound) || errors.Is(err, tenancy.ErrForbidden) {
					t.Errorf("the second: got %v, want ErrNotFound", err)
				}
				k.in(t, at, `SELECT id FROM precious`)
				k.removeNobodys(t, at)
			})
		}
	})
}

// The record of an adoption that died stays, also when another tenant has adopted the database since.
func TestAdoptOfADatabaseThatAnotherHasAdoptedSince(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		at := k.nobodys(t)
		p := k.life(t, makeNotes, nil)
		dead, err := k.cat.Create(t.Context(), &tenancy.Tenant{Slug: "acme", Placement: at})
		if err != nil {
			t.Fatal(err)
		}
		other, err := p.Adopt(t.Context(), &tenancy.Tenant{Slug: "other", Placement: at})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Adopt(t.Context(), &tenancy.Tenant{Slug: "acme", Placement: at}); !errors.Is(err, tenancy.ErrExists) {
			t.Errorf("got %v, want ErrExists", err)
		}
		if now := k.now(t, dead.ID); now.Version != dead.Version {
			t.Errorf("got %+v, want the record as it was", now)
		}
		k.wantServed(t, other)
	})
}

// errAny stands for an error without a sentinel.
var errAny = errors.New("any")

// lifeOf returns the life cycle over those databases.
func lifeOf(t *testing.T, d lifecycle.Databases, k *kit, opts *lifecycle.Options) *lifecycle.Lifecycle {
	t.Helper()
	p, err := lifecycle.New(k.cat, d, k.migrator(t, makeNotes), opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
