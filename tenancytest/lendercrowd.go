package tenancytest

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
)

const (
	crowdSize  = 6 // instances at a time
	crowdTotal = 7 // connections that they share
	crowdTime  = 2 * time.Second
)

// crowd is many instances that hold connections, crash, and come again.
type crowd struct {
	*lending
	end  time.Time
	held atomic.Int64 // by all
	full atomic.Int64 // how often all connections were held
}

// testLenderAtOnce lets instances ask at random and at once, and now and then
// makes the lender lose its memory, if it can. There are never more connections
// than there may be.
func testLenderAtOnce(l *lending) {
	c := &crowd{lending: l, end: time.Now().Add(crowdTime)}
	var wg sync.WaitGroup
	for range crowdSize {
		wg.Go(c.live)
	}
	if l.lose != nil {
		wg.Go(func() {
			for c.goesOn() {
				time.Sleep(rand.N(crowdTime / 5))
				l.lose()
			}
		})
	}
	wg.Wait()
	if l.lose == nil && c.full.Load() == 0 {
		l.Errorf("never were all connections held: this tests nothing")
	}
}

func (c *crowd) goesOn() bool { return time.Now().Before(c.end) }

// live is one instance after the other.
func (c *crowd) live() {
	for c.goesOn() {
		m := &member{crowd: c, lender: c.instance()}
		for c.goesOn() && !m.crashed {
			m.step()
		}
		m.hold(0)
		if !m.crashed {
			m.ask(0)
		}
	}
}

// member is an instance of a crowd.
type member struct {
	*crowd
	lender  dbpool.Lender
	held    int
	loan    dbpool.Loan
	ends    time.Time
	crashed bool
}

// hold changes how many connections the instance holds.
func (m *member) hold(n int) {
	if m.held > 0 && time.Now().After(m.ends) {
		m.tooLate()
	}
	all := m.crowd.held.Add(int64(n - m.held))
	if n > m.held && all > crowdTotal {
		m.Errorf("got %d connections, want no more than %d", all, crowdTotal)
	}
	if all == crowdTotal {
		m.full.Add(1)
	}
	m.held = n
}

// ask reports whether it was answered.
func (m *member) ask(want int) bool {
	began := time.Now()
	loan, err := m.lender.Borrow(m.Context(), dbpool.BorrowRequest{Server: lenderServer, Total: crowdTotal, Keep: m.held, Want: want})
	if err != nil {
		if m.lose == nil || !errors.Is(err, tenancy.ErrUnavailable) {
			m.Errorf("Borrow: %v", err)
		}
		return false
	}
	if loan.Granted < m.held {
		m.Errorf("keeps %d: granted %d", m.held, loan.Granted)
	}
	m.loan, m.ends = loan, began.Add(loan.For)
	return true
}

// step gives some connections up, renews, takes some, and waits a little or
// crashes.
func (m *member) step() {
	if rand.IntN(2) == 0 {
		m.hold(min(m.held, m.loan.Share))
	} else {
		m.hold(rand.IntN(m.held + 1))
	}
	want := rand.IntN(2 * crowdTotal)
	if m.ask(want) {
		m.hold(max(m.held, rand.IntN(m.loan.Granted+1), min(want, m.loan.Granted)))
	} else if time.Until(m.ends) < m.loan.For/2 {
		m.hold(0)
	}
	if rand.IntN(20) > 0 {
		time.Sleep(rand.N(m.loan.For/30 + time.Millisecond))
		return
	}
	// Its connections stay for a while.
	time.Sleep(min(rand.N(m.loan.For/2+1), max(0, time.Until(m.ends)-m.loan.For/4)))
	m.crashed = true
}
