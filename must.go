package tenancy

// Must returns v, or panics if err is not nil. It wraps the call of a constructor whose arguments are constants of the program, where an
// error is a mistake in the source:
//
//	bySubdomain := tenancy.Must(resolver.NewSubdomain([]string{"example.com"}, nil))
//
// Check the error instead where an argument comes from a file, a flag, the environment or a user.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
