package admin

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
)

// base is what all paths of the API begin with.
const base = "/api/tenancy/"

// audience says how far a caller must have signed in before a row's permission is looked at.
type audience uint8

const (
	permitted  audience = iota // a full session whose operator has the row's permission
	everybody                  // no credentials
	signingIn                  // a session at any stage
	signedInTo                 // a full session, with any permissions
)

// reach says which tenants a row is about.
type reach uint8

const (
	none     reach = iota // no tenant
	oneOf                 // the tenant whose ID is in the path; it must be in the operator's scope
	within                // the tenants of the operator's scope, which the handler puts into its query
	allOf                 // all tenants: the operator's scope must be all
	pageSelf              // within, and not an activity of a person: streams and refreshes
)

// route is a row of the table of routes, of which the mux, the permission check, the audit, and the tests of roles and of the
// OpenAPI document are made. There is no other way to add a handler.
type route struct {
	method  string
	pattern string // below base, such as "tenants/{id}"
	// permission is what the operator needs. A row for permitted without one is an error of New.
	permission auth.Permission
	audience   audience
	reach      reach
	stepUp     bool // credentials must have been shown lately
	idempotent bool // takes an Idempotency-Key
	// lasts is how long the row's work may take with a key. Default: a minute.
	lasts time.Duration
	match bool // needs an If-Match
	body  bool // takes a body; without it, one that says something is refused
	// query names the parameters, separated by spaces. Others are refused, and those that are sent twice: a mistyped filter must not select
	// everything.
	query string
	// action is what the audit calls it. Rows that change something have one.
	action string
	// own rows are of the console's own sign-in. With the application's there are none.
	own bool
	// machine rows may be used by tokens although they have no permission.
	machine bool
	// part names the part of the options that must be wired, or is empty.
	part   string
	handle func(*call) error
}

// String returns the row as it is in the OpenAPI document.
func (r *route) String() string { return r.method + " " + base + r.pattern }

// changes reports whether the row may change something.
func (r *route) changes() bool { return r.method != http.MethodGet }

func (r *route) validate() error {
	wrong := func(why string) error { return fmt.Errorf("%w: route %s: %s", tenancy.ErrInvalid, r, why) }
	switch {
	case r.handle == nil || r.method == "" || r.pattern == "" || strings.HasPrefix(r.pattern, "/"):
		return wrong("want a method, a pattern below " + base + " and a handler")
	case r.audience == permitted && r.permission == 0:
		return wrong("no permission")
	case r.audience != permitted && (r.permission != 0 || r.stepUp || r.reach != none && r.reach != pageSelf):
		return wrong("a permission, a step-up or tenants without credentials that are checked")
	case r.changes() && r.action == "":
		return wrong("no action for the audit")
	case !r.changes() && (r.idempotent || r.match || r.body):
		return wrong("a GET with an Idempotency-Key, an If-Match or a body")
	case (r.reach == oneOf) != strings.Contains(r.pattern, "{id}"):
		return wrong("the tenant in the path")
	}
	return nil
}

// routes returns the table. Each group of rows is in a file of its own.
func (a *Admin) routes() []route {
	var all []route
	for _, group := range []func() []route{
		a.authRoutes, a.meRoutes, a.passwordRoutes, a.operatorRoutes, a.tokenRoutes, a.ruleRoutes, a.settingRoutes, a.viewRoutes,
		a.tenantRoutes, a.accessRoutes, a.facetRoutes, a.tenantNowRoutes, a.keyRoutes, a.maintenanceRoutes, a.auditRoutes, a.verifyRoutes, a.exportRoutes, a.chainRoutes,
		a.analyticsRoutes, a.seriesRoutes, a.historyRoutes, a.compareRoutes, a.usageRoutes, a.tenantHealthRoutes, a.scheduleRoutes, a.poolRoutes,
		a.runRoutes, a.liveRoutes, a.healthRoutes, a.documentRoutes,
	} {
		all = append(all, group()...)
	}
	if !a.auth.Own() {
		all = slices.DeleteFunc(all, func(r route) bool { return r.own })
	}
	return all
}
