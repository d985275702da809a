// Package csvtext makes texts safe in CSV files.
package csvtext

import (
	"strings"
	"unicode/utf8"
)

// begins are the characters by which a formula begins, those that some programs skip in front of it, and the wide forms that others take for them.
const begins = "=+-@\t\r\n＝＋－＠"

// Harmless returns a text that no spreadsheet takes for a formula: one that would begin a formula has an apostrophe in front.
// Source: OWASP, CSV Injection.
func Harmless(s string) string {
	if first, _ := utf8.DecodeRuneInString(s); s != "" && strings.ContainsRune(begins, first) {
		return "'" + s
	}
	return s
}
