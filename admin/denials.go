package admin

import (
	"context"
	"errors"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/problem"
)

// denialWait bounds the writing of an entry.
const denialWait = 5 * time.Second

// denied writes the entry of a refusal of somebody who is signed in. Those of strangers are counted by the sign-in's limits. The trail
// counts equal ones together, so a flood of them is a few entries. A client that goes away does not keep its entry from being written.
func (a *Admin) denied(c *call, err error) {
	if a.opts.Audit == nil || c.id == nil || !errors.Is(err, tenancy.ErrForbidden) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), denialWait)
	defer cancel()
	ctx = tenancy.WithActor(ctx, c.id.Actor())
	action := c.row.action
	if action == "" {
		action = "console.read"
	}
	e := tenancy.NewEntry(ctx, action, a.tenantDenied(ctx, c))
	e.Result, e.Object, e.Problem = tenancy.AuditDenied, c.row.String(), "forbidden"
	var named *problem.Error
	if errors.As(err, &named) {
		e.Problem = named.Name
	}
	if err := a.opts.Audit.Audit(ctx, nil, e); err != nil {
		a.opts.Logger.WarnContext(ctx, "admin: the entry of a denial is lost", "error", err)
	}
}

// tenantDenied returns the ID of the tenant in the path, or nothing. One that does not exist is none: anybody who is signed in could make as many
// different entries of such as they like.
func (a *Admin) tenantDenied(ctx context.Context, c *call) tenancy.ID {
	if c.tenant != nil {
		return c.tenant.ID
	}
	if c.row.reach != oneOf {
		return ""
	}
	ref, err := tenancy.NewRef(tenancy.RefID, c.r.PathValue("id"))
	if err != nil {
		return ""
	}
	t, err := a.catalog.Find(ctx, ref)
	if err != nil {
		return ""
	}
	return t.ID
}
