package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
)

// retainEvery is how often old entries of the audit are removed.
const retainEvery = time.Hour

// retain removes the entries that are older than operators have decided. Without such a decision the trail keeps its own time.
func (a *Admin) retain(ctx context.Context, now time.Time) {
	if a.opts.Audit == nil || now.Sub(a.retained) < retainEvery {
		return
	}
	s, _, err := a.auth.Settings(ctx)
	if err == nil && s.AuditRetention != nil {
		keep := time.Duration(*s.AuditRetention) * time.Second
		actor := tenancy.Actor{Kind: tenancy.ActorSystem, ID: "console", Reason: "older than " + keep.String()}
		_, err = a.opts.Audit.Cut(tenancy.WithActor(ctx, actor), now.Add(-keep))
	}
	if err != nil {
		if ctx.Err() == nil {
			a.opts.Logger.WarnContext(ctx, "admin: old entries of the audit were not removed; trying again", "in", retainEvery, "error", err)
		}
		if isUnavailable(err) {
			return // again at once
		}
	}
	a.retained = now
}

// mayRetain refuses a retention that nobody carries out: without the trail's key nothing can be removed, and the trail removes by itself what
// is older than its own time.
func (a *Admin) mayRetain(s *auth.Settings) error {
	if s.AuditRetention == nil {
		return nil
	}
	if a.opts.Audit == nil {
		return &auth.FieldError{Field: "audit_retention", Code: "not-configured", Err: fmt.Errorf("%w: no audit", tenancy.ErrInvalid)}
	}
	keep, cuts := a.opts.Audit.Keep()
	if !cuts {
		return &auth.FieldError{Field: "audit_retention", Code: "not-configured", Err: fmt.Errorf("%w: the audit has no key", tenancy.ErrInvalid)}
	}
	if keep > 0 && *s.AuditRetention > int64(keep/time.Second) {
		return &auth.FieldError{Field: "audit_retention", Code: "range", Err: fmt.Errorf("%w: the audit keeps entries for %v", tenancy.ErrInvalid, keep)}
	}
	return nil
}
