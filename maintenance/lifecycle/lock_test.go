package lifecycle_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/lifecycle"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// locks returns the locks in a database, as a process of its own has them.
func locks(t *testing.T, db *sqlx.DB, opts *lifecycle.LocksOptions) *lifecycle.Locks {
	t.Helper()
	var o lifecycle.LocksOptions
	if opts != nil {
		o = *opts
	}
	o.TTL = cmp.Or(o.TTL, 5*time.Minute) // a slow machine does not renew in time
	l, err := lifecycle.NewLocks(db, &o)
	if err == nil {
		err = l.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// held runs fn while the tenant is locked by others for that purpose.
func held(t *testing.T, l *lifecycle.Locks, id tenancy.ID, purpose string, fn func()) {
	t.Helper()
	err := l.Lock(t.Context(), id, purpose, func(context.Context) error { fn(); return nil })
	if err != nil {
		t.Errorf("Lock: %v", err)
	}
}

// wantLocked checks that an error names who holds the lock, and for what.
func wantLocked(t *testing.T, what string, err error, purpose string) {
	t.Helper()
	var locked *lifecycle.LockedError
	if !errors.As(err, &locked) || !errors.Is(err, tenancy.ErrConflict) {
		t.Errorf("%s: got %v, want a LockedError", what, err)
		return
	}
	if locked.Purpose != purpose || !strings.Contains(locked.Holder, ":"+strconv.Itoa(os.Getpid())+":") || !strings.Contains(err.Error(), "for "+purpose) {
		t.Errorf("%s: got %+v (%v), want it held for %s by this process", what, locked, err, purpose)
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		l := locks(t, db, nil)
		inside, most, fences := 0, 0, []int64{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				err := l.Lock(t.Context(), "acme", "work", func(ctx context.Context) error {
					mu.Lock()
					inside++
					most = max(most, inside)
					fences = append(fences, l.Fence(ctx, "acme"))
					mu.Unlock()
					err := l.Lock(ctx, "acme", "more of it", func(ctx context.Context) error { return ctx.Err() }) // it is ours
					mu.Lock()
					inside--
					mu.Unlock()
					return err
				})
				if err != nil {
					t.Errorf("Lock: %v", err)
				}
			})
		}
		wg.Wait()
		for i, fence := range fences {
			if fence == 0 || i > 0 && fence <= fences[i-1] {
				t.Errorf("got the fences %v, want them to grow", fences)
			}
		}
		if most != 1 || len(fences) != 8 {
			t.Errorf("got %d at once, %d in all, want 1 and 8", most, len(fences))
		}

		impatient := locks(t, db, &lifecycle.LocksOptions{Wait: -1})
		brief := locks(t, db, &lifecycle.LocksOptions{Wait: time.Millisecond})
		never := func(context.Context) error { t.Error("it ran"); return nil }
		held(t, l, "acme", "a backup", func() {
			wantLocked(t, "without waiting", impatient.Lock(t.Context(), "acme", "work", never), "a backup")
			wantLocked(t, "after a time", brief.Lock(t.Context(), "acme", "work", never), "a backup")
			var err error
			for wait := 50 * time.Millisecond; wait < 5*time.Minute; wait *= 4 { // or the context ends before it has seen who holds it
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				err = l.Lock(ctx, "acme", "work", never)
				cancel()
				if errors.As(err, new(*lifecycle.LockedError)) {
					break
				}
			}
			wantLocked(t, "until the context ended", err, "a backup")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want DeadlineExceeded", err)
			}
			if err := impatient.Forget(t.Context(), "acme"); err != nil { // it is held
				t.Error(err)
			}
			wantLocked(t, "after it was to be forgotten", impatient.Lock(t.Context(), "acme", "work", never), "a backup")
			held(t, impatient, "other", "work", func() {})
		})
		var after context.Context
		held(t, impatient, "acme", "work", func() {})
		if err := l.Lock(t.Context(), "acme", "work", func(ctx context.Context) error { after = ctx; return nil }); err != nil {
			t.Fatal(err)
		}
		held(t, l, "acme", "a move", func() { // a context that is used behind its lock holds none
			wantLocked(t, "behind", impatient.Lock(context.WithoutCancel(after), "acme", "work", never), "a move")
		})
		if err := l.Forget(t.Context(), "acme"); err != nil {
			t.Error(err)
		}
		var rows int
		if err := db.Get(&rows, `SELECT COUNT(*) FROM tenancy_locks WHERE name = 'acme'`); err != nil || rows != 0 {
			t.Errorf("got %d rows, %v, want it forgotten", rows, err)
		}
		bad := errors.New("bad")
		if err := l.Lock(t.Context(), "acme", "work", func(context.Context) error { return bad }); err != bad { //nolint:errorlint // as it is
			t.Errorf("got %v, want the function's error", err)
		}
		for what, err := range map[string]error{
			"no ID": l.Lock(t.Context(), "", "work", never), "no purpose": l.Lock(t.Context(), "acme", "", never),
			"a long purpose": l.Lock(t.Context(), "acme", strings.Repeat("x", 61), never),
		} {
			if !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%s: got %v, want ErrInvalid", what, err)
			}
		}
	})
}

