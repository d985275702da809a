package tenancy

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// maxWords is how many words a filter may look for.
const maxWords = 16

// Words returns the words of a text, each once and in ascending order. A word is a run
// of letters and digits, or a run of symbols such as emoji; everything else stands
// between words: spaces, hyphens, dots, apostrophes. Each letter is in lower case, where
// it has one: "GRÖSSE" is "grösse", which is not "größe". Characters that only say how
// others are joined or shown are left out. An accent that is a character of its own stays
// one.
func Words(text string) []string {
	var all []string
	var word strings.Builder
	var kind runeKind
	end := func() {
		if word.Len() > 0 {
			all = append(all, word.String())
			word.Reset()
		}
	}
	for _, r := range text {
		switch next := kindOf(r); next {
		case hidden:
			continue
		case mark: // belongs to what stands before it
			if kind != between {
				word.WriteRune(r) // as it is: one of them is a letter in another case
			}
			continue
		default:
			if next != kind {
				end()
			}
			kind = next
		}
		if kind != between {
			word.WriteRune(unicode.ToLower(unicode.ToUpper(r))) // ς and σ are one letter
		}
	}
	end()
	slices.Sort(all)
	return slices.Compact(all)
}

// runeKind is what a character is to words.
type runeKind uint8

const (
	between runeKind = iota // two words
	letter                  // or digit
	symbol
	mark   // an accent
	hidden // a joiner or selector
)

func kindOf(r rune) runeKind {
	switch {
	case r == '\u200c', r == '\u200d', unicode.Is(unicode.Variation_Selector, r):
		return hidden
	case unicode.IsLetter(r), unicode.IsNumber(r):
		return letter
	case unicode.IsMark(r):
		return mark
	case unicode.IsSymbol(r):
		return symbol
	}
	return between
}

// Words returns the words of the tenant's slug, name and domains, as [Words] has them,
// by whose beginnings [Filter.Text] finds the tenant. In scripts that put no spaces between
// words, and among symbols, a word begins with each character.
func (t *Tenant) Words() []string {
	all := Words(t.Slug + " " + t.Name + " " + strings.Join(t.Domains, " "))
	for _, word := range slices.Clone(all) {
		for i, r := range word {
			if i > 0 && (unicode.IsSymbol(r) || unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana,
				unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar) && !unicode.IsMark(r)) {
				all = append(all, word[i:])
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Words returns the words with which words of a tenant must begin: those of Text, without
// those that begin others. None is no condition.
func (f *Filter) Words() []string {
	all := Words(f.Text)
	return slices.DeleteFunc(slices.Clone(all), func(word string) bool {
		return slices.ContainsFunc(all, func(other string) bool { return other != word && strings.HasPrefix(other, word) })
	})
}

// MatchesText reports whether each word of Text begins a word of the tenant.
func (f *Filter) MatchesText(t *Tenant) bool {
	words := f.Words()
	if len(words) == 0 {
		return true
	}
	all := t.Words()
	for _, word := range words {
		i, _ := slices.BinarySearch(all, word)
		if i == len(all) || !strings.HasPrefix(all[i], word) {
			return false
		}
	}
	return true
}

// validateWords reports a text in which there is nothing to look for.
func (f *Filter) validateWords() error {
	n := len(f.Words())
	if n == 0 && strings.TrimSpace(f.Text) != "" {
		return fmt.Errorf("%w: text %.40q of the filter has no letter, digit or symbol to look for", ErrInvalid, f.Text)
	}
	if n > maxWords {
		return fmt.Errorf("%w: filter that looks for %d words, want at most %d", ErrInvalid, n, maxWords)
	}
	return nil
}
