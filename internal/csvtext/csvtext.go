// Package csvtext makes texts safe in CSV files.
package csvtext

import "strings"

// Harmless returns a text that no spreadsheet takes for a formula: one that would begin a formula has an apostrophe in front.
// Source: OWASP, CSV Injection.
func Harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
