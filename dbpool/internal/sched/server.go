package sched

import "time"

// Server is one server of a budget. What it does not answer is not dialled for a while.
type Server struct {
	name   string
	budget *Budget

	// What follows is guarded by the budget's lock.
	breaker   breaker
	switching breaker // stops switching connections where that fails
	dialing   int
}

// NewServer returns a server that takes its slots from a budget.
func NewServer(name string, b *Budget) *Server {
	return &Server{name: name, budget: b, breaker: breaker{trip: serverTrip}, switching: breaker{trip: serverTrip}}
}

// Name returns the server's name.
func (s *Server) Name() string { return s.name }

// Budget returns the budget whose slots the server takes.
func (s *Server) Budget() *Budget { return s.budget }

// mayDial reports whether the breaker lets a dial of the lane's tenant through.
func (s *Server) mayDial(l *Lane, now time.Time) bool {
	return !s.breaker.tripped() || s.dialing == 0 && !now.Before(s.breaker.probeAt(l.breaker.failing(now)))
}

// Up reports whether the server's breaker is closed.
func (s *Server) Up() bool {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	return !s.breaker.tripped()
}

// Breaker returns the state of the server's breaker: "closed" while the server answers, "open"
// while it is taken to be down, and "half-open" while one dial is tried.
func (s *Server) Breaker(now time.Time) string {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	return s.breaker.state(s.dialing, now)
}

// Retry forgets that dials failed: the server has another address now.
func (s *Server) Retry() {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	s.breaker = breaker{trip: serverTrip}
}
