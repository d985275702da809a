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
		{method: "GET", pattern: "audit", permission: auth.AuditRead, reach: within, part: partAudit, handle: a.listAudit},
		{method: "GET", pattern: "tenants/{id}/audit", permission: auth.AuditRead, reach: oneOf, part: partAudit, handle: a.listAudit},
		{method: "POST", pattern: "audit/verify", permission: auth.AuditVerify, reach: allOf, action: "audit.verify", part: partAudit, handle: a.verifyAudit},
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
	if err := c.onlyQuery("limit", "cursor", "action", "actor", "tenant", "result", "from", "before"); err != nil {
		return err
	}
	f, query, err := c.auditFilter()
	if err != nil {
		return err
	}
	limit, err1 := c.limit()
	last, err2 := c.after(query, 2)
	if err := cmp.Or(err1, err2); err != nil {
		return err
	}
	// A page goes on behind a time and an ID: the entries of that time which come before are read again and left out.
	lastTime, lastID := time.Time{}, ""
	if last != nil {
		if lastTime, err = time.Parse(time.RFC3339Nano, last[0]); err != nil {
			return fmt.Errorf("%w: cursor", tenancy.ErrInvalid)
		}
		lastID = last[1]
		if end := lastTime.Add(time.Microsecond); f.Before.IsZero() || end.Before(f.Before) {
			f.Before = end
		}
	}
	out, names := []entry{}, map[string]string{}
	next := tenancy.Cursor("")
	for e, err := range a.opts.Audit.Entries(c.ctx(), f) {
		if err != nil {
			return err
		}
		if e.Time.Equal(lastTime) && e.ID >= lastID {
			continue
		}
		if len(out) == limit {
			last := out[len(out)-1]
			next = tenancy.NewCursor(query, last.Time.UTC().Format(time.RFC3339Nano), last.ID)
			break
		}
		out = append(out, a.entryOf(c, &e, names))
	}
	return c.reply(http.StatusOK, map[string]any{"entries": out, "next": next})
}

// auditFilter reads the filter of a list, and returns its text for cursors. Its scope is the operator's.
func (c *call) auditFilter() (audit.Filter, string, error) {
	q := c.r.URL.Query()
	f := audit.Filter{Scope: &c.id.Scope, ActorID: q.Get("actor"), Tenant: tenancy.ID(q.Get("tenant"))}
	if c.tenant != nil {
		f.Tenant = c.tenant.ID
	}
	if action := q.Get("action"); action != "" {
		f.Actions = strings.Split(action, ",")
	}
	if result := q.Get("result"); result != "" {
		for r := range strings.SplitSeq(result, ",") {
			f.Results = append(f.Results, tenancy.AuditResult(r))
		}
	}
	for name, field := range map[string]*time.Time{"from": &f.From, "before": &f.Before} {
		text := q.Get(name)
		if text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return f, "", fmt.Errorf("%w: %s %.60q", tenancy.ErrInvalid, name, text)
		}
		*field = t
	}
	q.Del("cursor")
	q.Del("limit")
	return f, c.row.pattern + "?" + string(f.Tenant) + "&" + q.Encode(), nil
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
	if e.Actor.Kind == tenancy.ActorOperator || e.Actor.Kind == tenancy.ActorToken {
		key := string(e.Actor.Kind) + " " + e.Actor.ID
		name, ok := names[key]
		if !ok {
			name = a.nameOf(c.ctx(), e.Actor)
			names[key] = name
		}
		out.Actor.Name = name
	}
	return out
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
				*value = json.RawMessage(`"[redacted]"`)
			}
		}
	}
	return out
}

func (a *Admin) verifyAudit(c *call) error {
	report, err := a.opts.Audit.Verify(c.ctx())
	if report == nil && err != nil {
		return err
	}
	return c.replyVerified(report, err)
}

// verified is what a verification found.
type verified struct {
	Whole bool `json:"whole"`
	// UpTo is the number of the last entry that is as it was sealed.
	UpTo    int64        `json:"up_to"`
	Entries int64        `json:"entries"`
	Hash    string       `json:"hash"`
	Fault   *audit.Fault `json:"fault,omitempty"`
}

func (c *call) replyVerified(report *audit.Report, err error) error {
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, verified{report.Fault == nil, report.Number, report.Entries, report.Hash, report.Fault})
}
