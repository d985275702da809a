package listing_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
	"github.com/artflow-studio/tenancy/internal/listing"
)

// moving is a catalog in which, after the first page, the tenant that comes last goes first, and the first one last.
type moving struct {
	tenants []*tenancy.Tenant
	calls   int
}

func (m *moving) list(_ context.Context, f tenancy.Filter) ([]*tenancy.Tenant, error) {
	if m.calls++; m.calls == 2 {
		first, last := m.tenants[0], m.tenants[len(m.tenants)-1]
		first.Name, last.Name = last.Name+"z", ""
		first.UpdatedAt, last.UpdatedAt = last.UpdatedAt.Add(time.Hour), time.UnixMicro(0)
	}
	_, descending := f.Sort.Field()
	order := func(a, b *tenancy.Tenant) int {
		n := slices.Compare([]string{f.Sort.Key(a), string(a.ID)}, []string{f.Sort.Key(b), string(b.ID)})
		if descending {
			return -n
		}
		return n
	}
	all := slices.SortedFunc(slices.Values(m.tenants), order)
	key, id, err := f.Position()
	if err != nil {
		return nil, err
	}
	if f.After != "" {
		all = slices.DeleteFunc(all, func(t *tenancy.Tenant) bool {
			n := slices.Compare([]string{f.Sort.Key(t), string(t.ID)}, []string{key, string(id)})
			return n == 0 || (n < 0) != descending
		})
	}
	return all[:min(len(all), f.Limit)], nil
}

func newMoving(n int) *moving {
	m := &moving{}
	for i := range n {
		id := fmt.Sprintf("t%02d", i)
		m.tenants = append(m.tenants, &tenancy.Tenant{ID: tenancy.ID(id), Slug: id, Name: id, CreatedAt: time.UnixMicro(int64(i)), UpdatedAt: time.UnixMicro(int64(1000 + i))})
	}
	return m
}

func ids(t *testing.T, m *moving, f tenancy.Filter, page int) (out []string) {
	t.Helper()
	for each, err := range listing.All(t.Context(), m.list, f, page) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(each.ID))
	}
	return out
}

// Each tenant comes once, in every order, also if tenants move while they are read.
func TestAllWhileTenantsMove(t *testing.T) {
	for _, sort := range tenancy.Sorts() {
		for _, sort := range []tenancy.Sort{sort, "-" + sort} {
			got := ids(t, newMoving(25), tenancy.Filter{Sort: sort}, 10)
			slices.Sort(got)
			if len(got) != 25 || len(slices.Compact(got)) != 25 {
				t.Errorf("%s: got %d tenants %v, want 25, each once", sort, len(got), got)
			}
		}
	}
}

func TestAllInOrder(t *testing.T) {
	for _, sort := range []tenancy.Sort{"", "-id", "name", "-name", "updated", "-updated", "created"} {
		still := newMoving(25)
		still.calls = 2 // nothing moves
		want := ids(t, still, tenancy.Filter{Sort: sort}, 1000)
		f := tenancy.Filter{Sort: sort, Limit: 13}
		got := ids(t, still, f, 4)
		at := slices.IndexFunc(still.tenants, func(t *tenancy.Tenant) bool { return string(t.ID) == got[12] })
		f.After, f.Limit = f.Next(still.tenants[at]), 0
		if got = append(got, ids(t, still, f, 5)...); !slices.Equal(got, want) {
			t.Errorf("%s: got %v in two parts, want %v", sort, got, want)
		}
	}
}

func TestAllEnds(t *testing.T) {
	down := errors.New("down")
	for _, sort := range []tenancy.Sort{"id", "name"} {
		n := 0
		for each, err := range listing.All(t.Context(), func(context.Context, tenancy.Filter) ([]*tenancy.Tenant, error) { return nil, down }, tenancy.Filter{Sort: sort}, 10) {
			if n++; n > 1 || each != nil || !errors.Is(err, down) {
				t.Errorf("%s: got %v, %v", sort, each, err)
			}
		}
		for _, err := range listing.All(t.Context(), newMoving(25).list, tenancy.Filter{Sort: sort}, 10) {
			if err != nil {
				t.Error(err)
			}
			break
		}
		for _, err := range listing.All(t.Context(), newMoving(3).list, tenancy.Filter{Sort: sort, After: "nonsense"}, 10) {
			if !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%s: got %v, want an invalid cursor", sort, err)
			}
		}
	}
}
