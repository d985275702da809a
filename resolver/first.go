package resolver

import (
	"net/http"

	"github.com/artflow-studio/tenancy"
)

// First asks the resolvers in order and takes the first answer. Only
// [tenancy.ErrUnresolved] leads on to the next one; any other error ends it.
//
// A client that can use two of the strategies at once decides which of them
// counts. Where that matters, take [Agree].
func First(resolvers ...Resolver) Resolver {
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
