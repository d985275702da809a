package analytics

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// plain returns a text as it can be kept and shown: valid UTF-8 of at most that many
// bytes, cut at a character, with spaces for control characters.
func plain(s string, most int) string {
	if len(s) > most+utf8.UTFMax { // do not look through a megabyte
		s = s[:most+utf8.UTFMax]
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= most {
		return s
	}
	end := most
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// isPlain reports whether a text is as plain would leave it, if it is not too long: of text
// that is not ASCII it may report false.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// plainRunes is plain with a limit of characters.
func plainRunes(s string, most int) string {
	s = plain(s, utf8.UTFMax*most)
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most])
}
