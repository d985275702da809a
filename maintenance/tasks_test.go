package maintenance_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance"
	"github.com/artflow-studio/tenancy/tenancytest"
)

func TestTasks(t *testing.T) {
	t.Parallel()
	type params = tenancy.Params
	for name, tt := range map[string]struct {
		task   string
		params params
		want   func(*tenancy.Tenant)
	}{
		"activate":   {"activate", nil, func(t *tenancy.Tenant) {}},
		"suspend":    {"suspend", nil, func(t *tenancy.Tenant) { t.Status = tenancy.StatusSuspended }},
		"block":      {"block", nil, func(t *tenancy.Tenant) { t.Status = tenancy.StatusBlocked }},
		"deactivate": {"deactivate", nil, func(t *tenancy.Tenant) { t.Status = tenancy.StatusInactive }},
		"tags":       {"tag", params{"add": "new, EU", "remove": "old,never"}, func(t *tenancy.Tenant) { t.Tags = []string{"eu", "new"} }},
		"plan":       {"plan", params{"to": "pro"}, func(t *tenancy.Tenant) { t.Plan = "pro" }},
		"no plan":    {"plan", params{"to": ""}, func(t *tenancy.Tenant) { t.Plan = "" }},
		"limit":      {"limit", params{"name": "users", "to": "7"}, func(t *tenancy.Tenant) { t.Limits = map[string]int64{"users": 7} }},
		"no limit":   {"limit", params{"name": "users"}, func(t *tenancy.Tenant) { t.Limits = map[string]int64{} }},
		"update": {"update", params{"plan": "gold", "limit.users": "9", "limit.seats": "", "setting.homepage": ""}, func(t *tenancy.Tenant) {
			t.Plan, t.Limits = "gold", map[string]int64{"users": 9}
		}},
		"limit that is none": {"limit", params{"name": "seats"}, func(t *tenancy.Tenant) {}},
	} {
		tenant := tenancytest.NewTenant("acme")
		tenant.Tags, tenant.Plan, tenant.Limits = []string{"eu", "old"}, "basic", map[string]int64{"users": 3}
		cat := tenancytest.NewCatalog(t, tenant)
		task := maintenance.Tasks(cat)[tt.task]
		if task.Validate != nil {
			if err := task.Validate(tt.params); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := task.Eligible(tenant); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for range 2 { // a task that is done again changes nothing
			if err := task.Do(t.Context(), tenant, tenancy.Attempt{Params: tt.params}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		got, err := cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(tenant.ID)})
		if err != nil {
			t.Fatal(err)
		}
		want := tenant.Clone()
		tt.want(want)
		want.Version, want.CreatedAt, want.UpdatedAt = got.Version, got.CreatedAt, got.UpdatedAt
		if d := cmp.Diff(want.Limits, got.Limits); d != "" && len(want.Limits)+len(got.Limits) > 0 {
			t.Errorf("%s: limits: %s", name, d)
		}
		if got.Status != want.Status || got.Plan != want.Plan || !slices.Equal(got.Tags, want.Tags) || got.Version > 2 {
			t.Errorf("%s: got %+v, want %+v after one change", name, got, want)
		}
	}
}

func TestTasksRefuse(t *testing.T) {
	t.Parallel()
	type params = tenancy.Params
	all := maintenance.Tasks(tenancytest.NewCatalog(t))
	for task, bad := range map[string][]params{
		"tag":    {nil, {"add": " , "}, {"add": "Ä"}, {"add": "a", "x": "y"}},
		"plan":   {nil, {"to": "a\nb"}, {"to": "a", "x": ""}},
		"limit":  {nil, {"to": "3"}, {"name": "users", "to": "many"}, {"name": "users", "to": ""}, {"name": "\x00"}, {"name": "users", "for": "x"}},
		"update": {nil, {"limit": "3"}, {"limit.users": "many"}, {"limit.": "3"}, {"setting.\x00": "x"}, {"setting.\x00": ""}, {"name": "x"}, {"plan": "a\nb"}},
	} {
		for _, p := range bad {
			if err := all[task].Validate(p); !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%s %v: got %v, want ErrInvalid", task, p, err)
			}
		}
	}
	seed := maintenance.SeedTask(nil, func(context.Context, *tenancy.Tenant) error { return nil })
	all["seed"] = seed
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for _, status := range []tenancy.Status{tenancy.StatusProvisioning, tenancy.StatusArchived} {
			tenant := tenancytest.NewTenant("acme")
			tenant.Status = status
			want := status != tenancy.StatusArchived || name != "archive" // it stays
			if refused := all[name].Eligible(tenant) != nil; refused != want {
				t.Errorf("%s of a tenant that is %s: got refused %v, want %v", name, status, refused, want)
			}
		}
	}
	for name, status := range statusTasks { // since the run was planned
		for _, now := range []tenancy.Status{tenancy.StatusProvisioning, tenancy.StatusArchived, tenancy.StatusPurging} {
			if now == status {
				continue
			}
			tenant := tenancytest.NewTenant("acme")
			tenant.Status = now
			cat := tenancytest.NewCatalog(t, tenant)
			var skip *tenancy.SkipError
			if err := maintenance.StatusTask(cat, status).Do(t.Context(), tenant, tenancy.Attempt{}); !errors.As(err, &skip) {
				t.Errorf("%s of a tenant that is %s: got %v, want it skipped", name, now, err)
			}
		}
	}
}

