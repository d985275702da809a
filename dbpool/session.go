package dbpool

import (
	"strings"
	"sync"
	"sync/atomic"
)

// statements remembers which statements leave no state in their session. It is
// bounded; what does not fit is looked at each time.
type statements struct {
	known sync.Map // of string to bool
	n     atomic.Int64
}

// mostStatements bounds what is remembered.
const mostStatements = 4096

// stateless reports whether a statement leaves nothing behind in its session
// that a later one could see: no setting, temporary table, prepared statement,
// cursor, lock or open transaction. It errs on the other side: every function
// that is not known to be harmless may do any of that.
//
// What a trigger, a view or an operator calls does not show in the text of a
// statement.
func (s *statements) stateless(query string) bool {
	if v, ok := s.known.Load(query); ok {
		return v.(bool)
	}
	v := stateless(query)
	if s.n.Load() < mostStatements {
		if _, loaded := s.known.LoadOrStore(strings.Clone(query), v); !loaded {
			s.n.Add(1)
		}
	}
	return v
}

// stateless is that for one statement, without memory.
func stateless(query string) bool {
	if strings.Contains(query, `\`) {
		return false // whether it escapes a quote depends on the engine and its settings
	}
	var first, last, prev string
	calls := true // what stands before a parenthesis may be a function
	for word := range words(query) {
		switch {
		case last == ";": // a second statement
			return false
		case word == "@", word == "temp", word == "temporary":
			return false
		case word == "(" && calls && isWord(last) && !harmless(last) && prev != "into":
			return false // a function, or a table's columns behind "insert into"
		case first == "":
			first = word
			if !data(word) && !schema(word) {
				return false
			}
			calls = data(word)
		case word == "select":
			calls = true
		case word == "into" && last != "insert" && last != "replace" && last != "ignore" && last != "merge":
			return false // select … into
		}
		prev, last = last, word
	}
	return first != ""
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

// words yields the words of a statement in lower case, and of its other
// characters those that matter: ( ) ; @. Comments and quoted strings are left
// out; a quoted identifier is the word "?", which is no harmless function. A
// schema in front of a name is left out too.
func words(query string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := 0; i < len(query); {
			c := query[i]
			rest := query[i:]
			switch {
			case c == '\'':
				i += quoted(rest, '\'')
			case c == '"' || c == '`':
				i += quoted(rest, c)
				if !yield("?") {
					return
				}
			case strings.HasPrefix(rest, "--") || c == '#':
				i += until(rest, "\n")
			case strings.HasPrefix(rest, "/*"):
				if strings.HasPrefix(rest, "/*!") || strings.HasPrefix(rest, "/*M!") { // MySQL runs these
					yield("@")
					return
				}
				i += until(rest, "*/")
			case c == '$' && dollar(rest) > 0:
				i += dollar(rest)
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
				if strings.IndexByte("();@", c) >= 0 && !yield(rest[:1]) {
					return
				}
			}
		}
	}
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

// dollar returns the length of a text in PostgreSQL's dollar quotes, or 0.
func dollar(s string) int {
	end := strings.IndexByte(s[1:], '$')
	if end < 0 {
		return 0
	}
	tag := s[:end+2]
	for _, c := range []byte(tag[1 : len(tag)-1]) {
		if !letter(c) {
			return 0 // $1 … $2
		}
	}
	close := strings.Index(s[len(tag):], tag)
	if close < 0 {
		return len(s)
	}
	return close + 2*len(tag)
}

func until(s, end string) int {
	if i := strings.Index(s, end); i >= 0 {
		return i + len(end)
	}
	return len(s)
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c >= 0x80 }

func isWord(s string) bool { return s != "" && (s == "?" || letter(s[0])) }

// harmless reports whether a word that stands before a parenthesis is a keyword,
// or a function that leaves no state behind on any engine.
func harmless(word string) bool {
	_, ok := harmlessWords[word]
	return ok
}

var harmlessWords = func() map[string]struct{} {
	m := map[string]struct{}{}
	for _, w := range strings.Fields(`
		all and any array as between by case cast check conflict distinct else except exists extract filter from group having if
		in inner intersect is join key lateral left like limit materialized not null offset on or order outer over partition
		returning right row rows select set some then union update using values when where with within

		abs age array_agg array_length avg bool_and bool_or cardinality ceil ceiling char_length coalesce concat concat_ws
		convert count current_date current_time current_timestamp date date_add date_format date_part date_sub date_trunc
		datetime day decode dense_rank encode every exp first_value floor from_unixtime gen_random_uuid generate_series
		greatest group_concat hex hour iif ifnull instr json_agg json_array json_array_length json_build_object json_each
		json_extract json_object json_object_agg json_set json_value jsonb_agg jsonb_array_elements jsonb_build_object
		jsonb_object_agg jsonb_set julianday lag last_value lead least length ln localtimestamp log lower lpad ltrim max md5
		min minute mod month nextval now ntile nullif numeric octet_length percentile_cont position power quote random rand
		rank regexp_like regexp_match regexp_replace repeat replace reverse round row_number rpad rtrim second sha1 sha2 sign
		similarity split_part sqrt stddev strftime string_agg strpos substr substring sum time timestampdiff to_char to_date
		to_json to_jsonb to_number to_timestamp to_tsquery to_tsvector total trim trunc ts_rank typeof unhex unix_timestamp
		unixepoch unnest upper utc_timestamp uuid variance varchar websearch_to_tsquery plainto_tsquery year pg_sleep sleep`) {
		m[w] = struct{}{}
	}
	return m
}()