// Work ends when its lock is lost: whoever has it now is not disturbed.
func TestLockLost(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		l := locks(t, db, &lifecycle.LocksOptions{TTL: 2 * time.Second})
		err := l.Lock(t.Context(), "acme", "work", func(ctx context.Context) error {
			db.MustExec(`UPDATE tenancy_locks SET token = token + 1, holder = 'somebody else' WHERE name = 'acme'`)
			<-ctx.Done()
			return nil
		})
		if !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("got %v, want ErrConflict", err)
		}
		var holder string
		if err := db.Get(&holder, `SELECT holder FROM tenancy_locks WHERE name = 'acme'`); err != nil || holder != "somebody else" {
			t.Errorf("got holder %q, %v, want it left", holder, err)
		}
	})
}

// TestLockChild is the process that is killed while it holds a lock.
func TestLockChild(t *testing.T) {
	env := strings.Split(os.Getenv(killedEnv), " ")
	if len(env) != 3 {
		return // run as a test of its own it has nothing to show
	}
	k := killKit(t, env[0], env[1], env[2], "")
	l := locks(t, k.db, nil)
	_ = l.Lock(context.Background(), "acme", "a long night", func(ctx context.Context) error {
		fmt.Println("killme")
		<-ctx.Done()
		return nil
	})
}

// The lock of a process that was killed ends by itself.
func TestLockOfKilledHolder(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		home := s.Tenant(t, "catalog")
		k := killKit(t, s.Name, s.DSN, home.Placement.Database, "")
		impatient := locks(t, k.db, &lifecycle.LocksOptions{Wait: -1})
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLockChild$")
		cmd.Env = append(os.Environ(), killedEnv+"="+strings.Join([]string{s.Name, s.DSN, home.Placement.Database}, " "))
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() && lines.Text() != "killme" {
		}
		err = impatient.Lock(t.Context(), "acme", "work", func(context.Context) error { return nil })
		var locked *lifecycle.LockedError
		if !errors.As(err, &locked) || locked.Purpose != "a long night" || !strings.Contains(locked.Holder, ":"+strconv.Itoa(cmd.Process.Pid)+":") {
			t.Errorf("while the holder lives: got %v", err)
		}
		_ = cmd.Process.Kill()
		for lines.Scan() {
		}
		_ = cmd.Wait()
		if err := impatient.Lock(t.Context(), "acme", "work", func(context.Context) error { return nil }); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("soon after the holder died: got %v, want ErrConflict", err)
		}
		k.db.MustExec(`UPDATE tenancy_locks SET expires_at = expires_at - 300000000`) // five minutes pass
		held(t, impatient, "acme", "work", func() {})
	})
}

