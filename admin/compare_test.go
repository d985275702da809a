package admin_test

import (
	"context"
	sqldriver "database/sql/driver"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/admin"
	"github.com/artflow-studio/tenancy/admin/auth"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/dbpool"
	"github.com/artflow-studio/tenancy/dbpool/driver"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// used writes that many requests of the tenant, of which so many failed.
func (c *console) used(t *testing.T, id tenancy.ID, requests, failed int64) {
	t.Helper()
	p := analytics.Part{Tenant: id, Start: time.Now().UTC().Truncate(time.Minute), Source: 1, Revision: 1}
	p.Counts.Values[analytics.Requests], p.Counts.Values[analytics.Status5xx] = requests, failed
	p.Counts.Values[analytics.Statements] = requests - failed
	p.Counts.Values[analytics.Status2xx], p.Counts.Values[analytics.LastSeen] = requests-failed, time.Now().UnixMicro()
	// An instance that does not write for thirty seconds, or three intervals, is missing: not within a test, however slow.
	b := &analytics.Batch{Instance: analytics.Instance{ID: 1, Name: "one", Started: time.Now(), Interval: time.Hour, Recorded: analytics.Columns()}, Parts: []analytics.Part{p}}
	if _, err := c.store.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func TestComparisons(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t, tenancytest.NewServer(t, name), nil)
			c.tenant(t, "ccc", "eu")
			c.keep(t)
			c.used(t, c.a.ID, 100, 50)
			c.used(t, c.b.ID, 1000, 0)
			cl := c.as(t, auth.RoleViewer, tenancy.ByTags("eu"))
			for query, want := range map[string]int{
				"compare?tenants=t-aaa,t-ccc": 200, "compare?tenants=t-aaa,t-ccc&names=requests&window=24h": 200,
				"compare?tenants=t-aaa,t-bbb": 404, "compare?tenants=t-aaa,t-none": 404, "compare?tenants=t-aaa": 400, "compare": 400, "compare?tenants=t-aaa,t-ccc&names=x": 400,
				"neighbours": 200, "neighbours?at=2020-01-01T00:00:00Z": 400, "neighbours?at=x": 400, "neighbours?to=x": 422, "top": 200, "top?by=bytes_out&window=7d": 200, "top?by=x": 400, "top?window=1s": 400,
				"change": 200, "change?names=requests&window=1h": 200, "change/t-aaa": 200, "change/t-bbb": 404, "change?names=x": 400,
				"forecast": 200, "forecast?name=errors&days=90&limit=1000": 200, "forecast/t-aaa": 200, "forecast/t-bbb": 404, "forecast?days=0": 400, "forecast?days=91": 400, "forecast?limit=NaN": 400, "forecast?name=in_flight": 400,
				"health": 200, "health?filter=tag:": 422, "health?sort=x": 400, "health?limit=0": 400, "health?unhealthy=yes": 200, "health?unhealthy=no": 400, "health?unhealthy=yes&sort=slug": 400, "health?unknown=1": 422,
			} {
				if a := cl.do(t, "GET", "analytics/"+query, ""); a.code != want || strings.Contains(a.body, `"t-bbb"`) {
					t.Errorf("%s: got %d %s, want %d", query, a.code, a.body, want)
				}
			}
			if a := cl.do(t, "GET", "analytics/top", ""); !strings.Contains(a.body, `"t-aaa"`) {
				t.Errorf("got %s, want the tenant with requests", a.body)
			}
			if a := cl.do(t, "GET", "analytics/forecast/t-aaa", ""); !strings.Contains(a.body, `"refused":`) {
				t.Errorf("got %s, want no forecast out of minutes", a.body)
			}
			type healthy struct {
				Tenants []struct {
					ID, Health string
					Reasons    []struct{ Kind string }
				}
				Total int
				Next  string
			}
			var page, rest healthy
			cl.do(t, "GET", "analytics/health?limit=1", "").into(t, &page)
			if page.Total != 2 || len(page.Tenants) != 1 || page.Tenants[0].Health != "degraded" || page.Tenants[0].Reasons[0].Kind != "errors" {
				t.Errorf("got %+v, want a tenant with errors", page)
			}
			cl.do(t, "GET", "analytics/health?limit=1&cursor="+page.Next, "").into(t, &rest)
			if len(rest.Tenants) != 1 || rest.Tenants[0].ID != "t-ccc" || rest.Tenants[0].Health != "unknown" {
				t.Errorf("got %+v, want a tenant that nobody used", rest)
			}
			unhealthy := func(cl *client, query string) string {
				var found healthy
				cl.do(t, "GET", "analytics/health?unhealthy=yes"+query, "").into(t, &found)
				out := fmt.Sprint(found.Total)
				for _, t := range found.Tenants {
					out += " " + t.ID + " " + t.Health
				}
				return out
			}
			everywhere := c.as(t, auth.RoleViewer, tenancy.AllTenants())
			if got := unhealthy(everywhere, ""); got != "1 t-aaa degraded" {
				t.Errorf("unhealthy: got %s, want the tenant with errors", got)
			}
			c.Down([]tenancy.ID{"t-ccc", "t-gone"}, nil) // no request was for it
			if got := unhealthy(everywhere, ""); got != "2 t-ccc unreachable t-aaa degraded" {
				t.Errorf("a database is down: got %s, want the worst first", got)
			}
			for query, want := range map[string]string{"&limit=1": "2 t-ccc unreachable", "&filter=aaa": "1 t-aaa degraded", "&filter=id:t-aaa": "1 t-aaa degraded", "&filter=status:archived": "0", "&filter=server:none": "0"} {
				if got := unhealthy(everywhere, query); got != want {
					t.Errorf("%s: got %s, want %s", query, got, want)
				}
			}
			c.Down(nil, []string{c.a.Placement.Server})
			if got := unhealthy(cl, ""); got != "2 t-aaa unreachable t-ccc unreachable" {
				t.Errorf("a server is down: got %s, want all on it, of the scope", got)
			}
			c.Down(nil, nil)
			c.as(t, auth.RoleOwner, tenancy.AllTenants()).do(t, "POST", "tenants/t-ccc/maintenance", `{}`)
			cl.do(t, "GET", "analytics/health?filter=ccc", "").into(t, &rest)
			if len(rest.Tenants) != 1 || rest.Tenants[0].Reasons[0].Kind != "maintenance" {
				t.Errorf("got %+v, want maintenance", rest)
			}
		})
	}
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t, tenancytest.NewServer(t, name), nil)
			cl := c.as(t, auth.RoleOperator, tenancy.AllTenants())
			do := func(method, path string, code int, want string) {
				t.Helper()
				if a := cl.do(t, method, path, ""); a.code != code || !strings.Contains(a.body, want) {
					t.Errorf("%s %s: got %d %s, want %d and %s", method, path, a.code, a.body, code, want)
				}
			}
			do("GET", "schedules", 200, `"paused":false`)
			do("POST", "schedules/monthly/pause", 200, `"paused":true`)
			do("GET", "schedules", 200, `"paused":true`)
			do("POST", "schedules/monthly/resume", 200, `"paused":false`)
			do("POST", "schedules/monthly/trigger", 202, `"task":"suspend"`)
			do("POST", "schedules/none/trigger", 404, "")
			do("POST", "schedules/none/pause", 404, "")
			log := cl.do(t, "GET", "audit?action=schedule.pause,schedule.resume,schedule.trigger&result=done", "")
			if strings.Count(log.body, `"object":"monthly"`) != 3 {
				t.Errorf("got %s, want three entries", log.body)
			}
		})
	}
}

