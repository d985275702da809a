package tenancy_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/artflow-studio/tenancy"
)

func TestNewRef(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind   tenancy.RefKind
		value  string
		ok     bool
		logged string
	}{
		{tenancy.RefID, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", true, "id:6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
		{tenancy.RefID, "a_b", true, "id:a_b"},
		{tenancy.RefID, "A_B", false, ""},
		{tenancy.RefID, "", false, ""},
		{tenancy.RefSlug, "acme", true, "slug:acme"},
		{tenancy.RefSlug, "a_b", false, ""},
		{tenancy.RefSlug, "../x", false, ""},
		{tenancy.RefDomain, "acme.example", true, "domain:acme.example"},
		{tenancy.RefDomain, "Acme.example", false, ""},
		{tenancy.RefDomain, "acme.example.", false, ""},
		{tenancy.RefDomain, "127.0.0.1", false, ""},
		{tenancy.RefNone, "acme", false, ""},
		{tenancy.RefKind(99), "acme", false, ""},
	} {
		got, err := tenancy.NewRef(tt.kind, tt.value)
		if !tt.ok {
			if got != (tenancy.Ref{}) || !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("NewRef(%v, %q) = %v, %v, want the zero Ref and ErrInvalid", tt.kind, tt.value, got, err)
			}
			continue
		}
		if want := (tenancy.Ref{Kind: tt.kind, Value: tt.value}); err != nil || got != want {
			t.Errorf("NewRef(%v, %q) = %v, %v, want %v", tt.kind, tt.value, got, err, want)
		}
		if got.String() != tt.logged {
			t.Errorf("String() = %q, want %q", got, tt.logged)
		}
	}
}

func TestRefKindString(t *testing.T) {
	t.Parallel()
	for kind, want := range map[tenancy.RefKind]string{
		tenancy.RefNone: "none", tenancy.RefID: "id", tenancy.RefSlug: "slug", tenancy.RefDomain: "domain", 9: "RefKind(9)",
	} {
		if got := kind.String(); got != want {
			t.Errorf("RefKind(%d).String() = %q, want %q", uint8(kind), got, want)
		}
	}
}

// wantApart checks that two equal values, in which nothing is empty, share no
// memory that may be written.
func wantApart(t *testing.T, name string, a, b reflect.Value) {
	t.Helper()
	if a.IsZero() {
		t.Errorf("the test leaves %s empty and proves nothing about it", name)
		return
	}
	switch a.Kind() {
	case reflect.Map, reflect.Slice, reflect.Pointer:
		if a.Pointer() == b.Pointer() {
			t.Errorf("%s is shared with the original", name)
		}
	}
	switch a.Kind() {
	case reflect.Pointer:
		wantApart(t, name, a.Elem(), b.Elem())
	case reflect.Slice:
		for i := range a.Len() {
			wantApart(t, fmt.Sprintf("%s[%d]", name, i), a.Index(i), b.Index(i))
		}
	case reflect.Struct:
		if a.Type().PkgPath() == reflect.TypeFor[tenancy.Tenant]().PkgPath() {
			for i := range a.NumField() {
				wantApart(t, name+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
			}
		}
	}
}

func TestCloneIsDeep(t *testing.T) {
	t.Parallel()
	original := validTenant()
	clone := original.Clone()
	if !reflect.DeepEqual(clone, original) {
		t.Fatalf("got %+v, want %+v", clone, original)
	}
	wantApart(t, "tenant", reflect.ValueOf(*original), reflect.ValueOf(*clone))
	clone.Domains[0], clone.Limits["seats"], clone.Settings["theme"] = "x", 7, "x"
	if want := validTenant(); !reflect.DeepEqual(original, want) {
		t.Errorf("after a change of the clone the original is %+v, want %+v", original, want)
	}
	if empty := (&tenancy.Tenant{}).Clone(); !reflect.DeepEqual(empty, &tenancy.Tenant{}) {
		t.Errorf("clone of the zero tenant: got %+v, want it zero", empty)
	}
}

func TestNewer(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for name, tt := range map[string]struct {
		a, b tenancy.Tenant
		want bool
	}{
		"a later version":         {tenancy.Tenant{Version: 2, CreatedAt: day}, tenancy.Tenant{Version: 1, CreatedAt: day}, true},
		"an earlier version":      {tenancy.Tenant{Version: 1, CreatedAt: day}, tenancy.Tenant{Version: 2, CreatedAt: day}, false},
		"the same":                {tenancy.Tenant{Version: 1, CreatedAt: day}, tenancy.Tenant{Version: 1, CreatedAt: day}, false},
		"made again":              {tenancy.Tenant{Version: 1, CreatedAt: day.Add(1)}, tenancy.Tenant{Version: 9, CreatedAt: day}, true},
		"made before":             {tenancy.Tenant{Version: 9, CreatedAt: day}, tenancy.Tenant{Version: 1, CreatedAt: day.Add(1)}, false},
		"in another zone":         {tenancy.Tenant{Version: 2, CreatedAt: day.In(time.FixedZone("x", 3600))}, tenancy.Tenant{Version: 1, CreatedAt: day}, true},
		"without times, later":    {tenancy.Tenant{Version: 2}, tenancy.Tenant{Version: 1}, true},
		"one without, earlier":    {tenancy.Tenant{Version: 1}, tenancy.Tenant{Version: 2, CreatedAt: day}, false},
		"the other without, same": {tenancy.Tenant{Version: 2, CreatedAt: day}, tenancy.Tenant{Version: 2}, false},
	} {
		if got := tt.a.Newer(&tt.b); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}
