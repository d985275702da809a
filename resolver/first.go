package resolver

import (
	"net/http"
	"slices"

	"github.com/artflow-studio/tenancy"
)

// First asks the resolvers in order and returns the first answer. It goes on to the next resolver only after
// [tenancy.ErrUnresolved]; any other error is the answer.
//
// A client that can use two of the strategies at once decides which of them counts. Where that matters, use
// [Agree]. No resolver may be nil.
func First(resolvers ...Resolver) Resolver {
	resolvers = slices.Clone(resolvers)
	return Func(func(r *http.Request) (Match, error) {
		for _, each := range resolvers {
			m, err := each.Resolve(r)
			if !Unresolved(err) {
				return m, err
			}
		}
		return Match{}, tenancy.ErrUnresolved
	})
}
