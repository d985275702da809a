// Package credential reads the credentials of a request. It looks nothing up.
package credential

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/artflow-studio/tenancy"
)

var (
	errSeveral = fmt.Errorf("%w: several credentials", tenancy.ErrInvalid)
	errNone    = tenancy.ErrUnresolved
)

// Bearer returns the bearer token of the request, or "" if it has none. Several
// lines of the header are an error that wraps [tenancy.ErrInvalid], whatever
// they say.
func Bearer(r *http.Request) (string, error) {
	text, err := single(r.Header["Authorization"])
	if err != nil {
		return "", err
	}
	const scheme = "Bearer "
	if len(text) < len(scheme) || !strings.EqualFold(text[:len(scheme)], scheme) {
		return "", nil
	}
	return strings.Trim(text[len(scheme):], " "), nil
}

func single(lines []string) (string, error) {
	switch len(lines) {
	case 0:
		return "", nil
	case 1:
		return lines[0], nil
	}
	return "", errSeveral
}

// IsScope reports whether s is a scope: printable ASCII characters without space,
// quote and backslash. Source: RFC 6749, section 3.3.
func IsScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}
