package sqltext

import "strings"

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

// inParts reports whether a server may have executed a part of a text that fails: it is a
// call, a block, or several statements. A statement on rows, or on the schema, is executed
// as a whole or not at all.
func inParts(query string) bool {
	var first, last string
	unclear := strings.Contains(query, `\`)
	for word := range words(query) {
		switch {
		case last == ";":
			return true
		case word == "?!":
			unclear = true
		case first == "" && word != "(":
			if first = word; !data(word) && !schema(word) {
				return true
			}
		}
		last = word
	}
	return first == "" || unclear && strings.Contains(strings.TrimRight(query, "; \t\r\n"), ";")
}

// stateless reports whether a statement leaves nothing behind in its session
// that a later one could see: no setting, temporary table, prepared statement,
// cursor, lock or open transaction. When in doubt it answers false: a function
// that is not known to be harmless may do any of that.
//
// The text of a statement does not show what a trigger, a view, an operator, a cast,
// or an application's overload of one of the server's functions does. On PostgreSQL it
// does not show either whether t.f is a column, or a call of f with the row of t.
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
