package admin

import (
	_ "embed" // the document
	"net/http"
)

//go:embed openapi.json
var document []byte

func (a *Admin) documentRoutes() []route {
	return []route{{method: "GET", pattern: "openapi.json", audience: everybody, handle: func(c *call) error {
		c.w.Header().Set("Content-Type", "application/json")
		c.w.WriteHeader(http.StatusOK)
		_, _ = c.w.Write(document) // a client that went away
		return nil
	}}}
}
