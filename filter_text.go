package tenancy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// FilterError says where the text of a filter is wrong. It wraps [ErrInvalid].
type FilterError struct {
	// Offset is where the word begins, in bytes.
	Offset int
	// Word is the word that is wrong, at most 80 bytes of it.
	Word string
	// Position is where the word begins, in characters from 1 on.
	Position int
	// Problem says what is wrong with it, for the one who wrote it.
	Problem string
}

// Error returns the position, the word and the problem.
func (e *FilterError) Error() string {
	return fmt.Sprintf("filter: %q at %d: %s", e.Word, e.Position, e.Problem)
}

// Unwrap returns [ErrInvalid].
func (e *FilterError) Unwrap() error { return ErrInvalid }

// ParseFilter reads the text form of a filter: words with spaces between them, such
// as
//
//	status:active,suspended plan:pro tag:eu created:>2026-01-01 acme
//
// A word with a colon is a condition on a field: status, plan, tag, id, server,
// created, schema, or one of the given fields, each at most once; sort:name and sort:-created
// give the order. A comma separates values of status, tag, id and of given fields that are texts or
// numbers: one of them is enough. The other fields take one value. Times and numbers may
// have >, >=, < or <= in front, or be a range such as 1..9, which includes both ends.
// Other words are [Filter.Text]. What is in double quotes is one word whatever it
// holds, with a backslash in front of a quote or a backslash. Conditions on given fields
// are in [Filter.Terms].
//
// A malformed text is a [*FilterError].
func ParseFilter(text string, fields ...Field) (Filter, error) {
	all, err := allFields(fields)
	if err != nil {
		return Filter{}, err
	}
	p := parser{text: text, fields: all, seen: map[string]bool{}}
	if err := p.parse(); err != nil {
		return Filter{}, err
	}
	return p.filter, nil
}

// parser reads the text of a filter from left to right.
type parser struct {
	text   string
	at     int // what was read
	fields map[string]Field
	seen   map[string]bool
	filter Filter
	words  []string
	first  int // where the first of them begins
}

// fail says what is wrong with the word that begins at start.
func (p *parser) fail(start int, format string, args ...any) error {
	end := start
	for end < len(p.text) && p.text[end] != ' ' && end-start < 80 {
		end++
	}
	return &FilterError{
		Offset: start, Word: strings.ToValidUTF8(p.text[start:end], "\ufffd"),
		Position: utf8.RuneCountInString(p.text[:start]) + 1, Problem: fmt.Sprintf(format, args...),
	}
}

func (p *parser) parse() error {
	if len(p.text) > maxFilterText {
		return p.fail(maxFilterText, "the filter has %d bytes, want at most %d", len(p.text), maxFilterText)
	}
	for i, r := range p.text {
		if r == utf8.RuneError && !strings.HasPrefix(p.text[i:], "\ufffd") || !isPrintable(r) {
			return p.fail(i, "it is not printable UTF-8")
		}
	}
	for {
		for p.at < len(p.text) && p.text[p.at] == ' ' {
			p.at++
		}
		if p.at == len(p.text) {
			break
		}
		if err := p.word(); err != nil {
			return err
		}
	}
	p.filter.Text = strings.Join(p.words, " ")
	if len(p.filter.Text) > maxSearch {
		return p.fail(0, "it looks for %d bytes of text, want at most %d", len(p.filter.Text), maxSearch)
	}
	if err := p.filter.validateWords(); err != nil {
		return p.fail(p.first, "%s", strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": "))
	}
	return nil
}

// word reads a word to look for, or a condition.
func (p *parser) word() error {
	start := p.at
	if p.text[start] != '"' {
		end := start
		for end < len(p.text) && !strings.ContainsRune(` ":`, rune(p.text[end])) {
			end++
		}
		if end < len(p.text) && p.text[end] == ':' {
			p.at = end + 1
			return p.condition(start, strings.ToLower(p.text[start:end]))
		}
	}
	word, err := p.value(` `)
	if err != nil {
		return err
	}
	if word = strings.TrimSpace(word); word == "" {
		return p.fail(start, "there is nothing in the quotes")
	}
	if len(p.words) == 0 {
		p.first = start
	}
	p.words = append(p.words, word)
	return nil
}

