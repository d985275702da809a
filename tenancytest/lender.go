package tenancytest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy/dbpool"
)

// TestLender is the conformance suite for a [dbpool.Lender]. The function returns
// a function that makes instances, which share with each other and with none of
// those that were made after another call. Loans of a second make the suite
// quick, and leave most machines the time to renew them; a test that was too slow
// to do so is repeated.
func TestLender(t *testing.T, open func(t *testing.T) (instance func() dbpool.Lender)) {
	tests := map[string]func(l *lending){
		"Refuses":     testLenderRefuses,
		"Alone":       testLenderAlone,
		"Fair":        testLenderFair,
		"SmallWants":  testLenderSmallWants,
		"Newcomer":    testLenderNewcomer,
		"Idle":        testLenderIdle,
		"Keeps":       testLenderKeeps,
		"OneForThree": testLenderOneForThree,
		"Return":      testLenderReturn,
		"Expiry":      testLenderExpiry,
		"Servers":     testLenderServers,
		"ContextEnds": testLenderContextEnds,
		"AtOnce":      testLenderAtOnce,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repeat(t, test, func() (func() dbpool.Lender, func()) { return open(t), nil })
		})
	}
}

// TestLenderLoss is the conformance suite for a [dbpool.Lender] that may lose its
// memory. The function returns a function that makes instances, as that of
// [TestLender] does, and one that makes the lender forget all loans. While that
// runs asks may fail.
func TestLenderLoss(t *testing.T, open func(t *testing.T) (instance func() dbpool.Lender, lose func())) {
	for name, test := range map[string]func(l *lending){
		"Kept":   testLossKept,
		"AtOnce": testLenderAtOnce,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repeat(t, test, func() (func() dbpool.Lender, func()) { return open(t) })
		})
	}
}

const (
	lenderServer  = "main"
	lenderTimeout = 2 * time.Minute // for what must happen some time
)

// lending is one run of a test of a lender.
type lending struct {
	*testing.T
	instance func() dbpool.Lender
	lose     func() // or nil

	mu   sync.Mutex // guards what follows
	errs []string
	late bool // an instance did not renew in time, so that errs tell nothing
}

// Errorf keeps an error until it is known whether it means anything.
func (l *lending) Errorf(format string, args ...any) {
	l.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, fmt.Sprintf(format, args...))
}

func (l *lending) tooLate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late = true
}

// repeat runs a test until it was quick enough to tell something.
func repeat(t *testing.T, test func(*lending), open func() (func() dbpool.Lender, func())) {
	for range 5 {
		l := &lending{T: t}
		l.instance, l.lose = open()
		wake(l)
		test(l)
		if l.late {
			t.Logf("an instance did not renew in time; also: %q", l.errs)
			continue
		}
		for _, err := range l.errs {
			t.Error(err)
		}
		return
	}
	t.Error("instances did not renew in time: the machine is too slow, or the loans are too short")
}

// wake waits until a lender that may have lost its memory lends.
func wake(l *lending) {
	b := &borrower{l: l, lender: l.instance(), server: lenderServer, total: 1}
	b.await(0, 1, 1)
	b.ask(0, 0)
}

// borrower is an instance that keeps to the rules.
type borrower struct {
	l      *lending
	lender dbpool.Lender
	server string
	total  int
	held   int
	began  time.Time // of the last call
	ends   time.Time // of the loan
}

func (l *lending) borrowers(n, total int) []*borrower {
	out := make([]*borrower, n)
	for i := range out {
		out[i] = &borrower{l: l, lender: l.instance(), server: lenderServer, total: total}
	}
	return out
}

// ask asks, and checks what is true of all loans.
func (b *borrower) ask(keep, want int) dbpool.Loan {
	b.l.Helper()
	b.began = time.Now()
	loan, err := b.lender.Borrow(b.l.Context(), dbpool.BorrowRequest{Server: b.server, Total: b.total, Keep: keep, Want: want})
	if err != nil {
		b.l.Fatalf("Borrow(keep %d, want %d): %v", keep, want, err)
	}
	if time.Now().After(b.ends) && !b.ends.IsZero() {
		b.l.tooLate()
	}
	if loan.Granted < keep || loan.Granted > max(keep, min(want, b.total)) {
		b.l.Errorf("keeps %d, wants %d of %d: granted %d", keep, want, b.total, loan.Granted)
	}
	if loan.Share < 0 || loan.Share > loan.Granted || loan.For <= 0 {
		b.l.Errorf("keeps %d, wants %d of %d: got %+v, want a share up to what is granted, for some time", keep, want, b.total, loan)
	}
	b.held, b.ends = loan.Granted, b.began.Add(loan.For)
	return loan
}

// renew asks for so many, takes all that is granted, and comes down to its share.
func (b *borrower) renew(want int) dbpool.Loan {
	b.l.Helper()
	loan := b.ask(b.held, want)
	b.held = loan.Share
	return loan
}

// await asks until so many are granted.
func (b *borrower) await(keep, want, granted int) {
	b.l.Helper()
	for deadline := time.Now().Add(lenderTimeout); ; {
		loan := b.ask(keep, want)
		if loan.Granted == granted {
			return
		}
		if time.Now().After(deadline) {
			b.l.Fatalf("keeps %d, wants %d of %d: granted %d after %v, want %d", keep, want, b.total, loan.Granted, lenderTimeout, granted)
		}
		time.Sleep(loan.For / 20)
	}
}

// wantHeld compares what instances hold.
func (l *lending) wantHeld(what string, all []*borrower, want ...int) {
	l.Helper()
	for i, b := range all {
		if b.held != want[i] {
			l.Errorf("%s: instance %d holds %d, want %d", what, i, b.held, want[i])
		}
	}
}
