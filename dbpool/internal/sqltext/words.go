package sqltext

import (
	"iter"
	"strings"
)

// text and parameter are what words yields for a quoted string, and for one like $1.
const (
	text      = "'"
	parameter = "$"
)

// words yields the words of a statement in lower case, and those of its other
// characters that matter: ( ) ; . , @. It leaves comments out. A quoted identifier is
// the word "?", which is no harmless function, or "temp" if it names a schema of
// temporary tables. "?!" stands for text that the engines read differently, or that
// words does not know.
func words(query string) iter.Seq[string] {
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
				n := until(rest, "\n")
				if at := strings.IndexByte(rest[:n], '\r'); at >= 0 && !strings.HasPrefix(rest[at+1:], "\n") {
					yield("?!") // PostgreSQL ends it there
					return
				}
				i += n
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
					yield("?!") // a text in PostgreSQL, a part of a name elsewhere
					return
				}
				i += n
				if !yield(parameter) {
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

// dollar returns the length of a parameter such as $1, and 0 for anything else.
func dollar(s string) int {
	n := 1
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	if n == 1 {
		return 0
	}
	return n
}

func until(s, end string) int {
	if i := strings.Index(s, end); i >= 0 {
		return i + len(end)
	}
	return len(s)
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c >= 0x80 }

func isWord(s string) bool { return s != "" && (s == "?" || letter(s[0])) }
