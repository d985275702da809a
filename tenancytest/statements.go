package tenancytest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/artflow-studio/tenancy"
)

// StatementCount counts the statements of one context, such as that of a request, so that a
// test notices when a page asks its database once for each row:
//
//	pool, err := dbpool.New(servers, &dbpool.Options{Observer: tenancytest.StatementObserver{}})
//	response, n := tenancytest.CountRequest(handler, request)
//	if got := n.Total(); got > 3 { ... }
//
// Begins and ends of transactions count as statements. Its methods may be called by many
// goroutines at once.
type StatementCount struct {
	mu       sync.Mutex // guards what follows
	of       map[tenancy.ID]int
	failures int
}

// Total returns the number of statements.
func (n *StatementCount) Total() (total int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, each := range n.of {
		total += each
	}
	return total
}

// Of returns the number of statements to the database of a tenant.
func (n *StatementCount) Of(id tenancy.ID) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.of[id]
}

// Failures returns how many of the statements failed.
func (n *StatementCount) Failures() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failures
}

type statementsKey struct{}

// CountStatements returns a context, and the count of the statements that are made with it
// and with contexts that are made of it. The pool needs a [StatementObserver].
func CountStatements(ctx context.Context) (context.Context, *StatementCount) {
	n := &StatementCount{of: map[tenancy.ID]int{}}
	return context.WithValue(ctx, statementsKey{}, n), n
}

// CountRequest serves a request, and returns the answer and the count of its statements. The
// pool needs a [StatementObserver].
func CountRequest(h http.Handler, r *http.Request) (*httptest.ResponseRecorder, *StatementCount) {
	ctx, n := CountStatements(r.Context())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(ctx))
	return w, n
}

// StatementObserver is a dbpool.Observer that counts statements for the counts of their
// contexts. What is done without one is not counted.
type StatementObserver struct{}

// ObserveWait does nothing.
func (StatementObserver) ObserveWait(context.Context, tenancy.ID, time.Duration, error) {}

// ObserveStatement counts a statement.
func (StatementObserver) ObserveStatement(ctx context.Context, id tenancy.ID, _ time.Duration, _ bool, err error) {
	n, ok := ctx.Value(statementsKey{}).(*StatementCount)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.of[id]++
	if err != nil {
		n.failures++
	}
}

// ObserveRelease does nothing.
func (StatementObserver) ObserveRelease(tenancy.ID, time.Duration) {}
