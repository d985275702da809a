package lease

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/artflow-studio/tenancy/dbpool"
)

func TestFill(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		n     int
		wants []int
		want  []int
	}{
		{0, nil, []int{}},
		{5, nil, []int{}},
		{10, []int{20}, []int{10}},
		{10, []int{3}, []int{3}},
		{12, []int{1, 2, 20}, []int{1, 2, 9}},
		{12, []int{20, 1, 20}, []int{6, 1, 5}},
		{10, []int{10, 10, 10}, []int{4, 3, 3}},
		{11, []int{10, 10, 10}, []int{4, 4, 3}},
		{1, []int{1, 1, 1}, []int{1, 0, 0}},
		{1, []int{0, 1, 1}, []int{0, 1, 0}},
		{9, []int{4, 0, 4, 0, 4}, []int{3, 0, 3, 0, 3}},
		{100, []int{4, 5, 6}, []int{4, 5, 6}},
		{0, []int{4, 5}, []int{0, 0}},
		{-3, []int{4, 5}, []int{0, 0}},
		{5, []int{-2, 5}, []int{0, 5}},
	} {
		if diff := cmp.Diff(tt.want, fill(tt.n, tt.wants)); diff != "" {
			t.Errorf("fill(%d, %v): -want +got\n%s", tt.n, tt.wants, diff)
		}
	}
}

// FuzzFill checks what defines an even division, whatever the numbers.
func FuzzFill(f *testing.F) {
	f.Add(uint16(10), []byte{10, 10, 10})
	f.Add(uint16(12), []byte{1, 2, 200, 0})
	f.Fuzz(func(t *testing.T, total uint16, raw []byte) {
		n, wants, all := int(total), []int{}, 0
		for _, b := range raw {
			wants = append(wants, int(b))
			all += int(b)
		}
		got := fill(n, wants)
		sum := 0
		for i, g := range got {
			if g < 0 || g > wants[i] {
				t.Fatalf("fill(%d, %v) = %v: more than wanted, or less than nothing", n, wants, got)
			}
			sum += g
			if g == wants[i] {
				continue
			}
			for j, other := range got { // who has not all it wants has no less than anybody
				if other > g+1 || other > g && j > i {
					t.Fatalf("fill(%d, %v) = %v: %d has too little beside %d", n, wants, got, i, j)
				}
			}
		}
		if sum != min(n, all) {
			t.Fatalf("fill(%d, %v) = %v: got %d in all, want %d", n, wants, got, sum, min(n, all))
		}
		if again := fill(n, got); !slices.Equal(again, got) { // wanting what one has changes nothing
			t.Fatalf("fill(%d, %v) = %v, but fill of that %v", n, wants, got, again)
		}
	})
}

func TestShares(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		what  string
		total int
		loans []loan
		want  []int
	}{
		{"nobody else wants: it stays", 10, []loan{{granted: 8}, {granted: 1, want: 2}}, []int{8, 2}},
		{"only what is wanted is taken", 10, []loan{{granted: 10, want: 2}, {want: 3}}, []int{7, 3}},
		{"the idle give evenly", 10, []loan{{granted: 6}, {granted: 4}, {want: 5}}, []int{3, 2, 5}},
		{"use goes before keeping", 10, []loan{{granted: 10}, {want: 10}}, []int{0, 10}},
		{"more kept than there is", 10, []loan{{granted: 9}, {granted: 9}}, []int{5, 5}},
	} {
		if diff := cmp.Diff(tt.want, shares(tt.total, tt.loans)); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.what, diff)
		}
	}
}

// testHold is for how long the books of these tests hold a loan.
const testHold = 110

// calm returns a book that takes the place of none.
func calm() *book { return &book{epoch: -testHold} }

func (b *book) ask(t *testing.T, now int64, instance string, keep, want, granted, share int) {
	t.Helper()
	number := uint64(now*1000) + uint64(b.reported)
	gotGranted, gotShare, ok := b.lend(now, instance, number, dbpool.BorrowRequest{Server: "main", Total: 10, Keep: keep, Want: want}, testHold)
	if !ok || gotGranted != granted || gotShare != share {
		t.Errorf("at %d, %s keeps %d, wants %d: got %d, share %d, %v, want %d, share %d",
			now, instance, keep, want, gotGranted, gotShare, ok, granted, share)
	}
}

