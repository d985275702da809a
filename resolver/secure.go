package resolver

import (
	"net/http"
	"strings"

	"github.com/artflow-studio/tenancy/internal/ipnet"
)

// Secure reports whether the client's connection is encrypted: the request came with TLS, or from a trusted
// proxy that says so in X-Forwarded-Proto. Of several values the last one counts, which the nearest proxy has
// set. From anybody else the header is ignored.
func (p *Proxies) Secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	if p == nil || !ipnet.Contains(p.trusted, ipnet.Peer(r)) {
		return false
	}
	said := lastEntries(r.Header["X-Forwarded-Proto"])
	return len(said) > 0 && strings.EqualFold(said[len(said)-1], "https")
}