// replicating is an engine that says how far its server's data is.
type replicating struct{ driver.Engine }

func (r replicating) Server() (sqldriver.Connector, error) { return r.Connector("server") } // which nobody opens here

func (replicating) Position(context.Context, sqldriver.Conn) (driver.Position, error) {
	return "", tenancy.ErrUnavailable
}

func (replicating) Reached(_, _ driver.Position) bool { return false }

func TestPoolsAndInstances(t *testing.T) {
	t.Parallel()
	s := tenancytest.NewServer(t, "sqlite")
	pool, err := dbpool.New(map[string]driver.Engine{"main": replicating{s.Engine}, "copy": replicating{s.Engine}}, &dbpool.Options{Servers: map[string]dbpool.ServerOptions{"main": {Replicas: []string{"copy"}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	c := newConsole(t, s, func(o *admin.Options) { o.Pool = pool })
	tenant := s.Tenant(t, "pooled")
	tenant.Placement.Server = "main"
	db, err := pool.For(t.Context(), tenant)
	if err == nil {
		err = db.PingContext(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	c.used(t, c.a.ID, 1, 0)
	cl := c.as(t, auth.RoleViewer, tenancy.AllTenants())
	if a := cl.do(t, "GET", "pools", ""); !strings.Contains(a.body, `"server":"main","replica":false,"breaker":"closed"`) || !strings.Contains(a.body, `"server":"copy","replica":true`) || !strings.Contains(a.body, `"tenant":"`+string(tenant.ID)+`"`) {
		t.Errorf("got %d %s, want the server and the tenant", a.code, a.body)
	}
	if a := cl.do(t, "GET", "pools/main", ""); !strings.Contains(a.body, `"tenant":"`+string(tenant.ID)+`"`) {
		t.Errorf("got %d %s, want the server and the tenant", a.code, a.body)
	}
	if a := cl.do(t, "GET", "pools/none", ""); a.code != 404 {
		t.Errorf("got %d %s, want 404", a.code, a.body)
	}
	if a := c.as(t, auth.RoleOwner, tenancy.AllTenants()).do(t, "POST", "tenants", `{"slug":"copied","server":"copy"}`); a.code != 422 || !strings.Contains(a.body, "read replica") {
		t.Errorf("got %d %s, want no tenant on a replica", a.code, a.body)
	}
	if a := cl.do(t, "GET", "instances", ""); !strings.Contains(a.body, `"name":"one","missing":false`) {
		t.Errorf("got %d %s, want the instance", a.code, a.body)
	}
}

// A tenant on a server that the service does not have is unreachable, also before anybody came.
func TestHealthOfAMisplacedTenant(t *testing.T) {
	t.Parallel()
	c := newConsole(t, tenancytest.NewServer(t, "sqlite"), nil)
	if _, err := c.cat.Edit(t.Context(), c.b.ID, func(t *tenancy.Tenant) error { t.Placement.Server = "nowhere"; return nil }); err != nil {
		t.Fatal(err)
	}
	c.keep(t)
	c.RunOnce(t.Context())
	cl := c.as(t, auth.RoleViewer, tenancy.AllTenants())
	for path, want := range map[string]string{
		"analytics/health?unhealthy=yes": `"id":"t-bbb"`, "analytics/health?filter=bbb": `"health":"unreachable"`, "tenants/t-bbb/health": `"kind":"server-unknown"`,
	} {
		if a := cl.do(t, "GET", path, ""); a.code != 200 || !strings.Contains(a.body, want) || strings.Contains(a.body, `"id":"t-aaa"`) {
			t.Errorf("%s: got %d %s, want %s and no other tenant", path, a.code, a.body, want)
		}
	}
}
