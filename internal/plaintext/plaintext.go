// Package plaintext cuts texts between characters, and takes out of them what people do not see.
package plaintext

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Cut returns s, or the beginning of s that ends between two characters and has at most that
// many bytes. What is not UTF-8 is cut anywhere.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for end := most; end >= 0 && end > most-utf8.UTFMax; end-- {
		if utf8.RuneStart(s[end]) {
			return s[:end]
		}
	}
	return s[:most]
}

// Clip returns s, or its beginning of at most that many bytes and an ellipsis.
func Clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return Cut(s, most) + "…"
}

// Printable returns s as UTF-8 in which each character that is not printable is a space.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
