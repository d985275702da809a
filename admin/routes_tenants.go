package admin

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/internal/hostname"
	"github.com/artflow-studio/tenancy/internal/problem"
)

func (a *Admin) tenantRoutes() []route {
	rows := []route{
		{method: "GET", pattern: "tenants", permission: auth.TenantsRead, reach: within, query: "limit cursor filter", handle: a.listTenants},
		{method: "POST", pattern: "tenants", permission: auth.TenantsCreate, reach: allOf, body: true, idempotent: true, lasts: createLasts,
			action: "tenant.create", part: partCreate, handle: a.createTenant},
		{method: "GET", pattern: "tenants/{id}", permission: auth.TenantsRead, reach: oneOf, handle: a.readTenant},
		{method: "PATCH", pattern: "tenants/{id}", permission: auth.TenantsWrite, reach: oneOf, body: true, match: true, action: "tenant.update", handle: a.patchTenant},
		{method: "PUT", pattern: "tenants/{id}/slug", permission: auth.TenantsWrite, reach: oneOf, body: true, match: true, action: "tenant.rename", handle: a.renameTenant},
		{method: "PUT", pattern: "tenants/{id}/tags", permission: auth.TenantsTag, reach: oneOf, body: true, match: true, action: "tenant.tag", handle: a.tagTenant},
		{method: "PUT", pattern: "tenants/{id}/limits", permission: auth.TenantsLimits, reach: oneOf, body: true, match: true, action: "tenant.limits", handle: a.limitTenant},
		{method: "PUT", pattern: "tenants/{id}/domains/{domain}", permission: auth.TenantsWrite, reach: oneOf, match: true, action: "tenant.domain", handle: a.addDomain},
		{method: "DELETE", pattern: "tenants/{id}/domains/{domain}", permission: auth.TenantsWrite, reach: oneOf, match: true, action: "tenant.domain", handle: a.removeDomain},
	}
	rows = append(rows,
		route{method: "POST", pattern: "tenants/{id}/archive", permission: auth.TenantsArchive, reach: oneOf, idempotent: true,
			action: "tenant.status", handle: func(c *call) error { return a.setStatus(c, tenancy.StatusArchived) }},
		route{method: "POST", pattern: "tenants/{id}/resume", permission: auth.TenantsCreate, reach: oneOf, idempotent: true, lasts: createLasts,
			action: "tenant.status", part: partResume, handle: a.resumeTenant},
		route{method: "POST", pattern: "tenants/{id}/restore", permission: auth.TenantsRestore, reach: oneOf, stepUp: true, idempotent: true,
			action: "tenant.status", part: partLifecycle, handle: a.restoreTenant},
		route{method: "POST", pattern: "tenants/{id}/purge", permission: auth.TenantsPurge, reach: oneOf, stepUp: true, body: true, idempotent: true, lasts: purgeLasts,
			action: "tenant.purge", part: partLifecycle, handle: a.purgeTenant})
	for verb, status := range statusVerbs {
		rows = append(rows, route{method: "POST", pattern: "tenants/{id}/" + verb, permission: auth.TenantsStatus, reach: oneOf, idempotent: true,
			action: "tenant.status", handle: func(c *call) error { return a.setStatus(c, status) }})
	}
	return rows
}

// statusVerbs are the actions that change nothing but a tenant's status.
var statusVerbs = map[string]tenancy.Status{
	"activate": tenancy.StatusActive, "suspend": tenancy.StatusSuspended, "block": tenancy.StatusBlocked, "deactivate": tenancy.StatusInactive,
}

// tenant is a tenant as the API shows it. Settings, keys, and secrets of maintenance have no field.
type tenant struct {
	ID        tenancy.ID       `json:"id"`
	Slug      string           `json:"slug"`
	Name      string           `json:"name"`
	Domains   []string         `json:"domains"`
	Status    tenancy.Status   `json:"status"`
	Plan      string           `json:"plan"`
	Tags      []string         `json:"tags"`
	Limits    map[string]int64 `json:"limits"`
	Server    string           `json:"server"`
	Database  string           `json:"database"`
	Schema    int64            `json:"schema_version"`
	Version   int64            `json:"version"`
	ETag      string           `json:"etag"`
	CreatedAt time.Time        `json:"created_at"`
	UpdatedAt time.Time        `json:"updated_at"`
}

