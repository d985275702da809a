// Package statement removes literals from the texts of SQL statements, so that a text can
// be shown and statements that differ in values alone are the same.
package statement

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"sync"
	"sync/atomic"
)

// Statement is the text of a statement without literals.
type Statement struct {
	// Text has at most 1,000 bytes.
	Text string
	// Fingerprint is a hash of the whole text. It is the same in every process.
	Fingerprint int64
}

// longestText, in bytes, bounds a [Statement]; longestRead bounds what is read of a text.
const (
	longestText = 1000
	longestRead = 16 << 10
)

// Of returns the statement of a text, as the driver's server reads it: pgx or postgres,
// mysql, sqlite.
func Of(driver, text string) *Statement {
	clean := withoutLiterals(dialectOf(driver), text)
	sum := sha256.Sum256([]byte(clean))
	s := &Statement{Text: clean, Fingerprint: int64(binary.BigEndian.Uint64(sum[:8]))} // any bits will do
	if len(clean) > longestText {
		s.Text = strings.ToValidUTF8(clean[:longestText-len(cut)], "") + cut
	}
	return s
}

// Known remembers the statements of texts. Its memory is bounded: about 2,000 texts of at
// most 2,000 bytes each. It may be used by many goroutines at once.
type Known struct {
	texts atomic.Pointer[texts]
}

type texts struct {
	found sync.Map // of textKey to *Statement
	n     atomic.Int64
}

type textKey struct{ driver, text string }

const (
	maxKnown     = 2000
	longestKnown = 2000
)

// Of is the function [Of].
func (k *Known) Of(driver, text string) *Statement {
	if len(text) > longestKnown {
		return Of(driver, text)
	}
	in := k.texts.Load()
	if in == nil || in.n.Load() >= maxKnown { // texts with literals in them may never come again
		in = &texts{}
		k.texts.Store(in)
	}
	key := textKey{driver, text}
	if s, ok := in.found.Load(key); ok {
		return s.(*Statement)
	}
	s := Of(driver, text)
	key.text = strings.Clone(text)
	if _, loaded := in.found.LoadOrStore(key, s); !loaded {
		in.n.Add(1)
	}
	return s
}
