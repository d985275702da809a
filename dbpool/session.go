package dbpool

import (
	"strings"
	"sync"
	"sync/atomic"
)

// statements remembers what statements of an engine do. It is bounded; what does not
// fit is looked at each time.
type statements struct {
	functions functions
	known     sync.Map // of string to effect
	n         atomic.Int64
}

// mostStatements and longestStatement, in bytes, bound what is remembered.
const (
	mostStatements   = 4096
	longestStatement = 4096
)

// effect is what a statement may do.
type effect uint8

const (
	leaves effect = 1 << iota // something in its session that a later one could see
	writes                    // in the database
)

func (s *statements) effect(query string) effect {
	if v, ok := s.known.Load(query); ok {
		return v.(effect)
	}
	var e effect
	if !s.functions.stateless(query) {
		e |= leaves
	}
	if mayWrite(query) {
		e |= writes
	}
	if s.n.Load() < mostStatements && len(query) <= longestStatement {
		if _, loaded := s.known.LoadOrStore(strings.Clone(query), e); !loaded {
			s.n.Add(1)
		}
	}
	return e
}

// mayWrite reports whether a statement may write in the database.
func mayWrite(query string) bool {
	var first, last string
	for word := range words(query) {
		switch {
		case last == ";": // a second statement
			return true
		case first == "":
			first = word
			if word != "with" && word != "select" && word != "values" && word != "pragma" && word != "explain" {
				return true
			}
		case first != "with":
		case word == "insert", word == "update", word == "delete", word == "replace", word == "?!":
			return true
		}
		last = word
	}
	return false
}

// stateless reports whether a statement leaves nothing behind in its session
// that a later one could see: no setting, temporary table, prepared statement,
// cursor, lock or open transaction. It errs on the other side: every function
// that is not known to be harmless may do any of that.
//
// What a trigger, a view, an operator, a cast, or a function of the same name as one
// of the server's calls does not show in the text of a statement. Nor does it on
// PostgreSQL whether t.f is a column, or a call of f with the row of t.
func (f functions) stateless(query string) bool {
	if strings.Contains(query, `\`) {
		return false // whether it escapes a quote depends on the engine and its settings
	}
	var first, last, prev string
	calls := true // what stands before a parenthesis may be a function
	table := none // or the table of "insert into", or of "with", with its columns
	n := 0
	for word := range words(query) {
		with := first == "with" && (n == 2 || n == 3 && prev == "recursive")
		n++
		switch {
		case last == ";": // a second statement
			return false
		case word == "?!", word == "@", word == "temp", word == "temporary", strings.HasPrefix(word, "pg_temp"):
			return false
		case word == "(" && calls && table != named && isWord(last) && !with && !f.harmless(last, prev):
			return false
		case last == text && (word == "." || word == "(" && calls): // SQLite takes it for a name
			return false
		case isWord(word) && last == "." && (prev == ")" || prev == parameter): // (row).f calls f
			return false
		case first == "":
			first = word
			if !data(word) && !schema(word) {
				return false
			}
			calls = data(word) || word == "alter" // which calls the functions of new defaults
		case word == "select", word == "values":
			calls = true
		case word == "into" && last != "insert" && last != "replace" && last != "ignore" && last != "merge":
			return false // select … into
		}
		table = table.next(word)
		prev, last = last, word
	}
	return first != ""
}

// name is how far the name of a table behind "into" has been read.
type name int

const (
	none   name = iota
	wanted      // behind "into", or a dot
	named
)

func (n name) next(word string) name {
	switch {
	case word == "into", n == named && word == ".":
		return wanted
	case n == wanted && isWord(word):
		return named
	}
	return none
}

// data reports whether a statement that begins with the word reads or writes rows.
func data(word string) bool {
	switch word {
	case "select", "insert", "update", "delete", "with", "values", "merge", "replace":
		return true
	}
	return false
}

// schema reports whether a statement that begins with the word changes the schema.
func schema(word string) bool {
	switch word {
	case "create", "alter", "drop", "truncate":
		return true
	}
	return false
}

// text and parameter are what words yields for a quoted string, and for one like $1.
const (
	text      = "'"
	parameter = "$"
)

// words yields the words of a statement in lower case, and of its other
// characters those that matter: ( ) ; . , @. Comments are left out. A quoted identifier is the word "?", which is no harmless function, or
// "temp" if it names a schema of temporary tables. What the engines read each in
// their way, or what is not known here, is "?!".
func words(query string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := 0; i < len(query); {
			c := query[i]
			rest := query[i:]
			switch {
			case c == '\'':
				i += quoted(rest, '\'')
				if !yield(text) {
					return
				}
			case c == '"' || c == '`':
				n := quoted(rest, c)
				i += n
				word := "?"
				if temporary(rest[1:n]) {
					word = "temp"
				}
				if !yield(word) {
					return
				}
			case strings.HasPrefix(rest, "--"):
				// MySQL wants white space behind it, or it is a minus of a minus.
				if len(rest) > 2 && !strings.ContainsRune(" \t\r\n", rune(rest[2])) {
					yield("?!")
					return
				}
				i += until(rest, "\n")
			case strings.HasPrefix(rest, "/*"):
				n := 2 + until(rest[2:], "*/")
				// PostgreSQL nests comments, and MySQL runs those with a mark.
				if strings.Contains(rest[2:n], "/*") || strings.HasPrefix(rest, "/*!") || strings.HasPrefix(rest, "/*M!") {
					yield("?!")
					return
				}
				i += n
			case c == '$':
				n := dollar(rest)
				if n == 0 {
					yield("?!")
					return
				}
				i += n
				word := text
				if '0' <= rest[1] && rest[1] <= '9' {
					word = parameter
				}
				if !yield(word) {
					return
				}
			case c == '#', c == '[':
				// A comment or an operator, a quote or an array.
				yield("?!")
				return
			case letter(c):
				n := 1
				for n < len(rest) && (letter(rest[n]) || '0' <= rest[n] && rest[n] <= '9' || rest[n] == '$') {
					n++
				}
				i += n
				if !yield(strings.ToLower(rest[:n])) {
					return
				}
			default:
				i++
				if strings.IndexByte("();.,@", c) >= 0 && !yield(rest[:1]) {
					return
				}
			}
		}
	}
}

// temporary reports whether a quoted identifier is that of a schema of temporary
// tables.
func temporary(s string) bool {
	s = strings.ToLower(s)
	return strings.HasPrefix(s, "pg_temp") || s == `temp"` || s == "temp`"
}

// quoted returns the length of a quoted text, in which two quotes are one.
func quoted(s string, quote byte) int {
	for i := 1; i < len(s); i++ {
		if s[i] != quote {
			continue
		}
		if i+1 < len(s) && s[i+1] == quote {
			i++
			continue
		}
		return i + 1
	}
	return len(s)
}

// dollar returns the length of a parameter such as $1, or of a text in
// PostgreSQL's dollar quotes, and 0 for anything else.
func dollar(s string) int {
	n := 1
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	if n > 1 {
		return n
	}
	for n < len(s) && (letter(s[n]) || n > 1 && '0' <= s[n] && s[n] <= '9') {
		n++
	}
	if n == len(s) || s[n] != '$' {
		return 0
	}
	tag := s[:n+1]
	end := strings.Index(s[len(tag):], tag)
	if end < 0 {
		return 0
	}
	return end + 2*len(tag)
}

func until(s, end string) int {
	if i := strings.Index(s, end); i >= 0 {
		return i + len(end)
	}
	return len(s)
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c >= 0x80 }

func isWord(s string) bool { return s != "" && (s == "?" || letter(s[0])) }
