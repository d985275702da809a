// Package urlpath has what is asked of paths in URLs in more than one place.
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
