package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
)

// facetRoutes are the rows by which tenants are found.
func (a *Admin) facetRoutes() []route {
	return []route{
		{method: "GET", pattern: "facets", permission: auth.TenantsRead, reach: within, query: "filter", handle: a.facets},
		{method: "GET", pattern: "lookup", permission: auth.TenantsRead, reach: within, query: "q", handle: a.lookup},
	}
}

// facets counts the tenants of the scope that the filter selects.
func (a *Admin) facets(c *call) error {
	f, err := c.filter(c.r.URL.Query().Get("filter"), "?filter")
	if err != nil {
		return err
	}
	found, err := a.catalog.Facets(c.ctx(), f)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, found)
}

// maxFound is how many tenants a lookup finds at most.
const maxFound = 20

// foundTenant is a tenant that a text names, and how.
type foundTenant struct {
	Kind   string `json:"kind"` // id, slug, domain or text
	Tenant tenant `json:"tenant"`
}

// lookup answers with the tenants of the scope that a text names exactly, and then with those in which it is somewhere.
func (a *Admin) lookup(c *call) error {
	text := strings.TrimSpace(c.r.URL.Query().Get("q"))
	if text == "" {
		return fmt.Errorf("%w: lookup of nothing", tenancy.ErrInvalid)
	}
	out, seen := []foundTenant{}, map[tenancy.ID]bool{}
	add := func(kind string, t *tenancy.Tenant) {
		if !seen[t.ID] && len(out) < maxFound {
			seen[t.ID] = true
			out = append(out, foundTenant{kind, shown(t)})
		}
	}
	lower := strings.ToLower(strings.TrimSuffix(text, "."))
	for _, by := range []struct {
		kind  tenancy.RefKind
		value string
	}{{tenancy.RefID, text}, {tenancy.RefSlug, lower}, {tenancy.RefDomain, lower}} {
		ref, err := tenancy.NewRef(by.kind, by.value)
		if err != nil { // the text has not the form of that kind
			continue
		}
		t, err := a.catalog.Find(c.ctx(), ref)
		if errors.Is(err, tenancy.ErrNotFound) || err == nil && !c.id.Scope.Includes(t) {
			continue
		}
		if err != nil {
			return err
		}
		add(by.kind.String(), t)
	}
	if len(tenancy.Words(text)) == 0 {
		return c.reply(http.StatusOK, map[string]any{"found": out})
	}
	others, err := a.catalog.List(c.ctx(), tenancy.Filter{Text: text, Scope: &c.id.Scope, Sort: tenancy.SortSlug, Limit: maxFound})
	if err != nil {
		return err
	}
	for _, t := range others {
		add("text", t)
	}
	return c.reply(http.StatusOK, map[string]any{"found": out})
}