// value reads a value, in quotes or up to one of the bytes that end it.
func (p *parser) value(ends string) (string, error) {
	start := p.at
	if p.at < len(p.text) && p.text[p.at] == '"' {
		return p.quoted()
	}
	for p.at < len(p.text) && !strings.Contains(ends, p.text[p.at:p.at+1]) {
		if p.text[p.at] == '"' {
			return "", p.fail(p.at, "quotes want to be around the whole value")
		}
		p.at++
	}
	return p.text[start:p.at], nil
}

// quoted reads what is in quotes.
func (p *parser) quoted() (string, error) {
	start := p.at
	var b strings.Builder
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case '"':
			p.at++
			return b.String(), nil
		case '\\':
			p.at++
			if p.at == len(p.text) || p.text[p.at] != '"' && p.text[p.at] != '\\' {
				return "", p.fail(p.at-1, "want a quote or a backslash behind the backslash")
			}
			b.WriteByte(p.text[p.at])
		default:
			b.WriteByte(c)
		}
	}
	return "", p.fail(start, "the quotes do not end")
}

// condition reads what stands behind the colon.
func (p *parser) condition(start int, name string) error {
	field, ok := p.fields[name]
	if !ok {
		known := slices.Sorted(maps.Keys(p.fields))
		return p.fail(start, "there is no such field, only %s; put text with a colon in quotes", strings.Join(known, ", "))
	}
	if p.seen[name] {
		return p.fail(start, "the field stands there twice; put all values into one")
	}
	p.seen[name] = true
	term := Term{Field: name, Kind: field.Kind, Op: OpIs}
	for _, op := range []Op{OpAtLeast, OpAtMost, OpMore, OpLess} {
		if strings.HasPrefix(p.text[p.at:], string(op)) {
			term.Op = op
			p.at += len(op)
			break
		}
	}
	if err := p.values(start, &term); err != nil {
		return err
	}
	if err := term.check(); err != nil {
		return p.fail(start, "%s", err)
	}
	if err := p.set(&term); err != nil {
		return p.fail(start, "%s", strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": "))
	}
	return nil
}

// values reads values with commas between them, or a range.
func (p *parser) values(start int, term *Term) error {
	for {
		quoted := p.at < len(p.text) && p.text[p.at] == '"'
		value, err := p.value(` ,`)
		if err != nil {
			return err
		}
		if p.at < len(p.text) && p.text[p.at] != ' ' && p.text[p.at] != ',' {
			return p.fail(start, "want a space or a comma behind the quotes")
		}
		from, to, isRange := strings.Cut(value, string(OpBetween))
		if isRange && !quoted && term.Kind != FieldText && term.Op == OpIs && len(term.Values) == 0 {
			term.Op = OpBetween
			term.Values = []string{from}
			value = to
		}
		if strings.TrimSpace(value) != value || value == "" || slices.Contains(term.Values, "") {
			return p.fail(start, "there is no value")
		}
		term.Values = append(term.Values, value)
		if p.at == len(p.text) || p.text[p.at] == ' ' {
			return nil
		}
		if term.Op != OpIs {
			return p.fail(start, "want one value behind %s", term.Op)
		}
		p.at++ // the comma
	}
}

// set puts the condition into the filter.
func (p *parser) set(term *Term) error {
	f := &p.filter
	switch term.Field {
	case "status":
		for _, v := range term.Values {
			f.Status = append(f.Status, Status(strings.ToLower(v)))
		}
	case "tag":
		for _, v := range term.Values {
			f.Tags = append(f.Tags, strings.ToLower(v))
		}
	case "id":
		for _, v := range term.Values {
			f.IDs = append(f.IDs, ID(strings.ToLower(v)))
		}
	case "created":
		f.CreatedFrom, f.CreatedBefore = term.Times()
	case "schema":
		var err error
		if f.SchemaFrom, f.SchemaBefore, err = term.versions(); err != nil {
			return err
		}
	case "plan", "server", "sort":
		if len(term.Values) > 1 {
			return fmt.Errorf("want one %s", term.Field)
		}
		switch v := term.Values[0]; term.Field {
		case "plan":
			f.Plan = v
		case "server":
			f.Server = v
		default:
			f.Sort = Sort(strings.ToLower(v))
		}
	default:
		f.Terms = append(f.Terms, *term)
		return nil
	}
	return f.Validate()
}