func TestLendFromLostBook(t *testing.T) {
	t.Parallel()
	b := &book{epoch: 0}
	b.ask(t, 0, "a", 4, 9, 4, 4)   // held 4 before
	b.ask(t, 1, "b", 0, 9, 0, 0)   // held none, and somebody may hold the other 6
	b.ask(t, 2, "a", 4, 9, 4, 4)   // the share is 5, which is not known to be free
	b.ask(t, 3, "a", 1, 1, 1, 1)   // gives back
	b.ask(t, 4, "b", 0, 9, 3, 3)   // what was given back is free
	b.ask(t, 5, "a", 1, 9, 1, 1)   // and gone
	b.ask(t, 109, "c", 6, 6, 6, 3) // held 6 before, and tells so at the last moment
	b.ask(t, 110, "d", 1, 1, 0, 0) // too late: it can hold none any more
	b.ask(t, 111, "a", 1, 9, 1, 1) // there is none left
	b.ask(t, 112, "c", 3, 6, 3, 3) // gives back
	b.ask(t, 113, "d", 0, 1, 1, 1) // what no loan is for is free by now
	b.ask(t, 114, "b", 3, 9, 3, 3) //
	b.ask(t, 115, "a", 1, 9, 3, 3) //
}

func TestLendAfterLaterAsk(t *testing.T) {
	t.Parallel()
	b := calm()
	all := dbpool.BorrowRequest{Server: "main", Total: 10, Want: 10}
	if granted, _, ok := b.lend(1, "a", 2, all, testHold); granted != 10 || !ok {
		t.Fatalf("got %d, %v, want 10", granted, ok)
	}
	before := slices.Clone(b.loans)
	if _, _, ok := b.lend(2, "a", 1, dbpool.BorrowRequest{Server: "main", Total: 10}, testHold); ok || !slices.Equal(b.loans, before) {
		t.Errorf("an ask of before: got %v and %v, want false and %v", ok, b.loans, before)
	}
	if granted, _, ok := b.lend(2, "a", 2, dbpool.BorrowRequest{Server: "main", Total: 10, Keep: 3, Want: 3}, testHold); granted != 3 || !ok {
		t.Errorf("the same ask twice: got %d, %v, want 3", granted, ok)
	}
}

func TestLendWhenClockIsSetBack(t *testing.T) {
	t.Parallel()
	b := calm()
	b.ask(t, 1000, "a", 0, 6, 6, 6)
	b.ask(t, 500, "b", 0, 9, 0, 0) // a's six are not known any more, nor that there are no others
	b.ask(t, 501, "a", 6, 6, 6, 5)
	b.ask(t, 500+testHold, "b", 0, 9, 4, 4)
}

// world is instances, a book and a network, all on one clock, in which everything
// goes wrong. Instances hold all they may.
type world struct {
	rng       *rand.Rand
	now       int64
	total     int
	book      *book
	instances []*simulated
	asks      []*sent // under way
	names     int
	log       []string
}

const (
	worldTTL  = 100
	worldHold = 110
	// slowest is how long a loan lasts by the clock of the slowest instance.
	slowest = 109
)

type simulated struct {
	name   string
	number uint64
	may    int   // hold so many
	until  int64 // then none
	gone   bool  // crashed; its connections stay until the end
	call   *sent // waits for the answer
}

type sent struct {
	from            *simulated
	number          uint64
	at              int64
	until           int64 // of the loan before
	ask             dbpool.BorrowRequest
	granted, share  int
	arrived, failed bool
}

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 0)), now: 1000}
	w.total = w.rng.IntN(12)
	w.book = &book{epoch: w.now}
	if w.rng.IntN(2) == 0 {
		w.book.epoch -= worldHold
	}
	for range 1 + w.rng.IntN(5) {
		w.join()
	}
	return w
}

func (w *world) join() {
	w.names++
	w.instances = append(w.instances, &simulated{name: fmt.Sprint("r", w.names)})
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%d: ", w.now)+fmt.Sprintf(format, args...))
}

func (w *world) held() (n int) {
	for _, r := range w.instances {
		n += r.may
	}
	return n
}

// step does one thing.
func (w *world) step() {
	switch p := w.rng.IntN(100); {
	case p < 10:
		long := worldTTL / 10
		if w.rng.IntN(8) == 0 {
			long = worldTTL
		}
		w.now += w.rng.Int64N(int64(long))
		w.expire()
	case p < 40:
		if r := w.instances[w.rng.IntN(len(w.instances))]; !r.gone && r.call == nil {
			w.send(r)
		}
	case p < 70:
		if len(w.asks) > 0 {
			i := w.rng.IntN(len(w.asks))
			s := w.asks[i]
			w.asks = slices.Delete(w.asks, i, i+1)
			w.arrive(s)
		}
	case p < 95:
		if r := w.instances[w.rng.IntN(len(w.instances))]; r.call != nil {
			w.answer(r)
		}
	case p < 97:
		if r := w.instances[w.rng.IntN(len(w.instances))]; r.call != nil {
			w.note("%s gives up waiting", r.name)
			r.call = nil
		}
	case p < 98:
		r := w.instances[w.rng.IntN(len(w.instances))]
		w.note("%s crashes with %d until %d", r.name, r.may, r.until)
		r.gone, r.call = true, nil
		w.join()
	case p < 99 && w.rng.IntN(4) == 0:
		w.note("the book is lost")
		w.book = &book{epoch: w.now}
	}
}

