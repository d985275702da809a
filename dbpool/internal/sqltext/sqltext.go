// Package sqltext tells from a statement's text what the statement may do: leave state
// in its session, write, or run in part. When in doubt, it says that the statement may.
package sqltext

import (
	"strings"
	"sync"
	"sync/atomic"
)

// Scanner reads statements of one engine, and remembers what they do. Its memory is
// bounded; a statement that does not fit is read each time. It may be used by many
// goroutines at once.
type Scanner struct {
	functions functions
	known     sync.Map // of string to Effect
	n         atomic.Int64
}

// New returns a scanner for the engine whose driver has that name, as in
// driver.Engine.DriverName. Of an unknown engine it knows only the keywords that all
// engines have.
func New(driverName string) *Scanner { return &Scanner{functions: functionsOf(driverName)} }

// maxStatements and longestStatement, in bytes, bound what is remembered.
const (
	maxStatements    = 4096
	longestStatement = 4096
)

// Effect is what a statement may do.
type Effect uint8

// The effects.
const (
	LeavesState Effect = 1 << iota // in its session, where a later statement could see it
	Writes                         // in the database
	InParts                        // the server may have executed a part of it when it fails
)

// Effect returns what a statement may do.
func (s *Scanner) Effect(query string) Effect {
	if v, ok := s.known.Load(query); ok {
		return v.(Effect)
	}
	var e Effect
	if !s.functions.stateless(query) {
		e |= LeavesState
	}
	if mayWrite(query) {
		e |= Writes
	}
	if inParts(query) {
		e |= InParts
	}
	if s.n.Load() < maxStatements && len(query) <= longestStatement {
		if _, loaded := s.known.LoadOrStore(strings.Clone(query), e); !loaded {
			s.n.Add(1)
		}
	}
	return e
}
