package rediskit

import (
	"fmt"
	"strings"

	"github.com/artflow-studio/tenancy"
)

// maxNamespace is the length of the longest namespace, in bytes.
const maxNamespace = 64

// Prefix returns what the keys of a package begin with, in the one form of this module:
// tenancy:PACKAGE:NAMESPACE: and then the package's own, with a hash tag where several
// keys must be on one node. A namespace is 1 to 64 ASCII letters, digits, dots, hyphens
// and underscores; any other is an error that wraps [tenancy.ErrInvalid].
func Prefix(pkg, namespace string) (string, error) {
	odd := strings.ContainsFunc(namespace, func(c rune) bool {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		return !letter && (c < '0' || c > '9') && !strings.ContainsRune(".-_", c)
	})
	if odd || namespace == "" || len(namespace) > maxNamespace {
		return "", fmt.Errorf("%w: namespace %.80q, want 1 to %d letters, digits, dots, hyphens and underscores, as Catalog.Namespace returns",
			tenancy.ErrInvalid, namespace, maxNamespace)
	}
	return "tenancy:" + pkg + ":" + namespace + ":", nil
}