// statusTasks are the statuses that the tasks of those names give.
var statusTasks = map[string]tenancy.Status{
	"activate": tenancy.StatusActive, "suspend": tenancy.StatusSuspended, "block": tenancy.StatusBlocked, "deactivate": tenancy.StatusInactive, "archive": tenancy.StatusArchived,
}

// locked is a lock that says what it is for.
type locked func(id tenancy.ID, purpose string)

func (l locked) Lock(ctx context.Context, id tenancy.ID, purpose string, fn func(context.Context) error) error {
	l(id, purpose)
	defer l(id, "")
	return fn(ctx)
}

// A seed is alone with its tenant.
func TestSeedTaskLocks(t *testing.T) {
	t.Parallel()
	var order []string
	locks := locked(func(id tenancy.ID, purpose string) { order = append(order, string(id)+purpose) })
	failed := errors.New("no")
	task := maintenance.SeedTask(locks, func(context.Context, *tenancy.Tenant) error { order = append(order, "seed"); return failed })
	if err := task.Do(t.Context(), &tenancy.Tenant{ID: "acme "}, tenancy.Attempt{}); !errors.Is(err, failed) {
		t.Errorf("got %v, want the seed's own error", err)
	}
	if want := []string{"acme its seed", "seed", "acme "}; !slices.Equal(order, want) {
		t.Errorf("got %q, want %q", order, want)
	}
}

func TestGateTasks(t *testing.T) {
	t.Parallel()
	tenant := tenancytest.NewTenant("acme")
	cat := tenancytest.NewCatalog(t, tenant)
	gate, err := maintenance.NewGate(cat, nil)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := gate.BeginTask(), gate.EndTask()
	for _, p := range []tenancy.Params{{"mode": "shut"}, {"for": "-1h"}, {"for": "long"}, {"who": "me"}, {"message": "\xff"}} {
		if err := begin.Validate(p); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%v: got %v, want ErrInvalid", p, err)
		}
	}
	params := tenancy.Params{"mode": "read_only", "message": "We move house.", "for": "2h"}
	if err := begin.Validate(params); err != nil {
		t.Error(err)
	}
	find := func() *tenancy.Maintenance {
		got, err := cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(tenant.ID)})
		if err != nil {
			t.Fatal(err)
		}
		return got.Access.Maintenance
	}
	if err := begin.Do(t.Context(), tenant, tenancy.Attempt{Params: params}); err != nil {
		t.Fatal(err)
	}
	if m := find(); m == nil || m.Mode != tenancy.MaintenanceReadOnly || m.Message != "We move house." || len(m.Windows) != 1 {
		t.Errorf("got %+v, want what was asked for", m)
	}
	// Done again, it leaves alone what the same run began, and what others have changed of that since.
	bypassed := func() *tenancy.Maintenance {
		t.Helper()
		if _, err := gate.Tenant(tenant.ID).NewBypass(t.Context()); err != nil {
			t.Fatal(err)
		}
		return find()
	}
	var last *tenancy.Maintenance
	for _, tt := range []struct {
		run    string
		begins bool
	}{{"run-1", true}, {"run-1", false}, {"run-2", true}, {"run-2", false}, {"run-1", true}, {"run", true}, {"", true}, {"", true}} {
		if err := begin.Do(t.Context(), tenant, tenancy.Attempt{Run: tt.run, Params: params}); err != nil {
			t.Fatal(err)
		}
		if got := find(); cmp.Equal(last, got) == tt.begins {
			t.Errorf("by %q: got %+v after %+v, want it begun anew %v", tt.run, got, last, tt.begins)
		}
		if tt.run != "run-1" || tt.begins {
			last = bypassed()
		}
	}
	for range 2 {
		if err := end.Do(t.Context(), tenant, tenancy.Attempt{}); err != nil || find() != nil {
			t.Errorf("got %+v, %v, want it ended", find(), err)
		}
	}
}

