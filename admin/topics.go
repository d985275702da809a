package admin

import (
	"context"
	"fmt"
	"strings"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/internal/problem"
)

// maxTopics is how many topics a stream may have.
const maxTopics = 8

// topic is something that a stream shows.
type topic struct {
	name       string // as it was asked for, such as "run:01h…"
	event      string // the event's name, such as "run"
	key        string // the same for topics that show the same
	permission auth.Permission
	look       func(context.Context, *auth.Identity) (any, error)
}

// topicsOf reads the topics that a stream asks for: overview unless it says. One that the operator may not see is an error.
func (a *Admin) topicsOf(c *call) ([]topic, error) {
	text := c.r.URL.Query().Get("topics")
	if text == "" {
		text = "overview"
	}
	var all []topic
	for name := range strings.SplitSeq(text, ",") {
		if len(all) == maxTopics {
			return nil, fmt.Errorf("%w: more than %d topics", tenancy.ErrInvalid, maxTopics)
		}
		t, err := a.topicOf(c, name)
		if err != nil {
			return nil, err
		}
		if !c.id.Permissions.Has(t.permission) {
			return nil, fmt.Errorf("%w: topic %.80q", tenancy.ErrForbidden, name)
		}
		all = append(all, t)
	}
	return all, nil
}

func (a *Admin) topicOf(c *call, name string) (topic, error) {
	kind, rest, _ := strings.Cut(name, ":")
	t := topic{name: name, event: kind, key: name, permission: auth.AnalyticsRead}
	valid := tenancy.ID(rest).Validate() == nil
	switch {
	case name == "overview":
		t.look = func(ctx context.Context, who *auth.Identity) (any, error) { return a.overviewFor(ctx, who) }
	case name == "now":
		t.look = func(ctx context.Context, who *auth.Identity) (any, error) {
			return a.opts.Reports.Live(ctx, who.Scope, 0)
		}
	case name == "totals":
		t.look = func(ctx context.Context, who *auth.Identity) (any, error) { return a.totals(ctx, who) }
	case kind == "tenant" && valid:
		t.look = func(ctx context.Context, who *auth.Identity) (any, error) {
			return a.tenantNow(ctx, who, tenancy.ID(rest))
		}
	case kind == "tenants" && rest != "":
		return a.tenantsTopic(c, t, rest)
	case kind == "run" && valid:
		if a.opts.Runs == nil {
			return t, problem.New(problem.NotConfigured, fmt.Errorf("%w: runs are not wired", tenancy.ErrNotFound))
		}
		t.permission, t.look = auth.RunsRead, func(ctx context.Context, who *auth.Identity) (any, error) {
			run, err := a.opts.Runs.Within(who.Scope).Get(ctx, rest)
			if err != nil {
				return nil, err
			}
			return a.showRun(ctx, run), nil
		}
	default:
		return t, fmt.Errorf("%w: topic %.80q", tenancy.ErrInvalid, name)
	}
	return t, nil
}

// totals returns what all tenants of the operator's scope do together: some hundred bytes, where each tenant takes as much.
func (a *Admin) totals(ctx context.Context, who *auth.Identity) (*analytics.Live, error) {
	live, err := a.opts.Reports.Live(ctx, who.Scope, 0)
	if err != nil {
		return nil, err
	}
	totals := *live
	totals.Tenants = []analytics.LiveTenant{}
	return &totals, nil
}

// tenantNow returns what one tenant does in these seconds. A tenant outside of the operator's scope is like one that does not exist.
func (a *Admin) tenantNow(ctx context.Context, who *auth.Identity, id tenancy.ID) (any, error) {
	t, err := a.catalog.Find(ctx, tenancy.Ref{Kind: tenancy.RefID, Value: string(id)})
	if err != nil {
		return nil, err
	}
	if !who.Scope.Includes(t) {
		return nil, fmt.Errorf("%w: outside of the scope", tenancy.ErrNotFound)
	}
	live, err := a.opts.Reports.Live(ctx, tenancy.ByIDs(id), 0)
	if err != nil {
		return nil, err
	}
	return tenantLive{live, t.Version}, nil
}

// tenantLive is what one tenant does, and the version of its record: a page that shows another one reads the record again.
type tenantLive struct {
	*analytics.Live
	Version int64 `json:"version"`
}
