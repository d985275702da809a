package statement

import "strings"

type dialect int

const (
	postgres dialect = iota
	mysql
	sqlite
)

func dialectOf(driver string) dialect {
	switch {
	case strings.HasPrefix(driver, "mysql"):
		return mysql
	case strings.HasPrefix(driver, "sqlite"):
		return sqlite
	}
	return postgres
}

// placeholder stands for a literal, a parameter, or a list of them. cut stands for the rest
// of a text that is not shown.
const (
	placeholder = "?"
	cut         = " …"
)

// withoutLiterals returns the text with a placeholder for each literal and each parameter.
// Comments are left out, lists of literals become one placeholder, and lists of such lists
// become one list.
//
// Where the reading depends on settings of the server, such as on MySQL's
// NO_BACKSLASH_ESCAPES, the rest of the text is left out: one of the readings might show a
// literal.
func withoutLiterals(d dialect, text string) string {
	shown := text
	if len(text) > longestRead {
		shown = text[:longestRead]
	}
	l := &lexer{dialect: d, rest: shown}
	for l.rest != "" && !l.ended {
		l.next()
	}
	if l.ended || len(text) > longestRead {
		l.out = append(l.out, token{text: strings.TrimSpace(cut), space: true})
	}
	return l.String()
}

// token is a piece of the text that comes out.
type token struct {
	text  string
	space bool // before it
}

type lexer struct {
	dialect dialect
	rest    string
	space   bool // there is white space or a comment before the rest
	ended   bool // the rest is not shown
	values  bool // what follows is a value: of SET and PRAGMA
	out     []token
}

