// Package urlpath has checks of URL paths that several packages share.
package urlpath

import "strings"

// HasDots reports whether a segment of the path is "." or "..". Segments end at slashes and at backslashes, which
// browsers and some servers read as slashes.
func HasDots(path string) bool {
	if !strings.Contains(path, ".") {
		return false
	}
	for segment := range strings.FieldsFuncSeq(path, func(c rune) bool { return c == '/' || c == '\\' }) {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
