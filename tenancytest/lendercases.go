package tenancytest

import (
	"context"
	"math"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/dbpool"
)

func testLenderRefuses(l *lending) {
	lender, most := l.instance(), math.MaxInt32
	for what, ask := range map[string]dbpool.BorrowRequest{
		"no server":      {Total: 1, Want: 1},
		"negative total": {Server: lenderServer, Total: -1},
		"negative keep":  {Server: lenderServer, Total: 1, Keep: -1},
		"negative want":  {Server: lenderServer, Total: 1, Want: -1},
		"too many":       {Server: lenderServer, Total: 1, Want: most + 1},
	} {
		_, err := lender.Borrow(l.Context(), ask)
		wantErr(l.T, what, err, tenancy.ErrInvalid)
	}
	b := &borrower{l: l, lender: lender, server: lenderServer, total: 0}
	b.ask(0, 5)
	b.total = most
	if loan := b.ask(0, most); loan.Granted != most {
		l.Errorf("all of the most: granted %d", loan.Granted)
	}
}

func testLenderAlone(l *lending) {
	b := l.borrowers(1, 10)[0]
	for _, step := range []struct{ keep, want, granted int }{
		{0, 0, 0}, {0, 4, 4}, {4, 12, 10}, {10, 12, 10}, {10, 2, 10}, {5, 2, 5}, {1, 2, 2}, {0, 0, 0}, {0, 10, 10},
	} {
		if loan := b.ask(step.keep, step.want); loan.Granted != step.granted || loan.Share != step.granted {
			l.Errorf("keeps %d, wants %d: got %+v, want %d", step.keep, step.want, loan, step.granted)
		}
	}
}

func testLenderFair(l *lending) {
	all := l.borrowers(4, 11)
	var before []int
	for round := range 12 {
		var held []int
		sum := 0
		for _, b := range all {
			b.renew(20)
			held = append(held, b.held)
			sum += b.held
			if round >= 3 && (b.held < 2 || b.held > 3) {
				l.Errorf("round %d: an instance holds %d, want 2 or 3 of 11", round, b.held)
			}
		}
		if round >= 3 && sum != 11 {
			l.Errorf("round %d: got %v, want 11 in all", round, held)
		}
		for i := range held {
			if round >= 4 && held[i] != before[i] {
				l.Errorf("round %d: got %v after %v, want no change", round, held, before)
			}
		}
		before = held
	}
}

func testLenderSmallWants(l *lending) {
	all := l.borrowers(3, 12)
	for range 4 {
		all[2].renew(20)
		all[0].renew(1)
		all[1].renew(2)
	}
	l.wantHeld("wants of 1, 2 and 20", all, 1, 2, 9)
}

func testLenderNewcomer(l *lending) {
	all := l.borrowers(3, 12)
	old, other, newcomer := all[0], all[1], all[2]
	for range 3 {
		old.renew(12)
		other.renew(12)
	}
	l.wantHeld("before", all, 6, 6, 0)
	newcomer.renew(12)
	l.wantHeld("while the others have all", all, 6, 6, 0)
	for range 2 {
		old.renew(12)
		other.renew(12)
	}
	newcomer.renew(12)
	l.wantHeld("when the others have renewed twice", all, 4, 4, 4)
}

func testLenderIdle(l *lending) {
	all := l.borrowers(2, 10)
	idle, busy := all[0], all[1]
	idle.renew(8)
	idle.renew(0)
	busy.renew(2)
	if loan := idle.renew(0); loan.Granted != 8 || loan.Share != 8 {
		l.Errorf("idle, while nobody wants more: got %+v, want 8, to keep", loan)
	}
	busy.renew(5)
	l.wantHeld("before the idle knows", all, 8, 2)
	for range 2 {
		idle.renew(0)
	}
	busy.renew(5)
	l.wantHeld("when the idle has renewed twice", all, 5, 5)
	idle.renew(1)
	busy.renew(20)
	for range 2 {
		idle.renew(1)
	}
	busy.renew(20)
	l.wantHeld("when all is wanted", all, 1, 9)
}

func testLenderKeeps(l *lending) {
	all := l.borrowers(2, 10)
	all[0].ask(0, 10)
	for range 3 {
		all[1].ask(0, 10)
		if loan := all[0].ask(10, 10); loan.Granted != 10 || loan.Share != 5 {
			l.Errorf("keeps all of 10, and another wants them: got %+v, want 10, and a share of 5", loan)
		}
	}
	l.wantHeld("one keeps all", all, 10, 0)
	all[0].ask(7, 10)
	all[1].ask(0, 10)
	l.wantHeld("one keeps 7", all, 7, 3)
	if loan := all[1].ask(3, 10); loan.Granted != 3 || loan.Share != 3 {
		l.Errorf("has less than its share: got %+v, want nothing to give up", loan)
	}
}