// What is done to a tenant's database waits for its lock, and says for whom it waited.
// What is nobody's work on the database does not.
func TestWorkTakesTheLock(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		k := newKit(t, s)
		l := locks(t, k.db, nil)
		impatient := locks(t, k.db, &lifecycle.LocksOptions{Wait: -1})
		files := fstest.MapFS{"00001_notes.sql": {Data: []byte(makeNotes)}}
		old, err := migrate.New(k.pool, files, &migrate.Options{Locks: impatient, Records: k.cat})
		if err != nil {
			t.Fatal(err)
		}
		files = fstest.MapFS{"00001_notes.sql": files["00001_notes.sql"], "00002_more.sql": {Data: []byte("-- +goose Up\nCREATE TABLE more (id INT);\n-- +goose Down\nDROP TABLE more;\n")}}
		m, err := migrate.New(k.pool, files, &migrate.Options{Locks: impatient, Records: k.cat})
		if err != nil {
			t.Fatal(err)
		}
		life, err := lifecycle.New(k.cat, k.pool, old, &lifecycle.Options{Server: s.Name, Locks: impatient, Grace: -1})
		if err != nil {
			t.Fatal(err)
		}
		made, err := life.Create(t.Context(), &tenancy.Tenant{Slug: "acme"})
		if err != nil {
			t.Fatal(err)
		}
		k.dropLater(t, made)
		if made.SchemaVersion != 1 {
			t.Errorf("got the schema version %d in the record, want 1", made.SchemaVersion)
		}
		half, err := k.cat.Create(t.Context(), &tenancy.Tenant{Slug: "half", Placement: tenancy.Placement{Server: s.Name, Database: "tenant_" + string(tenancy.NewID())}})
		if err != nil {
			t.Fatal(err)
		}
		k.dropLater(t, half)
		seeds := 0
		seed := impatient.Task("a seed", tenancy.Task{Do: func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { seeds++; return nil }})
		held(t, l, made.ID, "a backup", func() {
			held(t, l, half.ID, "a backup", func() {
				_, err := m.UpTo(t.Context(), made, migrate.Latest)
				wantLocked(t, "UpTo", err, "a backup")
				_, err = old.Down(t.Context(), made)
				wantLocked(t, "Down", err, "a backup")
				wantLocked(t, "a task", seed.Do(t.Context(), made, tenancy.Attempt{}), "a backup")
				if err := old.Up(t.Context(), made); err != nil {
					t.Errorf("a migration with nothing to do: %v", err)
				}
				_, err = life.Resume(t.Context(), half.ID)
				wantLocked(t, "Resume", err, "a backup")
				if err := life.Block(t.Context(), made.ID); err != nil {
					t.Errorf("Block: %v", err)
				}
				if err := life.Archive(t.Context(), made.ID); err != nil {
					t.Errorf("Archive: %v", err)
				}
				wantLocked(t, "Purge", life.Purge(t.Context(), made.ID), "a backup")
				err = life.RemoveOrphan(t.Context(), lifecycle.Orphan{Server: s.Name, Database: made.Placement.Database, Tenant: made.ID})
				wantLocked(t, "RemoveOrphan", err, "a backup")
			})
		})
		if seeds != 0 {
			t.Error("the task ran")
		}
		if err := seed.Do(t.Context(), made, tenancy.Attempt{}); err != nil || seeds != 1 {
			t.Errorf("the task: got %v, and %d of it", err, seeds)
		}
		if _, err := life.Resume(t.Context(), half.ID); err != nil {
			t.Errorf("Resume: %v", err)
		}
		if err := life.Purge(t.Context(), made.ID); err != nil {
			t.Errorf("Purge: %v", err)
		}
		k.wantNothing(t, made.ID)
		var rows int
		if err := k.db.Get(&rows, k.db.Rebind(`SELECT COUNT(*) FROM tenancy_locks WHERE name = ?`), made.ID); err != nil || rows != 0 {
			t.Errorf("got %d locks of the purged tenant, %v", rows, err)
		}
	})
}

// A database that does not answer is unavailable, and nobody works without a lock.
func TestLocksWithoutTheirDatabase(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		l := locks(t, db, nil)
		if err := l.Check(t.Context()); err != nil {
			t.Errorf("Check: got %v, want nil", err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"Check": l.Check(t.Context()), "Forget": l.Forget(t.Context(), "acme"), "Migrate": l.Migrate(t.Context()),
			"Lock": l.Lock(t.Context(), "acme", "work", func(context.Context) error { t.Error("it ran"); return nil }),
		} {
			if !errors.Is(err, tenancy.ErrUnavailable) {
				t.Errorf("%s: got %v, want ErrUnavailable", what, err)
			}
		}
	})
}

// Work that outlives the lock that its context held does not go on beside the next holder.
func TestLockOutlived(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		l := locks(t, s.Database(t), nil)
		for name, detach := range map[string]func(context.Context) context.Context{
			"Detach":        func(ctx context.Context) context.Context { return tenancy.Detach(ctx, t.Context()) },
			"WithoutCancel": context.WithoutCancel,
		} {
			began, ended := make(chan struct{}), make(chan error, 1)
			err := l.Lock(t.Context(), "acme", "a move", func(ctx context.Context) error {
				ctx = detach(ctx)
				go func() {
					ended <- l.Lock(ctx, "acme", "more of it", func(ctx context.Context) error {
						close(began)
						<-ctx.Done()
						return nil
					})
				}()
				<-began
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := <-ended; !errors.Is(err, tenancy.ErrConflict) {
				t.Errorf("%s: got %v, want ErrConflict", name, err)
			}
			inner := errors.New("inner")
			err = l.Lock(t.Context(), "acme", "a move", func(ctx context.Context) error {
				return l.Lock(detach(ctx), "acme", "more of it", func(context.Context) error { return inner })
			})
			if !errors.Is(err, inner) || err.Error() != inner.Error() {
				t.Errorf("%s, within the lock: got %v, want fn's error as it is", name, err)
			}
		}
	})
}