func (w *world) expire() {
	for _, r := range w.instances {
		if w.now >= r.until {
			r.may = 0
		}
	}
	w.instances = slices.DeleteFunc(w.instances, func(r *simulated) bool { return r.gone && r.may == 0 })
}

func (w *world) send(r *simulated) {
	r.may = w.rng.IntN(r.may + 1)
	r.number++
	s := &sent{from: r, number: r.number, at: w.now, until: r.until}
	s.ask = dbpool.BorrowRequest{Server: "main", Total: w.total, Keep: r.may, Want: w.rng.IntN(15)}
	if w.rng.IntN(10) == 0 {
		r.may, s.ask.Keep, s.ask.Want = 0, 0, 0
	}
	r.call = s
	w.asks = append(w.asks, s)
	w.note("%s asks %d: %+v", r.name, s.number, s.ask)
}

// arrive enters an ask. One that outlived both the loan that it speaks of and the
// book is the one thing that is believed wrongly.
func (w *world) arrive(s *sent) {
	if w.now >= s.until && w.now < w.book.epoch+worldHold && s.ask.Keep > 0 {
		s.failed = true
		return
	}
	var ok bool
	s.granted, s.share, ok = w.book.lend(w.now, s.from.name, s.number, s.ask, worldHold)
	s.arrived, s.failed = ok, !ok
	w.note("%s's ask %d: %d of share %d, %v", s.from.name, s.number, s.granted, s.share, ok)
}

func (w *world) answer(r *simulated) {
	s := r.call
	if !s.arrived {
		return
	}
	r.call = nil
	if until := s.at + slowest; until > w.now {
		r.may, r.until = s.granted, until
	}
	w.note("%s has %d", r.name, r.may)
}

// TestNeverMoreThanTotal lets calls be slow, out of order or lost, instances crash
// and books disappear. With TENANCY_SOAK set it tries more.
func TestNeverMoreThanTotal(t *testing.T) {
	t.Parallel()
	seeds := uint64(1000)
	if os.Getenv("TENANCY_SOAK") != "" {
		seeds = 30_000
	}
	full, lost := 0, 0
	for seed := range seeds {
		w := newWorld(seed)
		for range 600 {
			book := w.book
			w.step()
			if book != w.book {
				lost++
			}
			if n := w.held(); n > w.total {
				t.Fatalf("seed %d: got %d connections, want no more than %d:\n%s", seed, n, w.total, w.log[max(0, len(w.log)-60):])
			} else if n == w.total && n > 0 {
				full++
			}
		}
	}
	if full < 1000 || lost < 100 { // else this tests nothing
		t.Errorf("got %d steps with all connections lent, %d lost books, want more", full, lost)
	}
}

// TestSharesSettle lets instances that want much, and come down to their shares,
// renew again and again. Once all have told what they want, and have renewed twice
// since, each has its share at its next ask: nothing moves any more, and all that
// is wanted is lent.
func TestSharesSettle(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		b, total, n := calm(), rng.IntN(30), 1+rng.IntN(6)
		holds, wants, numbers := make([]int, n), make([]int, n), uint64(0)
		round := func(now int64) (moved bool) {
			for i := range n {
				numbers++
				granted, share, ok := b.lend(now, fmt.Sprint(i), numbers, dbpool.BorrowRequest{Server: "main", Total: total, Keep: holds[i], Want: wants[i]}, testHold)
				if !ok || granted < holds[i] {
					t.Fatalf("seed %d: got %d, %v, keeping %d", seed, granted, ok, holds[i])
				}
				next := max(holds[i], granted) // takes what it may, then gives up what it should
				next = min(next, share)
				moved = moved || next != holds[i]
				holds[i] = next
			}
			return moved
		}
		for phase := range int64(3) {
			wanted := 0
			for i := range n {
				wants[i] = rng.IntN(2) * rng.IntN(20)
				wanted += wants[i]
			}
			for i := range int64(4) {
				round(10*phase + i)
			}
			if round(10*phase + 4) {
				t.Fatalf("seed %d: still moves: %v, wants %v of %d", seed, holds, wants, total)
			}
			want, sum := fill(total, wants), 0
			for i, h := range holds {
				sum += h
				if h < want[i] {
					t.Fatalf("seed %d: %d wants %v of %d, and holds %v: got %d, want %d", seed, i, wants, total, holds, h, want[i])
				}
			}
			if sum > total || sum < min(total, wanted) {
				t.Fatalf("seed %d: wants %v of %d, holds %v", seed, wants, total, holds)
			}
		}
	}
}
