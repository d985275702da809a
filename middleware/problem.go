package middleware

import (
	"net/http"

	"github.com/artflow-studio/tenancy/internal/problem"
)

// Details is what an error means to a client, as problem details. Source: RFC 9457, section 3.1.
type Details = problem.Details

// Problem answers a request with what err means to its client: problem details in JSON (RFC 9457), or a small
// page if the client prefers HTML. The texts are fixed, except that a [tenancy.MaintenanceError] brings the
// operator's. They never contain the text of err.
//
// An error that wraps no sentinel of package tenancy is an internal error. sql.ErrNoRows counts as
// [tenancy.ErrNotFound], because a handler that returns it has nothing to show. An error in the chain with a
// method RetryAfter() time.Duration sets the header Retry-After. An answer of 401 says "WWW-Authenticate:
// Bearer" unless the application has set that header.
//
// Problem does not log; [Refuse] does both.
func Problem(w http.ResponseWriter, r *http.Request, err error) { problem.Write(w, r, err) }

// Describe returns what err means to the client of r, for answers in a form of the application's own. If err
// wraps several sentinels the gravest counts: an unavailable server outweighs a missing record.
func Describe(r *http.Request, err error) Details { return problem.Describe(r, err) }