// String returns the text form of the filter, which [ParseFilter] reads. It leaves
// out scope, cursor and limit.
func (f *Filter) String() string {
	var words []string
	list := func(name string, values ...string) {
		if len(values) == 0 || len(values) == 1 && values[0] == "" {
			return
		}
		quoted := make([]string, len(values))
		for i, v := range values {
			quoted[i] = quote(v, ` ",`)
		}
		words = append(words, name+":"+strings.Join(quoted, ","))
	}
	list("status", asTexts(f.Status)...)
	list("plan", f.Plan)
	list("tag", f.Tags...)
	list("id", asTexts(f.IDs)...)
	list("server", f.Server)
	words = append(words, createdText(f.CreatedFrom, f.CreatedBefore)...)
	words = append(words, schemaText(f.SchemaFrom, f.SchemaBefore)...)
	for _, t := range f.Terms {
		words = append(words, t.String())
	}
	list("sort", string(f.Sort))
	if text := strings.TrimSpace(f.Text); text != "" {
		plain := strings.Join(strings.Fields(text), " ")
		if plain != text || strings.ContainsAny(text, `":`) {
			text = quote(text, text) // in any case
		}
		words = append(words, text)
	}
	return strings.Join(words, " ")
}

// String returns the text form of the term.
func (t Term) String() string {
	values := make([]string, len(t.Values))
	for i, v := range t.Values {
		values[i] = quote(v, ` ",`)
	}
	switch {
	case t.Op == OpBetween && len(values) == 2:
		return t.Field + ":" + t.Values[0] + string(OpBetween) + t.Values[1]
	case t.Op == OpIs:
		return t.Field + ":" + strings.Join(values, ",")
	}
	return t.Field + ":" + string(t.Op) + strings.Join(values, ",")
}

// createdText returns the one condition that a range of times is.
func createdText(from, before time.Time) []string {
	text := func(t time.Time) string {
		t = t.UTC()
		if t.Equal(t.Truncate(24 * time.Hour)) {
			return t.Format(time.DateOnly)
		}
		return t.Format(time.RFC3339Nano)
	}
	switch {
	case from.IsZero() && before.IsZero():
		return nil
	case before.IsZero():
		return []string{"created:>=" + text(from)}
	case from.IsZero():
		return []string{"created:<" + text(before)}
	}
	last := before.Add(-time.Microsecond).UTC().Format(time.RFC3339Nano)
	if day := before.UTC().AddDate(0, 0, -1); day.Equal(day.Truncate(24*time.Hour)) && !day.Before(from) {
		last = day.Format(time.DateOnly)
	}
	return []string{"created:" + text(from) + string(OpBetween) + last}
}

// schemaText returns the one condition that a range of schema versions is.
func schemaText(from, before int64) []string {
	switch {
	case from == 0 && before == 0:
		return nil
	case before == 0:
		return []string{fmt.Sprintf("schema:>=%d", from)}
	case from == 0:
		return []string{fmt.Sprintf("schema:<%d", before)}
	case before == from+1:
		return []string{fmt.Sprintf("schema:%d", from)}
	}
	return []string{fmt.Sprintf("schema:%d..%d", from, before-1)}
}

// quote puts the text into quotes if it has one of the bytes, or if one of the
// operators could be seen in front of it.
func quote(s, special string) string {
	if s != "" && !strings.ContainsAny(s, special) && !strings.ContainsAny(s[:1], "<>") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func asTexts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}
