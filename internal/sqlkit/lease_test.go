package sqlkit_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/internal/sqlkit"
	"github.com/artflow-studio/tenancy/internal/testserver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// leaseTable makes a table of leases, and one that counts.
func leaseTable(t *testing.T, db *sqlx.DB) *sqlkit.Leases {
	t.Helper()
	db.MustExec(dialect(t, db).LeaseTable("tenancy_test_leases"))
	db.MustExec(`CREATE TABLE notes (id INT)`)
	l, err := sqlkit.NewLeases(db, "tenancy_test_leases")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func acquire(t *testing.T, l *sqlkit.Leases) *sqlkit.Lease {
	t.Helper()
	lease, err := l.Acquire(t.Context(), "work", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// expire ends the time of all leases, as if ttl had passed.
func expire(t *testing.T, db *sqlx.DB) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), `UPDATE tenancy_test_leases SET expires_at = 1`); err != nil {
		t.Fatal(err)
	}
}

func TestLeaseHasOneHolder(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		leases := leaseTable(t, db)
		var got, refused atomic.Int64
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() {
				switch _, err := leases.Acquire(t.Context(), "work", time.Hour); {
				case err == nil:
					got.Add(1)
				case errors.Is(err, tenancy.ErrLimited):
					refused.Add(1)
				default:
					t.Errorf("Acquire: %v", err)
				}
			})
		}
		wg.Wait()
		if got.Load() != 1 || refused.Load() != 29 {
			t.Errorf("got %d holders and %d refused, want 1 and 29", got.Load(), refused.Load())
		}
		if _, err := leases.Acquire(t.Context(), "other work", time.Hour); err != nil {
			t.Errorf("a lease of another name: %v", err)
		}
	})
}

func TestLeaseThatChangedHands(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		leases := leaseTable(t, db)
		first := acquire(t, leases)
		if err := first.Renew(t.Context()); err != nil {
			t.Errorf("Renew: %v", err)
		}
		expire(t, db)
		if err := first.Renew(t.Context()); err != nil {
			t.Errorf("Renew of a lease that nobody took: %v", err)
		}
		if _, err := leases.Acquire(t.Context(), "work", time.Hour); !errors.Is(err, tenancy.ErrLimited) {
			t.Errorf("a lease that was renewed: got %v, want ErrLimited", err)
		}
		expire(t, db)
		second := acquire(t, leases)
		if second.Token() <= first.Token() {
			t.Errorf("got token %d after %d, want a larger one", second.Token(), first.Token())
		}
		for range 2 {
			if err := first.Renew(t.Context()); !errors.Is(err, tenancy.ErrConflict) {
				t.Errorf("Renew of a lease that was taken: got %v, want ErrConflict", err)
			}
			if err := first.Release(t.Context()); err != nil {
				t.Errorf("Release: %v", err)
			}
		}
		if err := second.Renew(t.Context()); err != nil {
			t.Errorf("Renew by the new holder: %v", err)
		}
		if err := second.Release(t.Context()); err != nil {
			t.Errorf("Release: %v", err)
		}
		if err := second.Renew(t.Context()); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("Renew of a lease that was released: got %v, want ErrConflict", err)
		}
		if third := acquire(t, leases); third.Token() <= second.Token() {
			t.Errorf("got token %d after %d, want a larger one", third.Token(), second.Token())
		}
	})
}

// A holder whose time is over may still commit, because nobody can take the lease
// before; one that lost it may not.
func TestLeaseLocksTransactions(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		leases := leaseTable(t, db)
		first := acquire(t, leases)
		expire(t, db)
		write := func(l *sqlkit.Lease, while func()) error {
			return sqlkit.Tx(t.Context(), db, nil, func(tx *sqlx.Tx) error {
				if err := l.Lock(t.Context(), tx); err != nil {
					return err
				}
				while()
				_, err := tx.ExecContext(t.Context(), `INSERT INTO notes (id) VALUES (1)`)
				return err
			})
		}
		var second *sqlkit.Lease
		taken := make(chan struct{})
		err := write(first, func() {
			if n := lockedByOthers(t, db); n == nil {
				t.Error("another transaction could lock the lease, want it refused")
			}
			go func() {
				defer close(taken)
				second = acquire(t, leases)
				if n := count(t, db, "notes"); n != 1 {
					t.Errorf("the next holder sees %d notes, want the one of the transaction before it", n)
				}
			}()
		})
		if err != nil {
			t.Fatalf("a transaction of the holder: %v", err)
		}
		<-taken
		if err := write(first, func() {}); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("a transaction of who lost the lease: got %v, want ErrConflict", err)
		}
		if err := write(second, func() {}); err != nil {
			t.Errorf("a transaction of the new holder: %v", err)
		}
		if n := count(t, db, "notes"); n != 2 {
			t.Errorf("got %d notes, want 2", n)
		}
	})
}

