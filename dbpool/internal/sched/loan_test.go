package sched

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// newBorrowing is a harness of one connection, beyond which four are shared.
func newBorrowing(t *testing.T, tenants int) *harness {
	o := testOptions(1)
	o.Lent = 4
	h := newHarness(t, tenants, o)
	h.server.budget = 5
	return h
}

// due returns what the budget asks a lender now; it must ask.
func (h *harness) due(t *testing.T) BorrowRequest {
	t.Helper()
	ask, ok := h.Due(time.Now())
	if !ok {
		t.Fatal("got no request to the lender, want one")
	}
	return ask
}

// A budget asks for what its tenants want, has what it is granted, and comes down to its share.
func TestBorrowing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newBorrowing(t, 3)
		if ask := h.due(t); ask != (BorrowRequest{Server: "main", Total: 4}) {
			t.Errorf("at first: got %+v, want nothing asked for", ask)
		}
		h.Borrowed(Loan{For: time.Minute}, nil, time.Now())
		var held []*Conn
		first, err := h.acquire(t.Context(), h.lanes[0])
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, first)
		got := make(chan *Conn)
		for i := 1; i < 3; i++ {
			go func() {
				c, err := h.acquire(t.Context(), h.lanes[i])
				if err != nil {
					t.Error(err)
				}
				got <- c
			}()
		}
		time.Sleep(PressingInterval)
		ask := h.due(t)
		if ask.Want != 2 || ask.Keep != 0 {
			t.Errorf("with two that wait: got %+v, want two asked for", ask)
		}
		if _, ok := h.Due(time.Now().Add(time.Hour)); ok {
			t.Error("got another request before the answer")
		}
		h.Borrowed(Loan{Granted: 2, Share: 2, For: time.Minute}, nil, time.Now())
		held = append(held, <-got, <-got)
		if st := h.Stat(); st.Borrowed != 2 || st.InUse != 3 {
			t.Errorf("got %+v, want three in use, two of them borrowed", st)
		}
		time.Sleep(time.Second)
		if ask := h.due(t); ask.Keep != 2 || ask.Want != 2 {
			t.Errorf("while they are in use: got %+v, want them kept", ask)
		}
		h.Borrowed(Loan{Granted: 2, Share: 1, For: time.Minute}, nil, time.Now()) // others want one
		for _, c := range held {
			c.Release(true)
		}
		time.Sleep(time.Second)
		if st := h.Stat(); st.Conns != 2 {
			t.Errorf("got %d connections, want the share and its own", st.Conns)
		}
		<-h.GiveBack()
		if st := h.Stat(); st.Conns != 1 || h.Kept().Keep != 0 {
			t.Errorf("after giving back: got %d connections, and %+v, want its own", st.Conns, h.Kept())
		}
		h.settled(t)
		h.Close()
	})
}

// A lender that fails leaves the budget what it kept, until the loan before ends.
func TestLenderFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newBorrowing(t, 1)
		h.due(t)
		if h.Borrowed(Loan{Granted: 3, Share: 3, For: 8 * time.Second}, nil, time.Now()) {
			t.Error("an answer after none: got a change")
		}
		for _, want := range []bool{true, false} {
			time.Sleep(2 * time.Second)
			h.due(t)
			if got := h.Borrowed(Loan{}, errors.New("odd"), time.Now()); got != want {
				t.Errorf("a failure: got changed %v, want %v", got, want)
			}
		}
		if st := h.Stat(); st.Borrowed != 0 {
			t.Errorf("got %d borrowed, want those given up that it did not keep", st.Borrowed)
		}
		time.Sleep(2 * time.Second)
		h.due(t)
		if !h.Borrowed(Loan{Granted: 3, Share: 3, For: 8 * time.Second}, nil, time.Now()) {
			t.Error("an answer after failures: got no change")
		}
		if st := h.Stat(); st.Borrowed != 3 {
			t.Errorf("got %d borrowed, want 3", st.Borrowed)
		}
		time.Sleep(6 * time.Second) // the rest of the time is for coming down
		if st := h.Stat(); st.Borrowed != 0 {
			t.Errorf("when the loan is about to end: got %d borrowed, want none", st.Borrowed)
		}
		h.Close()
	})
}

// A budget without shared connections asks nobody.
func TestNothingIsShared(t *testing.T) {
	t.Parallel()
	b := New("main", testOptions(1))
	if ask, ok := b.Due(time.Now()); ok {
		t.Errorf("got %+v", ask)
	}
}
