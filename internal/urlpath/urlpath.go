// Package urlpath has checks of URL paths that several packages share.
package urlpath

import "strings"

// HasDots reports whether a segment of the path is "." or "..".
func HasDots(path string) bool {
	if !strings.Contains(path, ".") {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
