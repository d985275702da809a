package admin

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/catalog"
)

// Row is a row of the table of routes, for tests.
type Row struct {
	Method, Pattern string
	Permission      auth.Permission
	Everybody       bool // no credentials
	SigningIn       bool // any stage
	SignedIn        bool // any permission
	OneTenant       bool
	AllTenants      bool
	StepUp          bool
	Action          string
	Part            string
	Own             bool // of the console's own sign-in
	Machine         bool // for tokens although it has no permission
	Idempotent      bool
	Match           bool
	Body            bool
	Query           string
}

// Table returns the rows.
func (a *Admin) Table() []Row {
	out := make([]Row, len(a.table))
	for i := range a.table {
		r := &a.table[i]
		out[i] = Row{r.method, r.pattern, r.permission, r.audience == everybody, r.audience == signingIn, r.audience == signedInTo, r.reach == oneOf, r.reach == allOf, r.stepUp, r.action, r.part, r.own, r.machine, r.idempotent, r.match, r.body, r.query}
	}
	return out
}

// Frames returns how many frames are kept.
func (a *Admin) Frames() int {
	a.live.mu.Lock()
	defer a.live.mu.Unlock()
	return len(a.live.frames)
}

// RunOnce does once what Run does again and again.
func (a *Admin) RunOnce(ctx context.Context) { a.runOnce(ctx) }

// NewWithRows returns a console with rows that a later package adds: one that reads a tenant, and one that changes it. With a row that
// nobody may use, it is an error.
func NewWithRows(db *sqlx.DB, cat *catalog.Catalog, opts *Options, permission auth.Permission) (*Admin, error) {
	return newAdmin(db, cat, opts,
		route{method: "GET", pattern: "tenants/{id}/widgets", permission: permission, reach: oneOf, handle: func(c *call) error { return c.reply(200, map[string]int{"widgets": 7}) }},
		route{method: "POST", pattern: "tenants/{id}/widgets", permission: auth.TenantsWrite, reach: oneOf, action: "widget.make", handle: func(c *call) error {
			return c.admin.recorded(c, "widget", func() error { return c.noContent() })
		}})
}

// Down makes databases of tenants and servers be taken to be down.
func (a *Admin) Down(tenants []tenancy.ID, servers []string) {
	now := time.Now()
	a.reached.mu.Lock()
	defer a.reached.mu.Unlock()
	a.reached.tenants, a.reached.servers = map[tenancy.ID]time.Time{}, map[string]time.Time{}
	for _, id := range tenants {
		a.reached.tenants[id] = now
	}
	for _, server := range servers {
		a.reached.servers[server] = now
	}
}
