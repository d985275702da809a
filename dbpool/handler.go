package dbpool

import (
	"encoding/json"
	"net/http"
	"strconv"
)

const (
	defaultTenants = 20
	maxTenants     = 1000
)

// Handler answers GET with the figures of all servers as JSON, and those of the
// busiest tenants, 20 or as many as the query's tenants says, up to 1,000:
//
//	{"servers": {"main": {"budget": 90, "in_use": 12, …}}, "tenants": [{"tenant": …}]}
//
// It names tenants and databases; mount it where only operators get.
func (p *Pool) Handler() http.Handler {
	type figures struct {
		Stat
		DialsPerRequest float64 `json:"dials_per_request"`
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		n := defaultTenants
		if text := r.URL.Query().Get("tenants"); text != "" {
			var err error
			if n, err = strconv.Atoi(text); err != nil || n < 0 || n > maxTenants {
				http.Error(w, "tenants: want a number from 0 to 1000", http.StatusBadRequest)
				return
			}
		}
		answer := struct {
			Servers map[string]figures `json:"servers"`
			Tenants []TenantStat       `json:"tenants"`
		}{map[string]figures{}, p.Tenants(n)}
		for _, s := range p.allServers() {
			stat := s.snapshot()
			answer.Servers[s.Name()] = figures{stat, stat.DialsPerRequest()}
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(answer)
	})
}