// A task names the addresses and paths that are served, and keeps of maintenance in force or planned what it does not name. What is
// over leaves nothing behind.
func TestBeginTaskKeepsWhatItDoesNotName(t *testing.T) {
	t.Parallel()
	tenant := tenancytest.NewTenant("acme")
	cat := tenancytest.NewCatalog(t, tenant)
	gate, err := maintenance.NewGate(cat, nil)
	if err != nil {
		t.Fatal(err)
	}
	task := gate.BeginTask()
	for _, p := range []tenancy.Params{{"allow": "10.0.0.0/99"}, {"allow": "here"}, {"paths": "status"}, {"paths": "/a,/../b"}} {
		if err := task.Validate(p); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%v: got %v, want ErrInvalid", p, err)
		}
	}
	type kept struct {
		Mode             tenancy.MaintenanceMode
		Message, Contact string
		Allow            string
		Paths            []string
		Windows          int
	}
	do := func(p tenancy.Params) (m *tenancy.Maintenance, k kept) {
		t.Helper()
		if err := task.Validate(p); err != nil {
			t.Errorf("%v: %v", p, err)
		}
		if err := task.Do(t.Context(), tenant, tenancy.Attempt{Params: p}); err != nil {
			t.Fatal(err)
		}
		got, err := cat.Find(t.Context(), tenancy.Ref{Kind: tenancy.RefID, Value: string(tenant.ID)})
		if err != nil {
			t.Fatal(err)
		}
		m = got.Access.Maintenance
		return m, kept{m.Mode, m.Message, m.Contact, fmt.Sprint(m.Allow), m.Paths, len(m.Windows)}
	}
	const closed = tenancy.MaintenanceClosed
	all := kept{tenancy.MaintenanceReadOnly, "Later.", "ops@example.com", "[10.0.0.0/8 192.0.2.7/32]", []string{"/status", "/login"}, 1}
	_, got := do(tenancy.Params{"mode": "read_only", "message": "Later.", "contact": "ops@example.com", "allow": "192.0.2.7, 10.1.2.3/8", "paths": "/status,/login", "for": "1h"})
	if d := cmp.Diff(all, got); d != "" {
		t.Errorf("named: %s", d)
	}
	if _, err := gate.Tenant(tenant.ID).NewBypass(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := all
	want.Mode, want.Windows = closed, 0
	m, got := do(nil)
	if d := cmp.Diff(want, got); d != "" || m.Bypass != (tenancy.Digest{}) {
		t.Errorf("nothing named: %s, bypass %v", d, m.Bypass)
	}
	want.Message, want.Allow = "", "[2001:db8::/32]"
	if _, got = do(tenancy.Params{"message": "", "allow": "2001:db8::/32"}); cmp.Diff(want, got) != "" {
		t.Errorf("some named: %s", cmp.Diff(want, got))
	}
	want.Paths, want.Allow, want.Windows = nil, "[]", 1
	if _, got = do(tenancy.Params{"paths": "", "allow": "", "from": "2100-01-01T00:00:00Z"}); cmp.Diff(want, got) != "" {
		t.Errorf("removed: %s", cmp.Diff(want, got))
	}
	if _, got = do(tenancy.Params{"for": "1h"}); cmp.Diff(want, got) != "" {
		t.Errorf("kept of what is planned: %s", cmp.Diff(want, got))
	}
	_, err = cat.Edit(t.Context(), tenant.ID, func(t *tenancy.Tenant) error {
		t.Access.Maintenance.Windows = []tenancy.Window{{Start: time.Unix(1, 0).UTC(), End: time.Unix(2, 0).UTC()}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, got = do(nil); cmp.Diff(kept{Mode: closed, Allow: "[]"}, got) != "" {
		t.Errorf("of what is over: got %+v", got)
	}
}