// One connection is enough for one at a time, and nobody is locked out of it.
func testLenderOneForThree(l *lending) {
	all := l.borrowers(3, 1)
	wants := []int{1, 1, 1}
	holder := -1
	for round := range 12 {
		n := 0
		for i, b := range all {
			b.renew(wants[i])
			n += b.held
		}
		if n > 1 {
			l.Fatalf("round %d: got %d of 1 connection", round, n)
		}
		if round%4 < 3 {
			continue
		}
		now := -1
		for i, b := range all {
			if b.held == 1 {
				now = i
			}
		}
		if now == -1 || now == holder {
			l.Fatalf("round %d: instance %d holds the connection, want another than %d", round, now, holder)
		}
		holder, wants[now] = now, 0 // has done with it
	}
}

func testLenderReturn(l *lending) {
	all := l.borrowers(2, 10)
	for range 2 {
		all[0].ask(0, 10)
		all[1].ask(0, 10)
		l.wantHeld("before", all, 10, 0)
		all[0].ask(0, 0)
		all[1].ask(0, 10)
		l.wantHeld("after", all, 0, 10)
		all[1].ask(0, 0)
	}
}

func testLenderExpiry(l *lending) {
	all := l.borrowers(2, 10)
	gone, other := all[0], all[1]
	gone.ask(0, 7)
	for deadline := time.Now().Add(lenderTimeout); ; {
		loan := other.ask(0, 10)
		if loan.Granted == 10 {
			break
		}
		if loan.Granted != 3 {
			l.Fatalf("granted %d of 10, of which another has 7", loan.Granted)
		}
		if time.Now().After(deadline) {
			l.Fatalf("granted %d %v after the other's loan", loan.Granted, lenderTimeout)
		}
		time.Sleep(loan.For / 50)
	}
	if now := time.Now(); now.Before(gone.ends) {
		l.Errorf("the connections of a loan were lent %v before it ended", gone.ends.Sub(now))
	}
	late := dbpool.BorrowRequest{Server: lenderServer, Total: 10, Keep: 7, Want: 7}
	if loan, err := gone.lender.Borrow(l.Context(), late); loan.Granted != 0 || err != nil {
		l.Errorf("kept 7 beyond the loan, which another has by now: got %+v, %v, want none", loan, err)
	}
}

func testLenderServers(l *lending) {
	servers := []string{"a", "b", "a}", "{a", "ä \x00\xff"}
	join := func(server string) *borrower {
		b := l.borrowers(1, 3)[0]
		b.server = server
		return b
	}
	for _, server := range servers {
		join(server).ask(0, 0) // begins the wait
	}
	for _, server := range servers {
		b := join(server)
		b.await(0, 1, 1)
		b.ask(0, 0)
	}
	var all []*borrower
	for _, server := range servers {
		b := join(server)
		if loan := b.ask(0, 3); loan.Granted != 3 {
			l.Errorf("server %q: granted %d, want 3, whatever is lent of other servers", server, loan.Granted)
		}
		if loan := join(server).ask(0, 3); loan.Granted != 0 {
			l.Errorf("server %q: granted %d of those that another has", server, loan.Granted)
		}
		all = append(all, b)
	}
	for _, b := range all {
		b.ask(3, 3)
	}
}

func testLenderContextEnds(l *lending) {
	all := l.borrowers(2, 10)
	canceled, cancel := context.WithCancel(l.Context())
	cancel()
	expired, cancel := context.WithTimeout(l.Context(), -1)
	defer cancel()
	for want, ctx := range map[error]context.Context{context.Canceled: canceled, context.DeadlineExceeded: expired} {
		_, err := all[0].lender.Borrow(ctx, dbpool.BorrowRequest{Server: lenderServer, Total: 10, Want: 10})
		if err != want { //nolint:errorlint // unchanged
			l.Errorf("got %v, want %v", err, want)
		}
	}
	all[1].ask(0, 10)
	l.wantHeld("after calls whose context had ended", all, 0, 10)
}

func testLossKept(l *lending) {
	all := l.borrowers(3, 10)
	a, b, c := all[0], all[1], all[2]
	a.ask(0, 4)
	b.ask(0, 6)
	l.lose()
	began := time.Now()
	// Of what others may hold nothing is lent, until a loan's time has passed.
	strict := func(what string, x *borrower, keep, want, granted int) {
		l.Helper()
		loan := x.ask(keep, want)
		if loan.Granted != granted && time.Since(began) < loan.For {
			l.Errorf("%s: keeps %d, wants %d: granted %d, want %d", what, keep, want, loan.Granted, granted)
		}
	}
	strict("new", c, 0, 5, 0)
	strict("holds 4", a, 4, 9, 4)
	strict("new", c, 0, 5, 0)
	strict("gives back", a, 2, 2, 2)
	strict("takes what was given back", c, 0, 5, 2)
	strict("holds 6", b, 6, 9, 6)
	strict("gives back", b, 1, 1, 1)
	b.ask(0, 0)
	c.await(0, 9, 8)
}