func shown(t *tenancy.Tenant) tenant {
	out := tenant{t.ID, t.Slug, t.Name, t.Domains, t.Status, t.Plan, t.Tags, t.Limits, t.Placement.Server, t.Placement.Database, t.SchemaVersion, t.Version, tenantTag(t), t.CreatedAt, t.UpdatedAt}
	if out.Domains == nil {
		out.Domains = []string{}
	}
	if out.Tags == nil {
		out.Tags = []string{}
	}
	if out.Limits == nil {
		out.Limits = map[string]int64{}
	}
	return out
}

func (c *call) replyTenant(status int, t *tenancy.Tenant) error {
	c.setTag(tenantTag(t))
	return c.reply(status, shown(t))
}

func (a *Admin) listTenants(c *call) error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	f, err := c.filter(c.r.URL.Query().Get("filter"), "?filter")
	if err != nil {
		return err
	}
	f.Limit, f.After = limit+1, tenancy.Cursor(c.r.URL.Query().Get("cursor"))
	at := time.Now().UTC()
	total, err := a.catalog.Count(c.ctx(), f)
	if err != nil {
		return err
	}
	found, err := a.catalog.List(c.ctx(), f)
	if err != nil {
		return err
	}
	next := tenancy.Cursor("")
	if len(found) > limit {
		found = found[:limit]
		next = f.Next(found[limit-1])
	}
	out := make([]tenant, len(found))
	for i, t := range found {
		out[i] = shown(t)
	}
	return c.reply(http.StatusOK, map[string]any{"tenants": out, "total": total, "next": next, "time": at})
}

// filter reads the text form of a filter, for the tenants in the operator's scope. pointer names the part of the request that it
// came from; fields are those beside the record's.
func (c *call) filter(text, pointer string, fields ...tenancy.Field) (tenancy.Filter, error) {
	f, err := tenancy.ParseFilter(text, fields...)
	if err != nil {
		return f, wrongFilter(err, pointer)
	}
	f.Scope = &c.id.Scope
	return f, nil
}

// wrongFilter says at the pointer what is wrong with the text of a filter, if that is what err is about.
func wrongFilter(err error, pointer string) error {
	var wrong *tenancy.FilterError
	if !errors.As(err, &wrong) {
		return err
	}
	return problem.New(problem.Validation, err, problem.Field{Pointer: pointer, Code: "filter",
		Text: fmt.Sprintf("%q at character %d: %s", wrong.Word, wrong.Position, wrong.Problem)})
}

func (a *Admin) readTenant(c *call) error { return c.replyTenant(http.StatusOK, c.tenant) }

