package middleware

import (
	"net/http"

	"github.com/artflow-studio/tenancy/internal/problem"
)

// Details are problem details: what an error means to a client.
// Source: RFC 9457, section 3.1.
type Details = problem.Details

// Problem answers a request with what err means to its client: problem details
// in JSON (RFC 9457), or a small page if the client prefers HTML. The texts are
// fixed, or the operator's of a [tenancy.MaintenanceError]; nothing of err's own
// text is in them. Errors that wrap no sentinel of package tenancy are internal
// errors; sql.ErrNoRows is [tenancy.ErrNotFound], because a handler that returns it
// has nothing to show. An error in the chain with a method RetryAfter() time.Duration sets the
// header of that name. An answer of 401 says "WWW-Authenticate: Bearer" unless the
// application set that header before.
//
// Problem does not log; [Refuse] does both.
func Problem(w http.ResponseWriter, r *http.Request, err error) { problem.Write(w, r, err) }

// Describe returns what err means to the client of r, for answers in a form of
// the application's own. Of an error with several meanings the gravest counts: a
// server that cannot be reached outweighs a thing that was not found there.
func Describe(r *http.Request, err error) Details { return problem.Describe(r, err) }
