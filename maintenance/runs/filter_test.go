package runs_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/maintenance/runs"
	"github.com/artflow-studio/tenancy/tenancytest"
)

// reports select by a field that the catalog does not know.
type reports struct{ ids []tenancy.ID }

func (r reports) Select(_ context.Context, f tenancy.Filter) iter.Seq2[tenancy.ID, error] {
	return func(yield func(tenancy.ID, error) bool) {
		if len(f.Terms) != 1 || f.Terms[0].Field != "requests" {
			yield("", errors.New("want the term of requests"))
			return
		}
		for _, id := range r.ids {
			if !yield(id, nil) {
				return
			}
		}
	}
}

// What a selector chooses is read again from the catalog, with the catalog's conditions.
func TestSelector(t *testing.T) {
	t.Parallel()
	tenancytest.EachEngine(t, func(t *testing.T, s *tenancytest.Server) {
		b := newBench(t, s, 6)
		if _, err := b.catalog.SetStatus(t.Context(), "id-0002", tenancy.StatusSuspended); err != nil {
			t.Fatal(err)
		}
		do := func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil }
		r := b.with(&runs.Options{
			Tasks: runs.Tasks{"work": {Do: do}}, Fields: []tenancy.Field{{Name: "requests", Kind: tenancy.FieldNumber}},
			Selector: reports{[]tenancy.ID{"id-0004", "id-0002", "id-gone", "id-0001"}},
		})
		spec := runs.Spec{Filter: "requests:>10 status:active"}
		p, err := r.Plan(t.Context(), "work", spec)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, each := range p.Sample {
			got = append(got, each.Slug)
		}
		if want := []string{"t-04", "t-01"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if p, err := r.Within(tenancy.ByIDs("id-0001", "id-0003")).Plan(t.Context(), "work", spec); err != nil || p.Total != 1 || p.Sample[0].Slug != "t-01" {
			t.Errorf("within a scope: got %+v, %v, want t-01 alone", p, err)
		}
		plain := b.runner(do)
		if _, err := plain.Plan(t.Context(), "work", spec); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("without the selector: got %v, want ErrInvalid", err)
		}
		if _, err := r.Start(t.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
		b.work(plain) // leaves the run to others
		b.work(r)
		b.await(r, p.ID, runs.StateDone)
	})
}

// The order of the filter is that of the run.
func TestFilterOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t, tenancytest.NewServer(t, "sqlite"), 4)
	r := b.runner(func(context.Context, *tenancy.Tenant, tenancy.Attempt) error { return nil })
	p, err := r.Plan(t.Context(), "work", runs.Spec{Filter: "tag:tag-0,tag-1 sort:-slug", Waves: runs.Waves{CanaryIDs: []tenancy.ID{"id-0001"}}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, each := range p.Sample {
		got = append(got, each.Slug)
	}
	if want := []string{"t-01", "t-03", "t-00"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
