package analytics

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
)

// maxShared is how many answers are kept at most. The largest, a page of 500 tenants, has a few MB.
const maxShared = 32

// sharing works an answer out once for all who ask the same at about the same time.
type sharing struct {
	age  time.Duration // how long an answer is kept after it was worked out; negative: nothing is shared
	most int           // how many are kept at most

	mu      sync.Mutex // guards what follows, and waiting and over of each answer
	answers map[shareKey]*answer
	kept    []*answer // those of answers that are over, the oldest first
}

// answer is what somebody works out, or has. Nobody may change its value.
type answer struct {
	key     shareKey
	cancel  context.CancelFunc
	waiting int
	over    bool
	timer   *time.Timer   // forgets it when it is kept
	done    chan struct{} // closed when there is what follows
	value   any
	err     error
	panics  *workPanic
}

func newSharing(age time.Duration, most int) *sharing {
	return &sharing{age: age, most: most, answers: map[shareKey]*answer{}}
}

// get returns what work returns, or returned for somebody else with the same key. Work goes on
// until the contexts of all who wait for it have ended; the caller returns when its own ends.
// Errors are not kept. Work that panics does so in all who wait for it.
func (s *sharing) get(ctx context.Context, key shareKey, work func(context.Context) (any, error)) (any, error) {
	if s.age < 0 {
		return work(ctx)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a := s.join(ctx, key, work)
	defer s.leave(a)
	select {
	case <-a.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if a.panics != nil {
		panic(a.panics)
	}
	return a.value, a.err
}

// join returns the answer of that key, and counts the caller among those who wait for it.
func (s *sharing) join(ctx context.Context, key shareKey, work func(context.Context) (any, error)) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.answers[key]
	if a == nil {
		a = &answer{key: key, done: make(chan struct{})}
		ctx, a.cancel = context.WithCancel(context.WithoutCancel(ctx))
		s.answers[key] = a
		go s.run(ctx, a, work)
	}
	a.waiting++
	return a
}

// leave is the end of join. Work for which nobody waits is cancelled, and nobody joins it.
func (s *sharing) leave(a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.waiting--
	if a.waiting == 0 && !a.over {
		a.cancel()
		s.drop(a)
	}
}

// run works the answer out.
func (s *sharing) run(ctx context.Context, a *answer, work func(context.Context) (any, error)) {
	defer a.cancel()
	defer func() {
		if p := recover(); p != nil {
			a.panics = &workPanic{p, debug.Stack()}
		}
		s.finish(a)
	}()
	a.err = fmt.Errorf("%w: what works it out ended without an answer", tenancy.ErrUnavailable) // by runtime.Goexit
	a.value, a.err = work(ctx)
}

// finish tells those who wait, and keeps the answer for its age.
func (s *sharing) finish(a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.over = true
	close(a.done)
	switch {
	case s.answers[a.key] != a: // nobody waits for it, or it is too old for those to come
	case a.err != nil, a.panics != nil:
		s.drop(a)
	default:
		s.kept = append(s.kept, a)
		a.timer = time.AfterFunc(s.age, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.drop(a)
		})
		if len(s.kept) > s.most {
			s.drop(s.kept[0])
		}
	}
}

// drop forgets the answer. The caller has the lock.
func (s *sharing) drop(a *answer) {
	if s.answers[a.key] == a {
		delete(s.answers, a.key)
	}
	if i := slices.Index(s.kept, a); i >= 0 {
		s.kept = slices.Delete(s.kept, i, i+1)
		a.timer.Stop() // which has the answer, too
	}
}

// renew forgets all answers. Those who wait for one get it.
func (s *sharing) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.kept) > 0 {
		s.drop(s.kept[0])
	}
	clear(s.answers)
}

// workPanic is a panic of shared work, as it reaches those who wait for it.
type workPanic struct {
	value any
	stack []byte
}

// Error returns the value of the panic, and where it was.
func (p *workPanic) Error() string { return fmt.Sprintf("%v\n\n%s", p.value, p.stack) }

// Unwrap returns the value of the panic if it is an error.
func (p *workPanic) Unwrap() error {
	err, _ := p.value.(error)
	return err
}

// nothing is the request of a report that is asked without one.
type nothing struct{}

// shared returns a copy of the answer to the request, which the caller may change.
func shared[Q, A any](ctx context.Context, r *Reports, report string, scope tenancy.Scope, req Q, work func(context.Context, tenancy.Scope, Q) (A, error)) (A, error) {
	if r.answers.age < 0 {
		return work(ctx, scope, req)
	}
	tenant := tenancy.ID("")
	if t, ok := tenancy.FromContext(ctx); ok { // a source may look at it
		tenant = t.ID
	}
	req = copyOf(req) // the work may go on when the caller has left
	key := keyOf(time.Now(), r.answers.age, report, scope, tenant, req)
	v, err := r.answers.get(ctx, key, func(ctx context.Context) (any, error) { return work(ctx, scope, req) })
	if err != nil {
		var none A
		return none, err
	}
	return copyOf(v.(A)), nil // each report has answers of one type
}

// Renew makes the next answer of each report one of what the source has then: nobody who asks
// from now on gets an answer that somebody asked for before. Call it when what was changed
// must be seen at once, such as when a tenant was purged, or its tags changed. It is of this
// process alone: others go on for up to [ReportsOptions.Share]. Where reports read sums that
// the keeper makes, figures of a whole scope have in them a tenant that left the catalog until the
// keeper's next round, and one whose tags changed for up to 15 minutes.
func (r *Reports) Renew() {
	r.answers.renew()
	r.spans.renew()
}
