package lease

import (
	"slices"

	"github.com/artflow-studio/tenancy/dbpool"
)

// book is who was granted how many connections of one server. Times are
// milliseconds of the lender's clock. The script redis.lua does the same as the
// methods here, on the same data.
//
// A book that begins may take the place of one that was lost, with loans in it
// that have not ended. Until the last of them has, it believes what instances say in
// their first ask that they keep, and grants nothing beyond what was kept so: all
// who have not asked yet hold, at the most, the rest. Later it believes nobody: an
// instance without a loan in it keeps nothing.
type book struct {
	epoch    int64  // when the book began
	stamp    int64  // when it was changed last
	reported int    // what instances kept when they first asked, until loans of before have ended
	loans    []loan // in the order of the first ask
}

// loan is what an instance has.
type loan struct {
	instance string
	number   uint64 // of the ask
	granted  int
	want     int
	ends     int64
}

// lend enters an ask, the instance's of that number, and returns what it is
// granted, and its share of that. A loan is held for so many milliseconds. It
// reports false, and changes nothing, when a later ask came before.
func (b *book) lend(now int64, instance string, number uint64, ask dbpool.BorrowRequest, hold int64) (granted, share int, ok bool) {
	if now < b.stamp { // the clock was set back: nobody knows when a loan ends
		*b = book{epoch: now}
	}
	b.loans = slices.DeleteFunc(b.loans, func(l loan) bool { return l.ends <= now })
	me := slices.IndexFunc(b.loans, func(l loan) bool { return l.instance == instance })
	if me >= 0 && number < b.loans[me].number {
		return 0, 0, false
	}
	starting := now < b.epoch+hold
	if me < 0 {
		me = len(b.loans)
		b.loans = append(b.loans, loan{instance: instance})
		if starting {
			b.loans[me].granted = ask.Keep
			b.reported += ask.Keep
		}
	}
	limit := ask.Total
	if starting {
		limit = min(limit, b.reported)
	}
	mine := &b.loans[me]
	keep := min(ask.Keep, mine.granted)
	mine.number, mine.granted, mine.want, mine.ends = number, keep, ask.Want, now+hold
	b.stamp = now
	share = shares(ask.Total, b.loans)[me]
	for i, l := range b.loans {
		if i != me {
			limit -= l.granted
		}
	}
	mine.granted = max(keep, min(share, limit))
	return mine.granted, min(share, mine.granted), true
}

// shares divides total among instances: first by what they want, and of what is
// left then, by what they hold beyond that.
func shares(total int, loans []loan) []int {
	wants, rest := make([]int, len(loans)), make([]int, len(loans))
	for i, l := range loans {
		wants[i] = l.want
	}
	out := fill(total, wants)
	for i, l := range loans {
		rest[i] = l.granted - out[i]
		total -= out[i]
	}
	for i, n := range fill(total, rest) {
		out[i] += n
	}
	return out
}

// fill divides n evenly: who wants less than the others get has what it wants,
// the others have the same, except for one more that the first of them have when n
// does not divide. (Max-min fairness: no share can grow but at the cost of one
// that is no larger.)
func fill(n int, wants []int) []int {
	got := make([]int, len(wants))
	for {
		open := 0
		for i, want := range wants {
			if got[i] < want {
				open++
			}
		}
		if open == 0 || n <= 0 {
			return got
		}
		each := max(1, n/open)
		for i, want := range wants {
			more := max(0, min(each, want-got[i], n))
			got[i] += more
			n -= more
		}
	}
}