// Transactions of the holder that follow each other without a gap do not keep the holder from renewing the lease. Others wait for all of them.
func TestLeaseIsRenewedBesideTransactions(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		if s.Name != "postgres" {
			return // the others let one that waits come first
		}
		db := s.Database(t)
		leases := leaseTable(t, db)
		lease := acquire(t, leases)
		begin := func() *sqlx.Tx {
			tx, err := db.Beginx()
			if err == nil {
				err = lease.Lock(context.Background(), tx)
			}
			if err != nil {
				t.Error(err)
			}
			return tx
		}
		stop, stopped := make(chan struct{}), make(chan struct{})
		last := begin()
		go func() { // at each moment a transaction has locked the lease
			defer close(stopped)
			for {
				next := begin()
				_ = last.Commit()
				last = next
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := lease.Renew(ctx); err != nil {
			t.Errorf("Renew: %v", err)
		}
		close(stop)
		<-stopped
		expire(t, db)
		taken := make(chan struct{})
		go func() { defer close(taken); acquire(t, leases) }()
		waitForLock(t, db)
		select {
		case <-taken:
			t.Error("the lease was taken while a transaction had locked it")
		default:
		}
		if err := last.Commit(); err != nil {
			t.Error(err)
		}
		<-taken
	})
}

// waitForLock waits until a session of PostgreSQL waits for a lock.
func waitForLock(t *testing.T, db *sqlx.DB) {
	t.Helper()
	testserver.Await(t, "somebody waits for a lock", func() bool {
		var n int
		err := db.Get(&n, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
		if err != nil {
			t.Fatal(err)
		}
		return n > 0
	})
}

// lockedByOthers returns the error of a transaction that wants the lease's row for
// itself and does not wait.
func lockedByOthers(t *testing.T, db *sqlx.DB) error {
	t.Helper()
	conn, err := db.Connx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if dialect(t, db) == sqlkit.SQLite {
		if _, err := conn.ExecContext(t.Context(), `PRAGMA busy_timeout = 0`); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(t.Context(), `BEGIN IMMEDIATE`); err != nil {
			return err
		}
		_, err = conn.ExecContext(t.Context(), `ROLLBACK`)
		return err
	}
	return sqlkit.Tx(t.Context(), conn, nil, func(tx *sqlx.Tx) error {
		var name string
		return tx.GetContext(t.Context(), &name, `SELECT name FROM tenancy_test_leases FOR UPDATE NOWAIT`)
	})
}

// The clock in a bubble of synctest stands at the year 2000, and that of the server
// does not.
func TestLeaseBetweenClocksThatDiffer(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		if s.Name == "sqlite" {
			return // its clock is that of the machine, which all its processes share
		}
		tenant := s.Tenant(t, "database")
		open := func(t *testing.T) *sqlx.DB {
			db, err := s.Pool(t, &dbpool.Options{MaxConns: 2}).For(t.Context(), tenant)
			if err != nil {
				t.Fatal(err)
			}
			return db
		}
		db := open(t)
		leases := leaseTable(t, db)
		ours := acquire(t, leases)
		past := func(check func(*sqlkit.Leases)) {
			synctest.Test(t, func(t *testing.T) {
				l, err := sqlkit.NewLeases(open(t), "tenancy_test_leases")
				if err != nil {
					t.Fatal(err)
				}
				check(l)
			})
		}
		past(func(l *sqlkit.Leases) {
			if _, err := l.Acquire(context.Background(), "work", time.Hour); !errors.Is(err, tenancy.ErrLimited) {
				t.Errorf("a process whose clock is behind: got %v, want ErrLimited", err)
			}
		})
		if err := ours.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		past(func(l *sqlkit.Leases) {
			if _, err := l.Acquire(context.Background(), "work", time.Hour); err != nil {
				t.Errorf("a process whose clock is behind, of a free lease: %v", err)
			}
		})
		if _, err := leases.Acquire(t.Context(), "work", time.Hour); !errors.Is(err, tenancy.ErrLimited) {
			t.Errorf("a lease of a process whose clock is behind: got %v, want ErrLimited", err)
		}
	})
}

func TestLeaseDo(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		leases := leaseTable(t, db)
		wrong := errors.New("wrong")
		err := leases.Do(t.Context(), "work", time.Hour, func(ctx context.Context, l *sqlkit.Lease) error {
			if err := leases.Do(ctx, "work", time.Hour, nil); !errors.Is(err, tenancy.ErrLimited) {
				t.Errorf("while it is held: got %v, want ErrLimited", err)
			}
			return wrong
		})
		if !errors.Is(err, wrong) {
			t.Errorf("got %v, want the function's error", err)
		}
		func() {
			defer func() {
				if p := recover(); p != "oh" {
					t.Errorf("got panic %v, want oh", p)
				}
			}()
			_ = leases.Do(t.Context(), "work", time.Hour, func(context.Context, *sqlkit.Lease) error { panic("oh") })
		}()
		// Released after both: or this one is refused.
		err = leases.Do(t.Context(), "work", 300*time.Millisecond, func(ctx context.Context, l *sqlkit.Lease) error {
			if _, err := db.ExecContext(ctx, `UPDATE tenancy_test_leases SET token = token + 1, holder = 'thief'`); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		})
		if !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("a lease that was taken: got %v, want ErrConflict", err)
		}
		var holder string
		if err := db.Get(&holder, `SELECT holder FROM tenancy_test_leases`); err != nil || holder != "thief" {
			t.Errorf("got holder %q, %v, want that nobody released another's lease", holder, err)
		}
	})
}

