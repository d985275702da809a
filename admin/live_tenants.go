package admin

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
)

// maxLiveRows is how many tenants a topic shows.
const maxLiveRows = 100

// liveRows are the tenants of a topic at one time, in the order of the list.
type liveRows struct {
	total int64
	order []tenancy.ID
	rows  map[tenancy.ID]json.RawMessage
	sums  map[tenancy.ID][sha256.Size]byte
}

// liveRow is a tenant with its usage, and the rates of these seconds if it does something.
type liveRow struct {
	analytics.TenantEntry
	Now map[string]*analytics.Figure `json:"now,omitempty"`
}

// sentRows are the rows that a stream has shown of a topic.
type sentRows map[tenancy.ID][sha256.Size]byte

// rowChanges is the data of a frame: which tenants the list has, and those that are not as they were in the stream's last frame.
type rowChanges struct {
	Total   int64             `json:"total"`
	Order   []tenancy.ID      `json:"order"`
	Tenants []json.RawMessage `json:"tenants"`
}

// changes returns what is new to the stream, and notes that it was shown. A stream that missed a frame gets the changes since the last one
// that it got.
func (s sentRows) changes(now *liveRows) (json.RawMessage, error) {
	out := rowChanges{now.total, now.order, []json.RawMessage{}}
	for _, id := range now.order {
		if s[id] != now.sums[id] {
			out.Tenants = append(out.Tenants, now.rows[id])
		}
	}
	clear(s)
	maps.Copy(s, now.sums)
	return json.Marshal(out)
}

// tenantsTopic is tenants:VIEW, the first page of a saved view, or tenants:ids:ID:ID…, the tenants with these IDs. A view that the operator
// may not see is not found; a tenant outside of the scope is left out, as one that does not exist.
func (a *Admin) tenantsTopic(c *call, t topic, rest string) (topic, error) {
	req := analytics.TenantsRequest{Limit: maxLiveRows}
	if list, ok := strings.CutPrefix(rest, "ids:"); ok {
		for id := range strings.SplitSeq(list, ":") {
			if tenancy.ID(id).Validate() != nil || len(req.Filter.IDs) == maxLiveRows {
				return t, fmt.Errorf("%w: topic %.80q, want 1 to %d IDs", tenancy.ErrInvalid, t.name, maxLiveRows)
			}
			req.Filter.IDs = append(req.Filter.IDs, tenancy.ID(id))
		}
	} else {
		_, v, err := a.readView(c, a.db, rest)
		if err == nil && v.Page != "tenants" {
			err = fmt.Errorf("%w: view %s is of another list", tenancy.ErrNotFound, rest)
		}
		if err == nil {
			req.Filter, err = c.filter(v.Filter, "?topics", analytics.Fields()...)
		}
		if err != nil {
			return t, err
		}
		req.Sort = v.Sort
		t.key = "tenants " + v.Sort + " " + v.Filter // those who see the view as it is share a frame; who may not see it never gets here
	}
	t.look = func(ctx context.Context, who *auth.Identity) (any, error) { return a.rowsNow(ctx, who.Scope, req) }
	return t, nil
}

// rowsNow returns the tenants that the request selects in the scope.
func (a *Admin) rowsNow(ctx context.Context, scope tenancy.Scope, req analytics.TenantsRequest) (*liveRows, error) {
	page, err := a.opts.Reports.Tenants(ctx, scope, &req)
	if err != nil {
		return nil, err
	}
	if err := a.refresh(ctx, scope, page); err != nil {
		return nil, err
	}
	out := &liveRows{total: page.Total, order: []tenancy.ID{}, rows: map[tenancy.ID]json.RawMessage{}, sums: map[tenancy.ID][sha256.Size]byte{}}
	for i := range page.Tenants {
		out.order = append(out.order, page.Tenants[i].ID)
	}
	now, err := a.nowOf(ctx, out.order)
	if err != nil {
		return nil, err
	}
	for i := range page.Tenants {
		e := &page.Tenants[i]
		text, err := json.Marshal(liveRow{*e, now[e.ID]})
		if err != nil {
			return nil, err
		}
		out.rows[e.ID], out.sums[e.ID] = text, sha256.Sum256(text)
	}
	return out, nil
}

// nowOf returns the rates of those of the tenants that do something in these seconds. Without a feed, or if it does not answer, there are none.
func (a *Admin) nowOf(ctx context.Context, ids []tenancy.ID) (map[tenancy.ID]map[string]*analytics.Figure, error) {
	bounded, cancel := context.WithTimeout(ctx, feedWait)
	defer cancel()
	live, err := a.opts.Reports.Live(bounded, tenancy.ByIDs(ids...), 0)
	if noFeed(bounded, err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[tenancy.ID]map[string]*analytics.Figure{}
	for _, t := range live.Tenants {
		out[t.ID] = t.Usage
	}
	return out, nil
}