// String returns what came out, in one line.
func (l *lexer) String() string {
	var b strings.Builder
	for i, t := range l.out {
		if t.space && i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(t.text)
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

// last returns the token that many before the end, or "".
func (l *lexer) last(back int) string {
	if i := len(l.out) - 1 - back; i >= 0 {
		return l.out[i].text
	}
	return ""
}

func (l *lexer) emit(text string) {
	space := l.space && text != ")" && text != "," && l.last(0) != "("
	l.out, l.space = append(l.out, token{text, space}), false
}

// literal emits a placeholder, unless the one before is of the same list. A sign that
// belongs to the literal goes.
func (l *lexer) literal() {
	if sign := l.last(0); sign == "-" || sign == "+" {
		switch l.last(1) {
		case "(", ",", "=", "<", ">", "":
			l.space = l.out[len(l.out)-1].space
			l.out = l.out[:len(l.out)-1]
		}
	}
	if l.last(0) == placeholder {
		return // strings that stand side by side are one
	}
	if l.last(0) == "," && l.last(1) == placeholder {
		l.out, l.space = l.out[:len(l.out)-1], false
		return
	}
	l.emit(placeholder)
}

// operator emits a character.
func (l *lexer) operator(c string) {
	l.emit(c)
	if c == "=" || c == "(" {
		l.values = l.values || l.settings()
	}
	// (?), (?) is a list of rows.
	if n := len(l.out); c == ")" && n >= 7 && l.last(1) == placeholder && l.last(2) == "(" && l.last(3) == "," &&
		l.last(4) == ")" && l.last(5) == placeholder && l.last(6) == "(" {
		l.out = l.out[:n-4]
	}
}

// settings reports whether words may be values, such as in PRAGMA key = word.
func (l *lexer) settings() bool {
	first := ""
	if len(l.out) > 0 {
		first = strings.ToUpper(l.out[0].text)
	}
	return first == "SET" || first == "PRAGMA"
}

// take removes n bytes of the rest and returns them.
func (l *lexer) take(n int) string {
	taken := l.rest[:n]
	l.rest = l.rest[n:]
	return taken
}

// next reads one token.
func (l *lexer) next() {
	c := l.rest[0]
	switch {
	case c <= ' ' || c == 0x7f:
		l.take(1)
		l.space = true
	case l.comment():
	case c == '\'':
		l.text(l.dialect != sqlite)
	case c == '"':
		l.doubleQuotes()
	case c == '`' && l.dialect != postgres:
		l.name('`')
	case c == '[' && l.dialect == sqlite:
		l.bracketed()
	case c == '$':
		l.dollar()
	case c == '?' || (c == ':' || c == '@') && l.dialect == sqlite:
		l.take(1)
		l.take(wordLength(l.rest))
		l.literal()
	case digit(c) || c == '.' && len(l.rest) > 1 && digit(l.rest[1]) && !l.afterName():
		l.number()
	case letter(c):
		l.word()
	case c == '\\':
		l.ended = true // outside of texts no server knows it
	default:
		l.operator(l.take(1))
	}
}

// afterName reports whether a dot belongs to the name before it.
func (l *lexer) afterName() bool {
	before := l.last(0)
	return !l.space && before != "" && before != placeholder && (letter(before[0]) || strings.IndexByte("\"`[", before[0]) >= 0)
}

// comment reads a comment, if there is one.
func (l *lexer) comment() bool {
	switch {
	case strings.HasPrefix(l.rest, "/*"):
		l.space = true
		if l.dialect == mysql && (strings.HasPrefix(l.rest, "/*!") || strings.HasPrefix(l.rest, "/*M!")) {
			l.ended = true // a server runs it or not, by its version
			return true
		}
		l.take(2)
		for depth := 1; depth > 0 && l.rest != ""; {
			switch {
			case strings.HasPrefix(l.rest, "*/"):
				depth--
				l.take(2)
			case strings.HasPrefix(l.rest, "/*") && l.dialect == postgres:
				depth++
				l.take(2)
			default:
				l.take(1)
			}
		}
	case strings.HasPrefix(l.rest, "--") && (l.dialect != mysql || len(l.rest) == 2 || l.rest[2] <= ' '), l.rest[0] == '#' && l.dialect == mysql:
		l.space = true
		if end := strings.IndexAny(l.rest, "\r\n"); end >= 0 && (l.dialect == postgres || l.rest[end] == '\n') {
			l.take(end)
		} else if end = strings.IndexByte(l.rest, '\n'); end >= 0 {
			l.take(end)
		} else {
			l.rest = ""
		}
	default:
		return false
	}
	return true
}

// text reads a literal in quotes. Two quotes are one. Where settings of the server say
// whether a backslash makes a quote part of the literal, the rest is not shown.
func (l *lexer) text(unsure bool) {
	quote := l.take(1)[0]
	slashes := 0
	for l.rest != "" {
		switch c := l.take(1)[0]; {
		case c == '\\':
			slashes++
			continue
		case c == quote && slashes%2 == 1 && unsure:
			l.literal()
			l.ended = true
			return
		case c == quote && strings.HasPrefix(l.rest, string(quote)):
			l.take(1)
		case c == quote:
			l.literal()
			return
		}
		slashes = 0
	}
	l.literal()
}

// escaped reads PostgreSQL's E'…', in which backslashes always are escapes.
func (l *lexer) escaped() {
	l.take(1)
	for l.rest != "" {
		switch c := l.take(1)[0]; {
		case c == '\\' && l.rest != "":
			l.take(1)
		case c == '\'' && strings.HasPrefix(l.rest, "'"):
			l.take(1)
		case c == '\'':
			l.literal()
			return
		}
	}
	l.literal()
}

// doubleQuotes reads a name or a literal. SQLite takes a name that it does not know for a
// literal, except that of a table.
func (l *lexer) doubleQuotes() {
	switch {
	case l.dialect == mysql:
		l.text(true)
	case l.dialect == postgres || l.table():
		l.name('"')
	default:
		l.text(false)
	}
}

// table reports whether the name of a table must come next.
func (l *lexer) table() bool {
	switch strings.ToUpper(l.last(0)) {
	case "FROM", "JOIN", "INTO", "UPDATE", "TABLE":
		return true
	}
	return false
}

// name reads a name in quotes. One that does not end is not shown.
func (l *lexer) name(quote byte) {
	for i := 1; i < len(l.rest); i++ {
		if l.rest[i] != quote {
			continue
		}
		if i+1 < len(l.rest) && l.rest[i+1] == quote {
			i++
			continue
		}
		l.identifier(l.take(i + 1))
		return
	}
	l.literal()
	l.rest = ""
}

// bracketed reads a name in brackets.
func (l *lexer) bracketed() {
	end := strings.IndexByte(l.rest, ']')
	if end < 0 {
		l.literal()
		l.rest = ""
		return
	}
	l.identifier(l.take(end + 1))
}

// identifier emits a name, in which control characters are made harmless.
func (l *lexer) identifier(name string) {
	if l.values {
		l.literal()
		return
	}
	l.emit(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, name))
}

// dollar reads a parameter, a literal in PostgreSQL's dollar quotes, or a name of MySQL's.
func (l *lexer) dollar() {
	n := 1 + wordLength(l.rest[1:])
	switch {
	case l.dialect == mysql:
		l.identifier(l.take(n))
		return
	case l.dialect == sqlite || n > 1 && digit(l.rest[1]):
		l.take(n)
		l.literal()
		return
	}
	tag := 1
	for tag < len(l.rest) && (letter(l.rest[tag]) || tag > 1 && digit(l.rest[tag])) {
		tag++
	}
	if tag == len(l.rest) || l.rest[tag] != '$' {
		l.ended = true // no server reads on
		return
	}
	mark := l.take(tag + 1)
	if end := strings.Index(l.rest, mark); end >= 0 {
		l.take(end + len(mark))
	} else {
		l.rest = ""
	}
	l.literal()
}

// number reads a number, or what begins like one.
func (l *lexer) number() {
	n := 0
	for n < len(l.rest) {
		c := l.rest[n]
		sign := (c == '-' || c == '+') && n > 0 && l.rest[n-1]|0x20 == 'e' && !strings.HasPrefix(strings.ToLower(l.rest), "0x")
		if !digit(c) && !letter(c) && c != '.' && !sign {
			break
		}
		n++
	}
	l.take(n)
	l.literal()
}

// word reads a word, or the letter before a literal.
func (l *lexer) word() {
	word := l.take(wordLength(l.rest))
	if strings.HasPrefix(l.rest, "'") {
		switch strings.ToLower(word) {
		case "e":
			if l.dialect == postgres {
				l.escaped()
				return
			}
		case "b", "x", "n":
			l.text(l.dialect != sqlite)
			return
		}
	}
	if l.values {
		l.literal()
		return
	}
	l.emit(word)
	if strings.EqualFold(word, "TO") && l.settings() {
		l.values = true
	}
}

func wordLength(s string) int {
	n := 0
	for n < len(s) && (letter(s[n]) || digit(s[n]) || s[n] == '$') {
		n++
	}
	return n
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c >= 0x80 }

func digit(c byte) bool { return '0' <= c && c <= '9' }
