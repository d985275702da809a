package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/admin/internal/checks"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/maintenance/migrate"
	"github.com/artflow-studio/tenancy/maintenance/runs"
)

// Migrations says how the schema of a tenant's database stands. A *migrate.Migrator is one.
type Migrations interface {
	Status(ctx context.Context, t *tenancy.Tenant) (*migrate.Status, error)
}

// tenantNowRoutes are the rows about how one tenant is, and what is done to it by runs.
func (a *Admin) tenantNowRoutes() []route {
	rows := []route{
		{method: "GET", pattern: "tenants/{id}/health", permission: auth.HealthRead, reach: oneOf, part: partReports, handle: a.tenantHealth},
		{method: "GET", pattern: "tenants/{id}/pool", permission: auth.HealthRead, reach: oneOf, part: partPool, handle: a.tenantPool},
		{method: "GET", pattern: "tenants/{id}/migrations", permission: auth.TenantsRead, reach: oneOf, part: partMigrations, handle: a.tenantMigrations},
		{method: "GET", pattern: "tenants/{id}/runs", permission: auth.RunsRead, reach: oneOf, query: "limit cursor", part: partRuns, handle: a.tenantRuns},
	}
	for _, task := range []string{"migrate", "seed"} {
		rows = append(rows, route{method: "POST", pattern: "tenants/{id}/" + task, permission: auth.TenantsMigrate, reach: oneOf, idempotent: true,
			action: "run.start", part: partRuns, handle: func(c *call) error { return a.runForTenant(c, task) }})
	}
	return rows
}

// tenantHealth is tenantsHealth for one tenant.
func (a *Admin) tenantHealth(c *call) error {
	now := time.Now().UTC()
	page, err := a.opts.Reports.Tenants(c.ctx(), c.id.Scope, &analytics.TenantsRequest{
		Filter: tenancy.Filter{IDs: []tenancy.ID{c.tenant.ID}, Scope: &c.id.Scope}, Limit: 1, Period: analytics.Period{From: now.Add(-checks.Span), To: now},
	})
	if err != nil {
		return err
	}
	closed, err := checks.Closed(c.ctx(), a.catalog, &c.id.Scope, page, now)
	if err != nil {
		return err
	}
	if len(page.Tenants) == 0 { // it is too new for the reports
		t := c.tenant
		page.Tenants = []analytics.TenantEntry{{TenantUsage: analytics.TenantUsage{TenantInfo: analytics.TenantInfo{ID: t.ID, Slug: t.Slug, Name: t.Name, Status: t.Status, Server: t.Placement.Server}}}}
	}
	return c.reply(http.StatusOK, a.healthOf(&page.Tenants[0], closed, now))
}

// tenantPool answers with the tenant's connections of this instance, or null.
func (a *Admin) tenantPool(c *call) error {
	stat, ok := a.opts.Pool.Tenant(c.tenant.ID)
	if !ok {
		return c.reply(http.StatusOK, map[string]any{"tenant": nil})
	}
	return c.reply(http.StatusOK, map[string]any{"tenant": stat})
}

// statusWait is how long a tenant's database may take to say how its schema stands.
const statusWait = 10 * time.Second

// migration is a migration that a database lacks.
type migration struct {
	Version int64  `json:"version"`
	File    string `json:"file"`
}

// halfMigration is a migration that was cut off. The text of its statement and what the server answered stay away: they may hold data.
type halfMigration struct {
	Version int64  `json:"version"`
	File    string `json:"file"`
	// Down is set for one that was being taken back.
	Down bool `json:"down"`
	// Statement is the number of the statement that it reached, from 1.
	Statement int `json:"statement"`
	// Failed is set if that statement failed. Otherwise nobody knows whether it was carried out.
	Failed bool `json:"failed"`
}

func (a *Admin) tenantMigrations(c *call) error {
	bounded, cancel := context.WithTimeout(c.ctx(), statusWait)
	defer cancel()
	s, err := a.opts.Migrations.Status(bounded, c.tenant)
	if err != nil {
		if bounded.Err() != nil && c.ctx().Err() == nil {
			err = fmt.Errorf("%w: the tenant's database does not answer: %w", tenancy.ErrUnavailable, err)
		}
		return err
	}
	pending := []migration{}
	for _, m := range s.Pending {
		pending = append(pending, migration{m.Version, m.File})
	}
	out := map[string]any{
		"version": s.Version, "target": s.Target, "up_to_date": s.UpToDate(), "pending": pending, "unknown": append([]int64{}, s.Unknown...),
	}
	if h := s.Half; h != nil {
		out["half"] = halfMigration{h.Version, h.File, h.Down, h.Statement, h.Problem != ""}
	}
	return c.reply(http.StatusOK, out)
}

// tenantRuns lists the runs about the tenant. Their counts are of its part.
func (a *Admin) tenantRuns(c *call) error {
	query := "tenants/" + string(c.tenant.ID) + "/runs"
	limit, err1 := c.limit()
	last, err2 := c.after(query, 1)
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	q := runs.Query{Limit: limit + 1}
	if last != nil {
		q.Before = last[0]
	}
	found, err := a.opts.Runs.Within(tenancy.ByIDs(c.tenant.ID)).List(c.ctx(), q)
	if err != nil {
		return err
	}
	return a.replyRuns(c, query, found, limit)
}

// runForTenant makes a run for one tenant and starts it.
func (a *Admin) runForTenant(c *call, task string) error {
	if err := a.hasTask(task); err != nil {
		return err
	}
	runner := a.runner(c)
	p, err := runner.Plan(c.ctx(), task, runs.Spec{IDs: []tenancy.ID{c.tenant.ID}})
	if empty := (*runs.EmptyPlanError)(nil); errors.As(err, &empty) || err == nil && p.Eligible == 0 {
		err = fmt.Errorf("%w: the tenant cannot take part", tenancy.ErrInvalid)
		return conflict(err, fmt.Sprintf("The task has nothing to do with a tenant that is %s.", c.tenant.Status))
	}
	const cannot = "The task cannot be done for the tenant: the service's log says why."
	if err != nil {
		return conflict(err, cannot)
	}
	var r *runs.Run
	if err = a.recordedRun(c, p.ID, func() error { r, err = runner.Start(c.ctx(), p.ID); return err }); err != nil {
		return conflict(err, cannot)
	}
	c.setLocation("runs/" + p.ID)
	return c.reply(http.StatusAccepted, a.showRun(c.ctx(), r))
}
