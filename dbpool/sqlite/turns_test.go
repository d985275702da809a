package sqlite_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy/dbpool/sqlite"
)

// Transactions and statements that write come in the order in which they began, however long those before them take.
func TestWritersTakeTurns(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "catalog.db")
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		db, err := sqlite.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(ctx, `CREATE TABLE notes (n INT)`); err != nil {
			t.Fatal(err)
		}
		first, err := db.BeginTxx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		var writers sync.WaitGroup
		for i := range 5 {
			writers.Go(func() {
				if i == 2 { // without a transaction
					if _, err := db.ExecContext(ctx, ` INSERT INTO notes VALUES (?)`, i); err != nil {
						t.Errorf("%d: %v", i, err)
					}
					return
				}
				tx, err := db.BeginTxx(ctx, nil)
				if err != nil {
					t.Errorf("%d: %v", i, err)
					return
				}
				if _, err := tx.ExecContext(ctx, `INSERT INTO notes VALUES (?)`, i); err != nil {
					t.Errorf("%d: %v", i, err)
				}
				if i%2 == 0 {
					err = tx.Commit()
				} else {
					err = tx.Rollback()
				}
				if err != nil {
					t.Errorf("%d: %v", i, err)
				}
			})
			synctest.Wait() // until it waits for its turn
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := db.BeginTxx(short, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a context that ends: got %v", err)
		}
		time.Sleep(20 * time.Second) // longer than SQLite itself would let them wait
		if err := first.Rollback(); err != nil {
			t.Error(err)
		}
		writers.Wait()
		var got []int
		if err := db.SelectContext(ctx, &got, `SELECT n FROM notes ORDER BY rowid`); err != nil || !slices.Equal(got, []int{0, 2, 4}) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

// Who begins a transaction inside of another's, and so waits for itself, gets SQLite's error in the end.
func TestTransactionInATransaction(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "catalog.db")
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlite.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		outer, err := db.Beginx()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Beginx(); err == nil {
			t.Error("the inner one began")
		}
		if err := outer.Commit(); err != nil {
			t.Error(err)
		}
		next, err := db.Beginx()
		if err != nil {
			t.Fatal(err)
		}
		if err := next.Commit(); err != nil {
			t.Error(err)
		}
	})
}
