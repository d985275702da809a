package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/catalog/audit"
)

func (a *Admin) auditRoutes() []route {
	return []route{
		{method: "GET", pattern: "audit", permission: auth.AuditRead, reach: within, query: "limit cursor action actor tenant result text from before", part: partAudit, handle: a.listAudit},
		{method: "GET", pattern: "audit/{entry}", permission: auth.AuditRead, reach: within, part: partAudit, handle: a.readEntry},
		{method: "GET", pattern: "tenants/{id}/audit", permission: auth.AuditRead, reach: oneOf, query: "limit cursor action actor tenant result text from before", part: partAudit, handle: a.listAudit},
	}
}

// entry is an entry of the audit. Its number depends on other tenants' entries, so only the scope of all tenants shows it.
type entry struct {
	ID        string                `json:"id"`
	Number    int64                 `json:"number,omitempty"`
	Time      time.Time             `json:"time"`
	Actor     entryActor            `json:"actor"`
	Action    string                `json:"action"`
	Tenant    tenancy.ID            `json:"tenant,omitempty"`
	Object    string                `json:"object,omitempty"`
	Result    tenancy.AuditResult   `json:"result"`
	Problem   string                `json:"problem,omitempty"`
	Count     int64                 `json:"count"`
	RequestID string                `json:"request_id,omitempty"`
	Reason    string                `json:"reason,omitempty"`
	Changes   []tenancy.FieldChange `json:"changes,omitempty"`
}

type entryActor struct {
	Kind      tenancy.ActorKind `json:"kind"`
	ID        string            `json:"id,omitempty"`
	Name      string            `json:"name,omitempty"`
	Address   string            `json:"address,omitempty"`
	UserAgent string            `json:"user_agent,omitempty"`
}

func (a *Admin) listAudit(c *call) error {
	f, err1 := c.auditFilter()
	limit, err2 := c.limit()
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	f.After, f.Limit = tenancy.Cursor(c.r.URL.Query().Get("cursor")), limit+1
	if f.After != "" {
		if _, _, err := f.Position(); err != nil {
			return err
		}
	}
	out, names := []entry{}, map[string]string{}
	next := tenancy.Cursor("")
	var last tenancy.Entry
	for e, err := range a.opts.Audit.Entries(c.ctx(), f) {
		if err != nil {
			return err
		}
		if len(out) == limit {
			next = f.Next(last)
			break
		}
		out, last = append(out, a.entryOf(c, &e, names)), e
	}
	return c.reply(http.StatusOK, map[string]any{"entries": out, "next": next})
}

// readEntry answers with one entry. One that is about a tenant outside of the scope is not found.
func (a *Admin) readEntry(c *call) error {
	id := c.r.PathValue("entry")
	if tenancy.ID(id).Validate() != nil {
		return fmt.Errorf("%w: entry %.80q", tenancy.ErrNotFound, id)
	}
	for e, err := range a.opts.Audit.Entries(c.ctx(), audit.Filter{ID: id, Scope: &c.id.Scope, Limit: 1}) {
		if err != nil {
			return err
		}
		return c.reply(http.StatusOK, a.entryOf(c, &e, map[string]string{}))
	}
	return fmt.Errorf("%w: entry %s", tenancy.ErrNotFound, id)
}

// auditFilter reads the filter of a list. Its scope is the operator's.
func (c *call) auditFilter() (audit.Filter, error) {
	q := c.r.URL.Query()
	f := audit.Filter{Scope: &c.id.Scope, ActorID: q.Get("actor"), Tenant: tenancy.ID(q.Get("tenant")), Text: q.Get("text")}
	if c.tenant != nil {
		f.Tenant = c.tenant.ID
	}
	actions, err1 := c.list("action")
	results, err2 := c.list("result")
	if err := cmp.Or(err1, err2); err != nil {
		return f, err
	}
	f.Actions = actions
	for _, r := range results {
		f.Results = append(f.Results, tenancy.AuditResult(r))
	}
	for _, field := range []struct {
		name string
		to   *time.Time
	}{{"from", &f.From}, {"before", &f.Before}} {
		text := q.Get(field.name)
		if text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return f, fmt.Errorf("%w: %s %.60q", tenancy.ErrInvalid, field.name, text)
		}
		*field.to = t
	}
	return f, nil
}

// entryOf returns the entry as the operator may see it. names keeps the operators' names of a page.
func (a *Admin) entryOf(c *call, e *tenancy.Entry, names map[string]string) entry {
	out := entry{
		ID: e.ID, Number: e.Number, Time: e.Time, Action: e.Action, Tenant: e.Tenant, Object: e.Object, Result: e.Result, Problem: e.Problem,
		Count: e.Count, RequestID: e.Actor.RequestID, Reason: e.Actor.Reason, Changes: a.withoutSettings(e.Changes),
		Actor: entryActor{Kind: e.Actor.Kind, ID: e.Actor.ID, UserAgent: e.Actor.UserAgent},
	}
	if e.Actor.Address.IsValid() {
		out.Actor.Address = e.Actor.Address.String()
	}
	if !c.id.Scope.IsAll() {
		out.Number = 0
	}
	out.Actor.Name = a.nameIn(c.ctx(), e.Actor, names)
	return out
}

// nameIn is nameOf that asks once for each of a page, whose names are kept in names.
func (a *Admin) nameIn(ctx context.Context, who tenancy.Actor, names map[string]string) string {
	key := string(who.Kind) + " " + who.ID
	name, ok := names[key]
	if !ok {
		name = a.nameOf(ctx, who)
		names[key] = name
	}
	return name
}

// nameOf returns the name of an operator or a token, or nothing.
func (a *Admin) nameOf(ctx context.Context, who tenancy.Actor) string {
	switch who.Kind {
	case tenancy.ActorOperator:
		if o, err := a.auth.Operator(ctx, who.ID); err == nil {
			return o.Name
		}
	case tenancy.ActorToken:
		if t, err := a.auth.Token(ctx, who.ID); err == nil {
			return t.Name
		}
	default:
	}
	return ""
}

// redacted stands for a value that may be a secret.
const redacted = "[redacted]"

// withoutSettings hides the values of settings, which may be secrets of the application's, unless it says that they are not.
func (a *Admin) withoutSettings(changes []tenancy.FieldChange) []tenancy.FieldChange {
	out := slices.Clone(changes)
	for i := range out {
		c := &out[i]
		name, isSetting := strings.CutPrefix(c.Field, "settings.")
		if c.Field != "settings" && (!isSetting || a.showsSetting(name)) {
			continue
		}
		for _, value := range []*json.RawMessage{&c.Before, &c.After} {
			if len(*value) > 0 {
				*value = json.RawMessage(`"` + redacted + `"`)
			}
		}
	}
	return out
}
