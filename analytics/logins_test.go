package analytics_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/analytics"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestLogins(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store tenancytest.UsageStore) {
		acme, globex := tenancytest.NewTenant("acme"), tenancytest.NewTenant("globex")
		acme.ID, globex.ID, acme.Tags = "acme", "globex", []string{"eu"}
		now, err := store.Write(t.Context(), &analytics.Batch{Tenants: []*tenancy.Tenant{acme, globex}})
		if err != nil {
			t.Fatal(err)
		}
		b := &analytics.Batch{}
		login := func(id tenancy.ID, subject string, ago time.Duration, ok bool, address string, times int64) {
			b.Activities = append(b.Activities, analytics.Activity{
				Key: fmt.Sprint(len(b.Activities)), Tenant: id, Type: "login", CreatedAt: now.Add(-ago), Times: times, Address: address,
				Login: &analytics.Login{Subject: subject, OK: ok, Method: "password"},
			})
		}
		login("acme", "jo", 3*time.Hour, true, "192.0.2.1", 1)
		login("acme", "jo", 2*time.Hour, true, "192.0.2.2", 1)
		login("acme", "jo", time.Hour, false, "192.0.2.1", 3)
		login("acme", "Jo", time.Hour, true, "", 1)
		login("acme", "old", 40*day, true, "192.0.2.1", 1)
		login("globex", "jo", time.Minute, false, "192.0.2.9", 7)
		for i := range 12 {
			login("globex", "moves", time.Duration(i)*time.Minute, true, fmt.Sprintf("198.51.100.%d", i), 1)
		}
		b.Activities = append(b.Activities, analytics.Activity{Key: "x", Tenant: "acme", Type: "page", CreatedAt: now, Times: 1})
		if _, err := store.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		reports := newReports(t, store)
		for _, tt := range []struct {
			name, want string
			scope      tenancy.Scope
			req        analytics.LoginsRequest
		}{
			{"all", "acme/Jo acme/jo globex/jo globex/moves", tenancy.AllTenants(), analytics.LoginsRequest{}},
			{"by failures", "globex/jo acme/jo acme/Jo globex/moves", tenancy.AllTenants(), analytics.LoginsRequest{ByFailures: true}},
			{"scope", "acme/Jo acme/jo", tenancy.ByTags("eu"), analytics.LoginsRequest{}}, {"no scope", "", tenancy.Scope{}, analytics.LoginsRequest{}},
			{"out of scope", "", tenancy.ByTags("eu"), analytics.LoginsRequest{Tenant: "globex"}},
			{"tenant", "globex/jo globex/moves", tenancy.AllTenants(), analytics.LoginsRequest{Tenant: "globex"}},
			{"subject", "acme/jo globex/jo", tenancy.AllTenants(), analytics.LoginsRequest{Subject: "jo"}},
			{"period", "acme/old", tenancy.AllTenants(), analytics.LoginsRequest{Period: analytics.Period{From: now.Add(-50 * day), To: now.Add(-30 * day)}}},
		} {
			for _, limit := range []int{0, 1, 3} {
				req, got := tt.req, []string{}
				for req.Limit = limit; ; {
					page, err := reports.Logins(t.Context(), tt.scope, &req)
					if err != nil {
						t.Fatalf("%s: %v", tt.name, err)
					}
					for _, s := range page.Subjects {
						got = append(got, string(s.Tenant)+"/"+s.Subject)
					}
					if req.After = page.Next; req.After == "" {
						break
					}
				}
				if strings.Join(got, " ") != tt.want {
					t.Errorf("%s, %d a page: got %v, want %s", tt.name, limit, got, tt.want)
				}
			}
		}
		page, err := reports.Logins(t.Context(), tenancy.AllTenants(), nil)
		if err != nil {
			t.Fatal(err)
		}
		jo, moves := page.Subjects[1], page.Subjects[3]
		if jo.Logins != 2 || jo.Failures != 3 || !jo.LastLogin.Equal(now.Add(-2*time.Hour)) || !jo.LastFailure.Equal(now.Add(-time.Hour)) || !slices.Equal(jo.Addresses, []string{"192.0.2.1", "192.0.2.2"}) {
			t.Errorf("jo: got %+v", jo)
		}
		if moves.Logins != 12 || !moves.LastFailure.IsZero() || len(moves.Addresses) != 10 || moves.Addresses[0] != "198.51.100.0" || len(page.Subjects[0].Addresses) != 0 {
			t.Errorf("moves: got %+v, want ten addresses, the newest first", moves)
		}
		for _, bad := range []analytics.LoginsRequest{{Limit: 501}, {Limit: -1}, {Subject: "a\x00"}, {Subject: "\xff"}, {After: "x"}, {Period: analytics.Period{From: now, To: now}}} {
			if _, err := reports.Logins(t.Context(), tenancy.AllTenants(), &bad); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%+v: got %v, want %v", bad, err, tenancy.ErrInvalid)
			}
		}
	})
}
