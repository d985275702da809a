package admin

import (
	"errors"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/problem"
)

// denied writes the entry of a refusal of somebody who is signed in. Those of strangers are counted by the sign-in's limits. The trail
// counts equal ones together, so a flood of them is a few entries.
func (a *Admin) denied(c *call, err error) {
	if a.opts.Audit == nil || c.id == nil || !errors.Is(err, tenancy.ErrForbidden) {
		return
	}
	ctx := tenancy.WithActor(c.r.Context(), c.id.Actor())
	action := c.row.action
	if action == "" {
		action = "console.read"
	}
	e := tenancy.NewEntry(ctx, action, "")
	e.Result, e.Object, e.Problem = tenancy.AuditDenied, c.row.String(), "forbidden"
	var named *problem.Error
	if errors.As(err, &named) {
		e.Problem = named.Name
	}
	if err := a.opts.Audit.Audit(ctx, nil, e); err != nil {
		a.opts.Logger.WarnContext(ctx, "admin: the entry of a denial is lost", "error", err)
	}
}