// A lease that was lost is an error, also if the caller's context ends after that and the function returns nil.
func TestLeaseLostBeforeItsContextEnds(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		leases := leaseTable(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := leases.Do(ctx, "work", 300*time.Millisecond, func(held context.Context, _ *sqlkit.Lease) error {
			if _, err := db.ExecContext(ctx, `UPDATE tenancy_test_leases SET token = token + 1, holder = 'thief'`); err != nil {
				return err
			}
			<-held.Done()
			cancel()
			return nil
		})
		if !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("got %v, want ErrConflict", err)
		}
	})
}

// A function that returns after the lease has ended may have worked beside another. The end of the caller's context
// before that is no loss.
func TestLeaseThatEndsBeforeItsWork(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	for name, tt := range map[string]struct {
		works time.Duration
		lost  bool
	}{
		"in time": {time.Minute - time.Nanosecond, false},
		"late":    {time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenant := s.Tenant(t, "database")
			synctest.Test(t, func(t *testing.T) {
				db, err := s.Pool(t, nil).For(t.Context(), tenant)
				if err != nil {
					t.Fatal(err)
				}
				leases := leaseTable(t, db)
				ctx, cancel := context.WithCancel(t.Context())
				err = leases.Do(ctx, "work", time.Minute, func(context.Context, *sqlkit.Lease) error {
					cancel() // nobody renews it from now on
					time.Sleep(tt.works)
					return nil
				})
				if errors.Is(err, tenancy.ErrConflict) != tt.lost || err != nil && !tt.lost {
					t.Errorf("got %v, want ErrConflict: %v", err, tt.lost)
				}
			})
		})
	}
}

// A holder that cannot reach the database stops by its own clock.
func TestLeaseDoStopsInTime(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		leases := leaseTable(t, db)
		err := leases.Do(t.Context(), "work", 300*time.Millisecond, func(ctx context.Context, l *sqlkit.Lease) error {
			if err := db.Close(); err != nil {
				return err
			}
			<-ctx.Done()
			if time.Now().Before(l.Until()) {
				t.Errorf("ended before the lease did")
			}
			return ctx.Err()
		})
		if !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("got %v, want ErrConflict", err)
		}
	})
}

// Every room's table of leases is made by the statement of LeaseTable.
func TestLeaseTablesOfRooms(t *testing.T) {
	t.Parallel()
	root := os.DirFS(filepath.Join("..", ".."))
	statement := regexp.MustCompile(`(?s)CREATE TABLE (tenancy_[a-z]+_leases) \(.*?;`)
	found := 0
	err := fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(file) != ".sql" {
			return err
		}
		text, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		for _, m := range statement.FindAllSubmatch(text, -1) {
			found++
			if want := sqlkit.Dialect(path.Base(path.Dir(file))).LeaseTable(string(m[1])); string(m[0]) != want {
				t.Errorf("%s: got\n%s\nwant\n%s", file, m[0], want)
			}
		}
		return nil
	})
	if err != nil || found < 3 {
		t.Errorf("got %d tables, %v, want one for each dialect at least", found, err)
	}
}

// The database's clock was set back by an hour, and the holder died: the next one does not wait for an hour. One
// that lives corrects the lease when it renews it, and keeps it until then.
func TestLeaseAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		db := s.Database(t)
		leases := leaseTable(t, db)
		const ttl = 10 * time.Millisecond
		dead := acquire(t, leases)
		late := func(by int) {
			t.Helper()
			if _, err := db.Exec(db.Rebind(`UPDATE tenancy_test_leases SET expires_at = expires_at + ? WHERE name = 'work'`), by); err != nil {
				t.Fatal(err)
			}
		}
		late(int(time.Hour.Microseconds()))
		for range 5 { // somebody renews it
			late(1)
			if _, err := leases.Acquire(t.Context(), "work", ttl); !errors.Is(err, tenancy.ErrLimited) {
				t.Fatalf("got %v, want ErrLimited while it is renewed", err)
			}
			time.Sleep(11 * 10 * time.Millisecond / 5)
		}
		var next *sqlkit.Lease
		for deadline := time.Now().Add(10 * time.Minute); next == nil && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			var err error
			if next, err = leases.Acquire(t.Context(), "work", ttl); err != nil && !errors.Is(err, tenancy.ErrLimited) {
				t.Fatal(err)
			}
		}
		if next == nil {
			t.Fatal("the lease was not taken over in minutes")
		}
		if next.Token() != dead.Token()+1 {
			t.Errorf("got the token %d, want %d", next.Token(), dead.Token()+1)
		}
		if err := dead.Renew(t.Context()); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("Renew of the lease that was taken over: got %v, want ErrConflict", err)
		}
	})
}