func (a *Admin) createTenant(c *call) error {
	var in struct {
		Slug    string           `json:"slug"`
		Name    string           `json:"name"`
		Plan    string           `json:"plan"`
		Tags    []string         `json:"tags"`
		Domains []string         `json:"domains"`
		Limits  map[string]int64 `json:"limits"`
		Server  string           `json:"server"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	t := &tenancy.Tenant{Slug: in.Slug, Name: in.Name, Plan: in.Plan, Tags: in.Tags, Domains: in.Domains, Limits: in.Limits}
	t.Placement.Server = in.Server
	if err := validateFields(t); err != nil {
		return err
	}
	if p := a.opts.Pool; p != nil && in.Server != "" { // not one that is down, which is worth another try
		if !slices.Contains(p.Servers(), in.Server) {
			return invalidField("server", "There is no such server.")
		}
		if _, replica := p.Machine(in.Server); replica {
			return invalidField("server", "The server is a read replica.")
		}
	}
	made, err := a.opts.Create(c.ctx(), t)
	if err != nil {
		return validation(err)
	}
	c.setLocation("tenants/" + string(made.ID))
	return c.replyTenant(http.StatusCreated, made)
}

// validateFields names the fields that no tenant may have.
func validateFields(t *tenancy.Tenant) error {
	var fields []problem.Field
	add := func(err error, pointer, text string) {
		if err != nil {
			fields = append(fields, problem.Field{Pointer: pointer, Code: "malformed", Text: text})
		}
	}
	add(tenancy.ValidateSlug(t.Slug), "/slug", "A slug has 1 to 63 lower-case letters, digits and inner hyphens.")
	for i, tag := range t.Tags {
		add(tenancy.ValidateTag(tag), fmt.Sprintf("/tags/%d", i), "A tag has lower-case letters, digits and hyphens.")
	}
	if len(fields) > 0 {
		return problem.New(problem.Validation, fmt.Errorf("%w: tenant", tenancy.ErrInvalid), fields...)
	}
	return nil
}

// validation makes what the catalog does not accept an error of the fields that were sent.
func validation(err error) error {
	if errors.Is(err, tenancy.ErrInvalid) {
		return problem.New(problem.Validation, err, problem.Field{Pointer: "", Code: "malformed", Text: "The record does not accept one of these values."})
	}
	return err
}

// editNow changes the tenant as it is now, if it is still in the operator's scope.
func (a *Admin) editNow(c *call, change func(*tenancy.Tenant) error) (*tenancy.Tenant, error) {
	return a.catalog.Edit(c.ctx(), c.tenant.ID, func(t *tenancy.Tenant) error {
		if !c.id.Scope.Includes(t) {
			return fmt.Errorf("%w: outside of the scope", tenancy.ErrNotFound)
		}
		return change(t)
	})
}

// edit changes the tenant that the client has read, and answers with the new record.
func (a *Admin) edit(c *call, change func(*tenancy.Tenant) error) error {
	return a.editTenant(c, change, func(t *tenancy.Tenant) error { return c.replyTenant(http.StatusOK, t) })
}

// editTenant changes the tenant that the client has read, and answers with what show shows of the new record.
func (a *Admin) editTenant(c *call, change func(*tenancy.Tenant) error, show func(*tenancy.Tenant) error) error {
	if err := c.ifMatchTag(tenantTag(c.tenant)); err != nil {
		return err
	}
	t, err := a.editNow(c, func(t *tenancy.Tenant) error {
		if err := c.ifMatchTag(tenantTag(t)); err != nil { // it changed since the row was admitted
			return err
		}
		return change(t)
	})
	if err != nil {
		var named *problem.Error
		if errors.As(err, &named) {
			return err
		}
		return validation(err)
	}
	return show(t)
}

func (a *Admin) patchTenant(c *call) error {
	var in struct {
		Name *string `json:"name"`
		Plan *string `json:"plan"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	return a.edit(c, func(t *tenancy.Tenant) error {
		if in.Name != nil {
			t.Name = *in.Name
		}
		if in.Plan != nil {
			t.Plan = *in.Plan
		}
		return nil
	})
}

func (a *Admin) renameTenant(c *call) error {
	var in struct {
		Slug string `json:"slug"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := validateFields(&tenancy.Tenant{Slug: in.Slug}); err != nil {
		return err
	}
	return a.edit(c, func(t *tenancy.Tenant) error { t.Slug = in.Slug; return nil })
}

// tagTenant changes tags, which scopes are made of: the operator's scope must be all tenants.
func (a *Admin) tagTenant(c *call) error {
	if !c.id.Scope.IsAll() {
		return fmt.Errorf("%w: tags are changed in the scope of all tenants", tenancy.ErrForbidden)
	}
	var in struct {
		Tags []string `json:"tags"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := validateFields(&tenancy.Tenant{Slug: c.tenant.Slug, Tags: in.Tags}); err != nil {
		return err
	}
	return a.edit(c, func(t *tenancy.Tenant) error { t.Tags = in.Tags; return nil })
}

func (a *Admin) limitTenant(c *call) error {
	var in struct {
		Limits map[string]int64 `json:"limits"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	return a.edit(c, func(t *tenancy.Tenant) error { t.Limits = in.Limits; return nil })
}

func (a *Admin) addDomain(c *call) error {
	return a.changeDomain(c, func(all []string, domain string) []string {
		if slices.Contains(all, domain) {
			return all
		}
		return append(all, domain)
	})
}

func (a *Admin) removeDomain(c *call) error {
	return a.changeDomain(c, func(all []string, domain string) []string {
		return slices.DeleteFunc(all, func(d string) bool { return d == domain })
	})
}

// changeDomain changes the tenant's domains. change gets the domain of the path as records have it.
func (a *Admin) changeDomain(c *call, change func(all []string, domain string) []string) error {
	domain, err := hostname.Parse(c.r.PathValue("domain"))
	if err != nil {
		return validation(err)
	}
	return a.edit(c, func(t *tenancy.Tenant) error { t.Domains = change(t.Domains, domain); return nil })
}

// setStatus gives the tenant a status that it may have because an operator wants it.
func (a *Admin) setStatus(c *call, status tenancy.Status) error {
	t, err := a.editNow(c, func(t *tenancy.Tenant) error {
		why := t.Status.WhyNot(status)
		if why == "" {
			t.Status = status
			return nil
		}
		err := fmt.Errorf("%w: %s", tenancy.ErrConflict, why)
		if t.Status == tenancy.StatusProvisioning {
			return problem.New(problem.Unfinished, err)
		}
		return &stateError{strings.ToUpper(why[:1]) + why[1:] + ".", err}
	})
	if err != nil {
		return conflict(err, "The tenant cannot have that status now.")
	}
	return c.replyTenant(http.StatusOK, t)
}

// How long with an Idempotency-Key the creation of a tenant may take, which migrates and seeds, and a purge, which waits for requests and may
// begin with a backup.
const (
	createLasts = 10 * time.Minute
	purgeLasts  = time.Hour
)

// resumeTenant goes on with a creation that was cut off.
func (a *Admin) resumeTenant(c *call) error {
	cannot := "The creation cannot go on: the service's log says why."
	if c.tenant.Status != tenancy.StatusProvisioning {
		cannot = fmt.Sprintf("Nothing is left to resume: the tenant is %s.", c.tenant.Status)
	}
	t, err := a.resumer.Resume(c.ctx(), c.tenant.ID)
	if err != nil {
		return conflict(err, cannot)
	}
	return c.replyTenant(http.StatusOK, t)
}

func (a *Admin) restoreTenant(c *call) error {
	if err := a.opts.Lifecycle.Restore(c.ctx(), c.tenant.ID); err != nil {
		return conflict(err, fmt.Sprintf("Only an archived tenant can be restored; this one is %s.", c.tenant.Status))
	}
	t, err := a.catalog.Find(c.ctx(), tenancy.Ref{Kind: tenancy.RefID, Value: string(c.tenant.ID)})
	if err != nil {
		return err
	}
	return c.replyTenant(http.StatusOK, t)
}

// purgeTenant wants the slug, as the operator has typed it.
func (a *Admin) purgeTenant(c *call) error {
	var in struct {
		Confirm string `json:"confirm"`
		Now     bool   `json:"now"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Confirm != c.tenant.Slug {
		return problem.New(problem.Validation, fmt.Errorf("%w: confirmation", tenancy.ErrInvalid), problem.Field{Pointer: "/confirm", Code: "confirm",
			Text: "Repeat the tenant's slug."})
	}
	purge, cannot := a.opts.Lifecycle.Purge, "The purge was refused: the service's log says why."
	switch {
	case !c.tenant.Status.Removable():
		cannot = fmt.Sprintf("The tenant is %s: archive it first.", c.tenant.Status)
	case c.tenant.Status == tenancy.StatusPurging: // nothing keeps it any more
	case !in.Now:
		cannot = "The grace time of the tenant is not over, or the purge was refused: the service's log says which. Wait, or purge it now, with a reason."
	case tenancy.ActorFrom(c.ctx()).Reason == "":
		return problem.New(problem.Validation, fmt.Errorf("%w: no reason", tenancy.ErrInvalid), problem.Field{Pointer: "", Code: "reason",
			Text: "Say in the header X-Reason why it cannot wait for the grace time."})
	}
	if in.Now {
		purge = a.opts.Lifecycle.PurgeNow
	}
	if err := purge(c.ctx(), c.tenant.ID); err != nil {
		return conflict(err, cannot)
	}
	return c.reply(http.StatusOK, map[string]tenancy.ID{"purged": c.tenant.ID})
}
