package maintenance

import (
	"net/http"

	"github.com/artflow-studio/tenancy/internal/problem"
)

// Answer answers a request that goes no further because of err, which is a
// [*tenancy.MaintenanceError] or wraps [tenancy.ErrUnavailable]: 503 with Retry-After,
// as a page if the client prefers HTML and as problem details in JSON (RFC 9457)
// otherwise. Of err's own text it shows nothing but message and contact. It does not log.
func Answer(w http.ResponseWriter, r *http.Request, err error) { problem.Write(w, r, err) }
