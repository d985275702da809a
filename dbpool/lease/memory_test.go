package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/lease"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// testTTL is short, and long enough for a slow machine to renew in time.
const testTTL = time.Second

func TestMemoryConforms(t *testing.T) {
	t.Parallel()
	tenancytest.TestLender(t, func(*testing.T) func() dbpool.Lender { return lease.NewMemory(testTTL).Instance })
}

func TestMemoryConformsWhenLost(t *testing.T) {
	t.Parallel()
	tenancytest.TestLenderLoss(t, func(*testing.T) (func() dbpool.Lender, func()) {
		m := lease.NewMemory(testTTL)
		return m.Instance, m.Lose
	})
}

func TestMemoryHoldsLoansLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := lease.NewMemory(0)
		a, b := m.Instance(), m.Instance()
		ask := dbpool.BorrowRequest{Server: "main", Total: 3, Want: 3}
		first, err := a.Borrow(t.Context(), ask)
		if want := (dbpool.Loan{Granted: 3, Share: 3, For: 10 * time.Second}); first != want || err != nil {
			t.Fatalf("got %+v, %v, want %+v", first, err, want)
		}
		time.Sleep(11*time.Second - time.Millisecond)
		if loan, err := b.Borrow(t.Context(), ask); loan.Granted != 0 || err != nil {
			t.Errorf("got %+v, %v, want none before 11 seconds have passed", loan, err)
		}
		time.Sleep(time.Millisecond)
		if loan, err := b.Borrow(t.Context(), ask); loan.Granted != 3 || err != nil {
			t.Errorf("got %+v, %v, want 3", loan, err)
		}
	})
}
