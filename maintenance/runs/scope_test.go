package runs_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// Somebody with a scope learns nothing of the tenants outside of it: not whether they exist, nor how long work on them took, nor what was
// planned for them and why their run stopped.
func TestScopesDoNotLeak(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 4)
		fails := func(_ context.Context, t *tenancy.Tenant, _ tenancy.Attempt) error {
			if t.ID == "id-0001" {
				return errors.New("no")
			}
			return nil
		}
		r := b.runner(fails)
		mine := r.Within(tenancy.ByIDs("id-0000"))
		texts := map[tenancy.ID]string{}
		for _, other := range []tenancy.ID{"id-0001", "id-9999"} {
			_, err := mine.Plan(t.Context(), "work", runs.Spec{IDs: []tenancy.ID{"id-0000", other}})
			if !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("a plan with %s: got %v, want that it is invalid", other, err)
				continue
			}
			texts[other] = strings.ReplaceAll(err.Error(), string(other), "ID")
		}
		if texts["id-0001"] != texts["id-9999"] {
			t.Errorf("got %q, want the same", texts)
		}
		b.work(r)
		run := b.begin(r, runs.Spec{IDs: []tenancy.ID{"id-0000", "id-0001", "id-0002"}, Exclude: []tenancy.ID{"id-0002"}, Waves: runs.Waves{CanaryIDs: []tenancy.ID{"id-0001"}}})
		for p, err := range r.Follow(t.Context(), run.ID) {
			if err != nil {
				t.Fatal(err)
			}
			if p.State.Ended() {
				break
			}
		}
		if _, err := r.Within(tenancy.ByIDs("id-0003")).Get(t.Context(), run.ID); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("a run of others: got %v, want that it does not exist", err)
		}
		got, err := mine.Get(t.Context(), run.ID)
		if err != nil {
			t.Fatal(err)
		}
		all, err := mine.List(t.Context(), runs.Query{})
		if err != nil || len(all) == 0 {
			t.Fatalf("got %d runs, %v, want one", len(all), err)
		}
		for _, run := range []*runs.Run{got, all[len(all)-1]} {
			if text, _ := json.Marshal(run); strings.Contains(string(text), "id-0001") || strings.Contains(string(text), "id-0002") || run.Reason != "" {
				t.Errorf("got %s, want nothing of others", text)
			}
		}
		filtered := b.begin(r, runs.Spec{Filter: "t-03"})
		if _, err := mine.Get(t.Context(), filtered.ID); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("somebody else's run: got %v, want that it does not exist", err)
		}
		// Whose run is all theirs sees all of it.
		own, err := mine.Plan(t.Context(), "work", runs.Spec{Filter: "t-00"})
		if err != nil || own.Spec.Filter != "t-00" || own.Estimate != 0 {
			t.Errorf("got %+v, %v, want their filter, and no estimate: no run of theirs is done", own, err)
		}
	})
}

// An estimate is made of the tenants of the scope.
func TestEstimatesAreOfTheScope(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 2)
		r := b.runner(func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil })
		b.work(r)
		finish := func(id string) {
			for p, err := range r.Follow(t.Context(), id) {
				if err != nil {
					t.Fatal(err)
				}
				if p.State.Ended() {
					break
				}
			}
		}
		first := b.begin(r, runs.Spec{Filter: "t-00"})
		finish(first.ID)
		second := b.begin(r, runs.Spec{Filter: "t-01"})
		finish(second.ID)
		for id, took := range map[string]time.Duration{first.ID: time.Minute, second.ID: time.Hour} {
			for _, q := range []string{`UPDATE tenancy_run_waves SET busy = ? WHERE run_id = ?`, `UPDATE tenancy_run_tenants SET ended_at = started_at + ? WHERE run_id = ?`} {
				if _, err := b.db.Exec(b.db.Rebind(q), took.Microseconds(), id); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, tt := range []struct {
			scope tenancy.Scope
			want  time.Duration
		}{{tenancy.AllTenants(), time.Hour}, {tenancy.ByIDs("id-0000"), time.Minute}, {tenancy.ByIDs("id-0001"), time.Hour}} {
			p, err := r.Within(tt.scope).Plan(t.Context(), "work", runs.Spec{Parallel: 100})
			if err != nil || p.Estimate != tt.want {
				t.Errorf("%v: got %v, %v, want %v", tt.scope, p.Estimate, err, tt.want)
			}
		}
	})
}
