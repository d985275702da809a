package analytics

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/artflow-studio/tenancy"
)

// ActivitiesRequest asks for a page of activities, the newest first.
type ActivitiesRequest struct {
	// Tenant, if it is set, is the only tenant.
	Tenant tenancy.ID
	// Period restricts when they happened, unless it is zero.
	Period Period
	// Types, if there are any, are the types to choose from.
	Types []string
	// Logins asks for logins alone; Subject for those of one subject.
	Logins  bool
	Subject string
	// After continues a listing: the Next of the page before.
	After tenancy.Cursor
	// Limit is how many a page has: at most 500. Default: 50.
	Limit int
}

// ActivitiesPage is a page of activities.
type ActivitiesPage struct {
	Activities []Activity `json:"activities"`
	// Next continues the listing. It is empty on the last page.
	Next tenancy.Cursor `json:"next,omitempty"`
}

// Activities returns a page of what happened to the tenants of the scope. In the scope of
// all tenants, what happened without one is found by the tenant [Application].
func (r *Reports) Activities(ctx context.Context, scope tenancy.Scope, req *ActivitiesRequest) (*ActivitiesPage, error) {
	page, err := r.activities(ctx, scope, req)
	return page, tenancy.Wrap("analytics.Reports.Activities", "", err)
}

func (r *Reports) activities(ctx context.Context, scope tenancy.Scope, req *ActivitiesRequest) (*ActivitiesPage, error) {
	if req == nil {
		req = &ActivitiesRequest{}
	}
	limit := cmp.Or(req.Limit, 50)
	texts := req.Subject + strings.Join(req.Types, "") + string(req.Tenant)
	if limit < 0 || limit > maxPage || len(req.Types) > 100 || strings.ContainsRune(texts, 0) || !utf8.ValidString(texts) {
		return nil, fmt.Errorf("%w: page of %d activities of %d types, want at most %d of 100, in UTF-8 without NUL", tenancy.ErrInvalid, limit, len(req.Types), maxPage)
	}
	if p := req.Period; !p.From.IsZero() && !p.To.IsZero() && !p.From.Before(p.To) {
		return nil, fmt.Errorf("%w: a period from %v to %v", tenancy.ErrInvalid, p.From, p.To)
	}
	q := &ActivitiesQuery{
		Scope: scope, Period: req.Period, Types: req.Types, Logins: req.Logins, Subject: req.Subject, Limit: limit + 1,
	}
	if req.Tenant != "" {
		q.Tenants = []tenancy.ID{req.Tenant}
	}
	listing := req.listing(scope)
	if req.After != "" {
		values, err := req.After.Values(listing, 2)
		if err != nil {
			return nil, err
		}
		us, err := strconv.ParseInt(values[0], 10, 64)
		if err != nil || strings.ContainsRune(values[1], 0) {
			return nil, fmt.Errorf("%w: the cursor is not one of this report", tenancy.ErrInvalid)
		}
		q.After = &ActivityPosition{time.UnixMicro(us).UTC(), values[1]}
	}
	found, err := r.source.Activities(ctx, q)
	if err != nil {
		return nil, err
	}
	page := &ActivitiesPage{}
	if len(found) > limit {
		found = found[:limit]
		last := &found[limit-1]
		page.Next = tenancy.NewCursor(listing, strconv.FormatInt(last.CreatedAt.UnixMicro(), 10), last.Key)
	}
	page.Activities, err = inScope(ctx, r, scope, found, (*Activity).tenant)
	return page, err
}

// listing is what cursors belong to.
func (req *ActivitiesRequest) listing(scope tenancy.Scope) string {
	return fmt.Sprintf("activities %q %q %v %v %q %v %q", scope.String(), string(req.Tenant), toMicros(req.Period.From), toMicros(req.Period.To), req.Types, req.Logins, req.Subject)
}
