package admin

import (
	"context"
	"fmt"
	"net/http"
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
	permission auth.Permission
	look       func(context.Context, *auth.Identity) (any, error)
}

// topicsOf reads the topics that a stream asks for: overview unless it says.
func (a *Admin) topicsOf(r *http.Request) ([]topic, error) {
	text := r.URL.Query().Get("topics")
	if text == "" {
		text = "overview"
	}
	var all []topic
	for name := range strings.SplitSeq(text, ",") {
		kind, id, _ := strings.Cut(name, ":")
		t := topic{name: name, event: kind}
		valid := tenancy.ID(id).Validate() == nil
		switch {
		case name == "overview":
			t.permission, t.look = auth.AnalyticsRead, func(ctx context.Context, id *auth.Identity) (any, error) { return a.overviewFor(ctx, id) }
		case name == "now":
			t.permission, t.look = auth.AnalyticsRead, func(ctx context.Context, id *auth.Identity) (any, error) {
				return a.opts.Reports.Live(ctx, id.Scope, 0)
			}
		case kind == "tenant" && valid:
			t.permission, t.look = auth.AnalyticsRead, func(ctx context.Context, who *auth.Identity) (any, error) {
				return a.tenantNow(ctx, who, tenancy.ID(id))
			}
		case kind == "run" && valid:
			if a.opts.Runs == nil {
				return nil, problem.New(problem.NotConfigured, fmt.Errorf("%w: runs are not wired", tenancy.ErrNotFound))
			}
			t.permission, t.look = auth.RunsRead, func(ctx context.Context, who *auth.Identity) (any, error) {
				run, err := a.opts.Runs.Within(who.Scope).Get(ctx, id)
				if err != nil {
					return nil, err
				}
				return a.showRun(ctx, run), nil
			}
		default:
			return nil, fmt.Errorf("%w: topic %.80q", tenancy.ErrInvalid, name)
		}
		all = append(all, t)
	}
	if len(all) > maxTopics {
		return nil, fmt.Errorf("%w: %d topics, want at most %d", tenancy.ErrInvalid, len(all), maxTopics)
	}
	return all, nil
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
